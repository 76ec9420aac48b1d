"""The one place where events are written down and the snapshot is replaced.

Rules of this file: standard library only. Only the supervisor records; everybody else reads, waits or observes.
Observers are called in order, synchronously, with the event and the snapshot after it: they must be quick and must
not record. One that raises is logged and passed over.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sidecar.state import Event, Snapshot, State, advance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Observer = Callable[[Event, Snapshot], None]


class Journal:
    """Holds the present snapshot and hands every event to the observers."""

    def __init__(self, observers: Sequence[Observer] = (), *, due: float) -> None:
        """Begin in state `starting`.

        Args:
            observers: the views, each called with every event.
            due: loop time by which the first event must have come.
        """
        self._observers = tuple(observers)
        self._recorded = asyncio.Event()
        now = asyncio.get_running_loop().time()
        self.snapshot = Snapshot(state=State.STARTING, since=now, due=due)

    def record(self, event: Event, *, within: float) -> None:
        """Write down an event.

        Args:
            event: what happened.
            within: seconds within which the next event must come.

        Raises:
            IllegalTransition: the table does not allow the event now.
        """
        now = asyncio.get_running_loop().time()
        self.snapshot = advance(self.snapshot, event, now=now, due=now + within)
        for observer in self._observers:
            try:
                observer(event, self.snapshot)
            except Exception:
                # A view that fails must not cost the connection.
                logging.getLogger("sidecar").exception("observer_failed")
        self._recorded.set()
        self._recorded = asyncio.Event()

    async def until(self, condition: Callable[[Snapshot], bool]) -> Snapshot:
        """Wait until a snapshot fulfils a condition, and return it."""
        while not condition(self.snapshot):
            await self._recorded.wait()
        return self.snapshot
