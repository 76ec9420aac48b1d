"""What waits to be written to one connection: latency without disorder.

Rules of this file: one timer at most, none while nothing waits; closing drops what waits, as a cut line
would.
"""

import asyncio
from collections import deque
from collections.abc import Callable


class Outbox:
    """Hands packets to `write`, each after its delay, in the order in which they came."""

    def __init__(self, loop: asyncio.AbstractEventLoop, write: Callable[[bytes], None]) -> None:
        self._loop = loop
        self._write = write
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def put(self, packet: bytes, delay: float) -> None:
        """Write the packet after `delay` seconds of loop time, and after those before it."""
        if not delay and not self._waiting:
            self._write(packet)
            return
        self._waiting.append((self._loop.time() + delay, packet))
        if self._timer is None:
            self._timer = self._loop.call_later(delay, self._deliver)

    def close(self) -> None:
        """Drop what waits."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _deliver(self) -> None:
        self._timer = None
        due, packet = self._waiting.popleft()
        self._write(packet)
        # A packet may be due earlier than the one before it, if the latency was lowered in between.
        while self._waiting and self._waiting[0][0] <= due:
            self._write(self._waiting.popleft()[1])
        if self._waiting:
            self._timer = self._loop.call_at(self._waiting[0][0], self._deliver)
