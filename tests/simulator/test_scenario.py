"""A scenario plays at exact times."""

import asyncio
from typing import Any

import pytest

from sidecar.simulator import DataCentre, Step, play

pytestmark = pytest.mark.looptime


def _lever(dc: DataCentre) -> None:
    dc.levers.black_hole = True


async def _slow(_dc: DataCentre) -> None:
    await asyncio.sleep(1)


STEPS = [Step("hole", "Nothing is answered.", 5, _lever), Step("slow", "It takes a while.", 2.5, _slow)]


async def test_once(dc: DataCentre, looptime: Any) -> None:
    """Each step starts when the one before has had its seconds, however long it took to apply."""
    start, heard = looptime + 0, []
    await play(STEPS, dc, lambda step: heard.append((step.name, looptime - start)))
    assert heard == [("hole", 0), ("slow", 5)]
    assert looptime - start == 7.5
    assert dc.levers.black_hole


async def test_for_ever(dc: DataCentre, looptime: Any) -> None:
    """Repeated, it does not drift."""
    start, heard = looptime + 0, []
    playing = play(STEPS, dc, lambda _: heard.append(looptime - start), forever=True)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(playing, 21)
    assert heard == [0, 5, 7.5, 12.5, 15, 20]


async def test_for_ever_needs_time(dc: DataCentre) -> None:
    """A scenario that takes no time cannot be repeated for ever."""
    with pytest.raises(ValueError, match="must take time"):
        await play([], dc, lambda _: None, forever=True)
