"""What SIGTERM, SIGINT and SIGHUP mean, from the first instruction of the command to its last.

Rules of this file: nothing slow is imported before `leave_on_signals` was called.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

SAME_STOP_SECONDS = 0.5
"""A second stop signal that comes so soon is no second decision: a shell and a wrapper that both pass Ctrl-C on."""


def leave_on_signals() -> None:
    """Before anything runs, let the stop signals end the process in good order, and SIGHUP do nothing.

    As process 1 of a container it would otherwise not hear SIGTERM at all, and elsewhere SIGHUP would kill it.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, _leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def break_off_on_signals() -> None:
    """Let the stop signals end a command at once, with 128 + n: what was broken off has no good end."""
    for number in STOP_SIGNALS:
        signal.signal(number, _break_off)


def _leave(_number: int, _frame: object) -> NoReturn:
    # Not by raising: Python swallows what is raised inside a callback of its import machinery or garbage collector.
    os._exit(0)


def _break_off(number: int, _frame: object) -> NoReturn:
    os._exit(128 + number)


@contextmanager
def stop_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """For the time of the block, let the first stop signal set an event, and a later one end the process at once."""
    from asyncio import get_running_loop  # noqa: PLC0415 - see the top of this file

    loop = get_running_loop()
    first: float | None = None

    def handle(number: signal.Signals) -> None:
        nonlocal first
        if first is None:
            first = loop.time()
            stop.set()
        elif loop.time() - first > SAME_STOP_SECONDS:
            # Not by restoring the default action: process 1 of a container has none.
            os._exit(128 + number)

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, _leave)


@contextmanager
def reload_on_sighup(reload: Callable[[], None]) -> Iterator[None]:
    """For the time of the block, let SIGHUP call a function."""
    from asyncio import get_running_loop  # noqa: PLC0415 - see the top of this file

    loop = get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
