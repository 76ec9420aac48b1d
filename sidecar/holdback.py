"""Until when there must be no attempt, and why. What is remembered is only ever prolonged.

Three kinds: a flood wait is about a session; "too many connections" (-429) is about our address and so about every
session; and a connection that was given up may still be held by Telegram, where a second one beside it can cost the
session. The last must outlive a change of credentials, for a proxy that hangs is one that people replace, and one that
works may be slower to tell Telegram than we are to dial past it.

Rules of this file: standard library only, no I/O. What is remembered outlives the process if there is a store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from sidecar.link import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.link import LinkError

EVERY_SESSION = "*"
"""Stands for all sessions among what is held back."""

UNHEARD = frozenset({Reason.PING_TIMEOUT, Reason.WATCHDOG_TIMEOUT, Reason.UNREACHABLE, Reason.CREDENTIALS_CHANGED})
"""The losses that Telegram may not have heard of; they come with a wait if so."""


class Hold(NamedTuple):
    """A time, by the event loop's clock, before which nothing may be tried; and why."""

    until: float
    reason: Reason


class Store(Protocol):
    """Keeps holds beyond the end of the process. Never raises: a store that fails is no reason not to connect."""

    def load(self, *, now: float) -> Mapping[str, Hold]:
        """Return what was kept and is not over, by the clock that says `now`."""
        ...

    def save(self, holds: Mapping[str, Hold], *, now: float) -> None:
        """Keep these, by the clock that says `now`, and nothing else."""
        ...


class HoldBack:
    """Remembers what holds back, by session (its fingerprint), for as long as it is not over."""

    def __init__(self, store: Store | None, *, now: float) -> None:
        self._store = store
        self._holds: dict[str, Hold] = dict(store.load(now=now)) if store else {}

    def take(self, session: str, error: LinkError, *, now: float) -> None:
        """Remember what an error asks for, if it asks for anything that outlives the attempt."""
        if error.reason is Reason.FLOOD_WAIT or (error.reason in UNHEARD and error.wait):
            key = session
        elif error.reason is Reason.TRANSPORT_FLOOD:
            key = EVERY_SESSION
        else:
            return
        self._holds = {other: hold for other, hold in self._holds.items() if hold.until > now}
        self._holds[key] = max(self.of(key), Hold(now + error.wait, error.reason))
        if self._store:
            self._store.save(self._holds, now=now)

    def of(self, session: str) -> Hold:
        """Return what holds a session back the longest; a time that is past, if nothing does."""
        nothing = Hold(0.0, Reason.FLOOD_WAIT)
        return max(self._holds.get(session, nothing), self._holds.get(EVERY_SESSION, nothing))
