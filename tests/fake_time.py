"""Fake time outside pytest's own loop: for runs that need to own the loop, and to be quick."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

import looptime

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

NOOP_CYCLES = 1
"""Empty looks at the sockets before time moves. Loopback delivers within the call that sends, so one is enough."""

TICK = 1e-6
"""Seconds by which time moves at least. A real clock moves on while one looks at it; a fake one that is a rounding
error short of the moment that somebody waits for would stay there for ever."""


class _Loop(asyncio.SelectorEventLoop):
    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]
        return super().call_later(max(delay, TICK), callback, *args, context=context)


def in_fake_time(main: Callable[[], Coroutine[Any, Any, T]], *, noop_cycles: int = NOOP_CYCLES) -> T:
    """Run a coroutine to its end in a loop of its own, where waiting costs nothing.

    More empty cycles make the order of what happens in one instant that of a slow network; fewer are faster.
    """
    kind = looptime.make_event_loop_class(_Loop)
    with asyncio.Runner(loop_factory=lambda: kind(start=0.0, noop_cycles=noop_cycles)) as runner:
        return runner.run(main())


def in_quiet_fake_time(main: Callable[[], Coroutine[Any, Any, T]], *, noop_cycles: int) -> T:
    """Run as `in_fake_time` does, without a log, and raise whatever asyncio complains of."""
    complaints: list[str] = []

    async def watched() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(str(context)))
        return await main()

    before = logging.root.manager.disable
    logging.disable()  # a day of attempts makes many lines
    try:
        outcome = in_fake_time(watched, noop_cycles=noop_cycles)
    finally:
        logging.disable(before)
    assert complaints == []
    return outcome
