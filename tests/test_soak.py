"""The short soak: a sample of what `python -m tests.soak` does for an hour's worth of faults and a month."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.soak import Soak, soak

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

CYCLES = 240


def test_nothing_grows_over_faults_and_quiet_hours(tmp_path: Path) -> None:
    """After many faults and quiet hours memory, tasks, sockets, loggers, series and clients are flat."""
    told: list[str] = []
    outcome = soak(cycles=CYCLES, days=0.1, seed=20, directory=tmp_path, tell=told.append)

    assert outcome.growth() == [], told
    assert outcome.worst_overlap == 0
    assert sum(outcome.cycles.values()) == CYCLES
    assert outcome.pings > 0.1 * 28_000
    last = outcome.month_counts[-1]
    assert (last.clients, last.senders, last.connections) == (1, 1, 1)
    assert last.series <= 200


def test_a_leak_of_a_few_objects_a_cycle_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counting itself: what is planted shows, and nothing else does."""
    kept: list[object] = []
    cycle = Soak.cycle

    async def leaking(self: Soak, name: str) -> None:
        kept.append([object() for _ in range(5)])
        await cycle(self, name)

    monkeypatch.setattr(Soak, "cycle", leaking)
    outcome = soak(cycles=CYCLES, days=0.001, seed=20, directory=tmp_path, tell=lambda _: None)

    assert [line.split(" from ")[0] for line in outcome.growth()] == ["faults: blocks"]
