"""The short soak: a sample of what `python -m tests.soak` does for an hour's worth of faults and a month."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.soak import soak

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def test_nothing_grows_over_faults_and_quiet_hours(tmp_path: Path) -> None:
    """After many faults and quiet hours memory, tasks, sockets, loggers, series and clients are flat."""
    told: list[str] = []
    outcome = soak(cycles=60, days=0.1, seed=20, directory=tmp_path, tell=told.append)

    assert outcome.growth() == [], told
    assert outcome.worst_overlap == 0
    assert sum(outcome.cycles.values()) == 60
    assert outcome.pings > 0.1 * 28_000
    last = outcome.month_counts[-1]
    assert (last.clients, last.senders, last.connections) == (1, 1, 1)
    assert last.series <= 200
