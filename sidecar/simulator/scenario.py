"""A scenario: a timeline of faults, played against a data centre.

Rules of this file: only loop time, and every step starts at the sum of the seconds before it, so that a
long-running scenario does not drift.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.simulator.datacentre import DataCentre


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of a timeline."""

    name: str
    """Short and unique within its scenario, for logs and for choosing it by hand."""
    description: str
    """What a person at a dashboard should see, in one sentence."""
    seconds: float
    """How long the state after `apply` lasts before the next step."""
    apply: "Callable[[DataCentre], Awaitable[None] | None]"
    """Pulls the levers; may be a coroutine function."""


async def play(
    steps: Sequence[Step], dc: "DataCentre", announce: Callable[[Step], None], *, forever: bool = False
) -> None:
    """Announce and apply each step at its time; return when the last one is over, or start again.

    Raises:
        ValueError: `forever` over steps that take no time, which would never yield.
    """
    if forever and sum(step.seconds for step in steps) <= 0:
        raise ValueError("a scenario that repeats for ever must take time")
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        for step in steps:
            announce(step)
            done = step.apply(dc)
            if inspect.isawaitable(done):
                await done
            due += step.seconds
            await asyncio.sleep(due - loop.time())
        if not forever:
            return
