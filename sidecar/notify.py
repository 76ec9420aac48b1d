"""Tells systemd how it goes: the service is up, what it is doing, that it is alive, that it stops.

The protocol is sd_notify(3), https://www.freedesktop.org/software/systemd/man/sd_notify.html: lines of NAME=value in
one datagram. It is spoken here because each of the PyPI packages for it reads the environment by itself, and either
blocks on a full socket, hides failures, or needs libsystemd and a compiler.

Rules of this file: it is a view. It never blocks and never raises because of the socket. READY=1 means what /startupz
means, the outcome of the first attempt is known, good or bad: a unit that waited for Telegram would be killed by
TimeoutStartSec during an outage, and again after every restart. WATCHDOG=1 means what /livez means: the keeper makes
progress, whatever Telegram does.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from sidecar import health
from sidecar.state import State

if TYPE_CHECKING:
    from typing import Never

    import structlog

    from sidecar.journal import Journal
    from sidecar.state import Event, Snapshot

STATUS_CHARACTERS = 900
"""Longest STATUS. A character takes four bytes at most, and systemd drops a datagram of more than 4096 bytes, whole."""

LOOK_AGAIN_SECONDS = 1.0
"""Time to the next look after a sign of life that was not sent: who is late only because its node stood still must not
be killed for a beat that it missed by an instant."""

_REMEDY = (
    "Look at NOTIFY_SOCKET and at NotifyAccess= of the unit; without READY=1 systemd stops it after TimeoutStartSec."
)


class Notifier:
    """Sends to one socket what is news; what could not be sent is news again with the next event."""

    def __init__(self, address: str, log: structlog.stdlib.BoundLogger) -> None:
        """Open nothing yet.

        Args:
            address: path of a Unix datagram socket, or @ and the name of an abstract one.
            log: where the first failure is told.
        """
        self._address = address
        self._log = log
        self._told: list[str] = []
        self._failed = False

    def __call__(self, _: Event, snapshot: Snapshot) -> None:
        """Tell what an event changed."""
        self._tell(snapshot)

    async def keep_alive(self, journal: Journal, watchdog_seconds: float) -> Never:
        """Give a sign of life at half of the time that systemd allows, but none while the keeper is stuck."""
        while True:
            alive = health.live(journal.snapshot, _now()).ok
            if not alive:
                self._tell(journal.snapshot)  # the last STATUS before the kill says why
            beaten = alive and self._send(["WATCHDOG=1"])
            half = watchdog_seconds / 2
            await asyncio.sleep(half if beaten else min(half, LOOK_AGAIN_SECONDS))

    def _tell(self, snapshot: Snapshot) -> None:
        lines = _lines(snapshot, _now())
        news = [line for line in lines if line not in self._told]
        if news and self._send(news):
            self._told = lines

    def _send(self, lines: list[str]) -> bool:
        """Send lines in one datagram, and return whether the socket took it."""
        abstract = self._address.startswith("@")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), "\0" + self._address[1:] if abstract else self._address)
        except OSError as error:
            if not self._failed:
                self._failed = True
                told = error.strerror or str(error)
                self._log.warning("notification_not_sent", socket=self._address, error=told, remedy=_REMEDY)
            return False
        return True


def _lines(snapshot: Snapshot, now: float) -> list[str]:
    """Return all that systemd should know of a snapshot."""
    lines = []
    if snapshot.first_outcome:
        lines.append("READY=1")
    if snapshot.state is State.STOPPING:
        lines.append("STOPPING=1")
    alive = health.live(snapshot, now)
    why = health.ready(snapshot, now).why if alive.ok else alive.why
    return [*lines, f"STATUS={_one_line(why)}"]


def _one_line(text: str) -> str:
    """Return a text without what would end the line, or make systemd drop it: control characters and broken UTF-8."""
    return "".join(character if character.isprintable() else " " for character in text)[:STATUS_CHARACTERS]


def _now() -> float:
    return asyncio.get_running_loop().time()
