"""What Telegram holds back, and who may wait for it.

A flood wait is about one call by this account; slow mode is about one chat. Each has a gate of its own, so nothing else
waits. While a gate is closed a few may wait in front of it, not for long, and one after the other: when it opens, the
first goes alone, so that a crowd does not earn the next wait. Everybody else is told at once how long it takes.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from sidecar.messages import HeldBack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sidecar.messages import Call

MOST_WAITING = 16
"""Calls that may wait at one gate."""

LONGEST_WAIT = 15.0
"""Seconds that a call may wait at a gate, however patient its caller is."""

MOST_GATES = 1000
"""Gates that are remembered: one a call, and one a chat in slow mode. The one that opens first is forgotten first;
whoever passes it too early hears of it from Telegram."""


class Closed(HeldBack):
    """A gate is closed for longer than one may wait, or too many wait already: Telegram was not asked."""


class _Why(NamedTuple):
    """What Telegram said. Not the error itself: its traceback would keep a connection that is long gone."""

    call: Call
    everywhere: bool
    telegram_error: str | None


class _Gate:
    def __init__(self) -> None:
        self.until = -math.inf
        self.why: _Why | None = None
        self.waiting = 0
        self.turn = asyncio.Lock()


class Gates:
    """All gates of one account."""

    def __init__(self) -> None:
        self._gates: dict[tuple[Call, int | None], _Gate] = {}

    def close(self, error: HeldBack, chat: int | None) -> None:
        """Close a gate for as long as Telegram says."""
        key = (error.call, None if error.everywhere else chat)
        gate = self._gates.setdefault(key, _Gate())
        gate.until = max(gate.until, _now() + error.seconds)
        gate.why = _Why(error.call, error.everywhere, error.telegram_error)
        if len(self._gates) > MOST_GATES:
            idle = [key for key, gate in self._gates.items() if not gate.waiting]
            del self._gates[min(idle, key=lambda key: self._gates[key].until)]

    @asynccontextmanager
    async def through(self, call: Call, chat: int | None, *, until: float) -> AsyncIterator[None]:
        """Pass the gates of a call, and stay in their way for as long as the block runs, if they were closed.

        Args:
            call: what is to be asked.
            chat: where; None if it is about no chat.
            until: the caller's deadline, by the event loop's clock.

        Raises:
            Closed: a gate is closed for longer than one may wait, or too many wait already.
        """
        if chat is None:
            async with self._one(call, None, until):
                yield
        else:
            # In this order: who waits for one chat must not stand in the way of the others.
            async with self._one(call, chat, until), self._one(call, None, until):
                yield

    @asynccontextmanager
    async def _one(self, call: Call, chat: int | None, until: float) -> AsyncIterator[None]:
        gate = self._gates.get((call, chat))
        if gate is None or (gate.until <= _now() and not gate.waiting):
            yield
            return
        left = gate.until - _now()
        if gate.waiting >= MOST_WAITING or left > LONGEST_WAIT or gate.until >= until:
            raise _again(gate, left)
        gate.waiting += 1
        try:
            try:
                async with asyncio.timeout_at(min(until, _now() + LONGEST_WAIT)):
                    await gate.turn.acquire()
            except TimeoutError:
                raise _again(gate, gate.until - _now()) from None
            try:
                # It may have been closed anew by the one that went first.
                if gate.until >= until or gate.until - _now() > LONGEST_WAIT:
                    raise _again(gate, gate.until - _now())
                await asyncio.sleep(gate.until - _now())
                yield
            finally:
                gate.turn.release()
        finally:
            gate.waiting -= 1


def _again(gate: _Gate, left: float) -> Closed:
    assert gate.why  # noqa: S101 - a gate that was never closed lets everybody through
    return Closed(gate.why.call, max(left, 1.0), everywhere=gate.why.everywhere, telegram_error=gate.why.telegram_error)


def _now() -> float:
    return asyncio.get_running_loop().time()
