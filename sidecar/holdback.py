"""Until when Telegram wants no attempt, and why. What is remembered is only ever prolonged.

Two kinds, because Telegram means two things: a flood wait is about a session, "too many connections" (-429) is about
our address and so about every session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sidecar.link import Reason

if TYPE_CHECKING:
    from sidecar.link import LinkError

_EVERY_SESSION = ""


class Hold(NamedTuple):
    """A time, by the event loop's clock, before which nothing may be tried; and why."""

    until: float
    reason: Reason


class HoldBack:
    """Remembers what Telegram asked for, by session (its fingerprint), for as long as it is not over."""

    def __init__(self) -> None:
        self._holds: dict[str, Hold] = {}

    def take(self, session: str, error: LinkError, *, now: float) -> None:
        """Remember what an error asks for, if it asks for anything that outlives the attempt."""
        if error.reason is Reason.FLOOD_WAIT:
            key = session
        elif error.reason is Reason.TRANSPORT_FLOOD:
            key = _EVERY_SESSION
        else:
            return
        self._holds = {other: hold for other, hold in self._holds.items() if hold.until > now}
        self._holds[key] = max(self.of(key), Hold(now + error.wait, error.reason))

    def of(self, session: str) -> Hold:
        """Return what holds a session back the longest; a time that is past, if nothing does."""
        nothing = Hold(0.0, Reason.FLOOD_WAIT)
        return max(self._holds.get(session, nothing), self._holds.get(_EVERY_SESSION, nothing))
