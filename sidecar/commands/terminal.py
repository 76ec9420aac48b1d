"""A person at a terminal: all talk is on standard error, so that standard output holds nothing but the result.

Rules of this file: reading does not block the event loop, for Telegram's connection lives in it; and what is typed in
answer to a secret question is not shown.
"""

from __future__ import annotations

import asyncio
import os
import sys
import termios
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import segno

from sidecar.commands.console import complain
from sidecar.telegram.login import LoginFailed

if TYPE_CHECKING:
    from collections.abc import Iterator


class Terminal:
    """The person at the terminal, or whatever feeds standard input."""

    def __init__(self) -> None:
        self._typed = b""

    async def ask(self, question: str, *, secret: bool = False) -> str:
        """Ask, and return the answer without white space around it.

        Raises:
            LoginFailed: the input has ended.
        """
        sys.stderr.write(f"{question}: ")
        sys.stderr.flush()
        with _hidden() if secret else nullcontext():
            line = await self._line()
        if not line:
            sys.stderr.write("\n")
            raise LoginFailed("The input ended before everything was answered.")
        return line.strip()

    async def _line(self) -> str:
        """Return the next line, or what is left of the input at its end. Several may have come at once, by a pipe."""
        while b"\n" not in self._typed:
            await _readable(sys.stdin.fileno())
            more = os.read(sys.stdin.fileno(), 4096)
            if not more:
                break
            self._typed += more
        line, end, self._typed = self._typed.partition(b"\n")
        return (line + end).decode(errors="replace")

    def tell(self, line: str) -> None:
        """Say how it goes."""
        complain(line)

    def show(self, url: str, seconds: float) -> None:
        """Draw a QR code, in half-height blocks, so that it fits into a window of 80 by 24."""
        segno.make(url, micro=False).terminal(out=sys.stderr, compact=True, border=2)
        complain(f"Good for {seconds:.0f} s.")


async def _readable(file: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(file, ready.set)
    except PermissionError:  # a file: it never makes anybody wait
        return
    try:
        await ready.wait()
    finally:
        loop.remove_reader(file)


@contextmanager
def _hidden() -> Iterator[None]:
    """Let the terminal not show what is typed; it is as before afterwards, whatever happens."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    silent = termios.tcgetattr(sys.stdin)
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, silent)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        sys.stderr.write("\n")
