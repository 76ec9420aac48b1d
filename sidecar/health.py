"""The answers to "is it well?", as pure functions of a snapshot and the time.

Three questions, which must not be mixed (Kubernetes acts differently on each):

* *Live*: is this process making progress? Nothing about Telegram, because restarting does not mend Telegram, and a
  crash loop lengthens flood waits.
* *Ready*: did Telegram answer within the last few seconds?
* *Started*: is the outcome of the first attempt known, good or bad?

Rules of this file: standard library, `state` and `advice` only; no clock, no I/O.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sidecar.advice import REMEDIES
from sidecar.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.state import Snapshot

_WHAT_NEEDS_A_RESTART = "A file in the secrets directory is taken within 10 s; a variable or .env needs a restart."

SLACK_SECONDS = 5.0
"""How far past its due time a keeper may be before it is called stuck: a busy node delays a loop by seconds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question, and why, in a line that a person can act on."""

    ok: bool
    why: str


class Health(StrEnum):
    """The overall status in /healthz."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


def live(snapshot: Snapshot, now: float) -> Answer:
    """Tell whether the keeper is making progress."""
    late = now - snapshot.due
    if late > SLACK_SECONDS:
        return Answer(False, f"The keeper is stuck: in state {snapshot.state}, {late:.0f} s past its next step.")
    return Answer(True, "The keeper is making progress.")


def ready(snapshot: Snapshot, now: float) -> Answer:
    """Tell whether Telegram answered within the last few seconds."""
    connected = snapshot.state is State.CONNECTED
    liveness = live(snapshot, now)
    return liveness if connected and not liveness.ok else Answer(connected, explain(snapshot, now))


def started(snapshot: Snapshot, now: float) -> Answer:
    """Tell whether the outcome of the first attempt is known."""
    if snapshot.first_outcome:
        return Answer(True, "The start is over. " + explain(snapshot, now))
    return Answer(False, explain(snapshot, now))


def overall(snapshot: Snapshot, now: float) -> Health:
    """Sum it up: unhealthy is only what a restart or a change of configuration can mend."""
    if snapshot.problems or not live(snapshot, now).ok:
        return Health.UNHEALTHY
    return Health.HEALTHY if snapshot.state is State.CONNECTED else Health.DEGRADED


def explain(snapshot: Snapshot, now: float) -> str:
    """Say in one line what the keeper is doing, why, and what a person can do."""
    remedy = REMEDIES[snapshot.reason] if snapshot.reason else ""
    detail = snapshot.detail or ""
    match snapshot.state:
        case State.STARTING:
            return "Starting; nothing was tried yet."
        case State.UNCONFIGURED:
            return f"Not configured: {detail}. {_WHAT_NEEDS_A_RESTART}"
        case State.CONNECTING if snapshot.reason:
            return f"Connecting, attempt {snapshot.attempt}, after: {detail}. {remedy}"
        case State.CONNECTING:
            return f"Connecting, attempt {snapshot.attempt}."
        case State.CONNECTED:
            answered = f"Connected: Telegram answered {age(snapshot.last_contact, now):.1f} s ago."
            pause = math.ceil(left(snapshot.flood_until, now))
            return f"{answered} It asked for no get_me for another {pause} s." if pause else answered
        case State.WAITING:
            return f"Not connected: {detail}. Next attempt in {math.ceil(left(snapshot.retry_at, now))} s. {remedy}"
        case State.REFUSED:
            return f"Telegram refused: {detail}. {remedy}"
        case State.STANDBY:
            return "Standing by: another holder has the session."
        case State.STOPPING:
            return "Stopping: the process was asked to end."


def report(snapshot: Snapshot, now: float, *, environment: str, as_time: Callable[[float], str]) -> dict[str, Any]:
    """Give the body of /healthz.

    Args:
        snapshot: what is known.
        now: the event loop's time.
        environment: the value of `ENVIRONMENT`.
        as_time: turns loop time into RFC 3339.
    """
    return {
        "status": overall(snapshot, now),
        "timestamp": as_time(now),
        "environment": environment,
        "checks": {
            "telegram": telegram_check(snapshot, now, as_time=as_time),
            "config": {
                "status": "error" if snapshot.problems else "ok",
                "missing_vars": list(snapshot.missing),
            },
        },
    }


def telegram_check(snapshot: Snapshot, now: float, *, as_time: Callable[[float], str]) -> dict[str, Any]:
    """Give what /healthz tells of the connection; the arguments are those of `report`."""
    readiness, refused = ready(snapshot, now), snapshot.state is State.REFUSED
    contact, retry = snapshot.last_contact, snapshot.retry_at
    return {
        "status": "healthy" if readiness.ok else "error" if refused else "disconnected",
        "connected": readiness.ok,
        "state": snapshot.state,
        "reason": snapshot.reason,
        "why": readiness.why,
        "since": as_time(snapshot.since),
        "last_contact_age_seconds": None if contact is None else round(age(contact, now), 1),
        "retry_in_seconds": None if retry is None else round(left(retry, now), 1),
    }


def age(moment: float | None, now: float) -> float:
    """Return the seconds since a moment; 0 if there was none."""
    return 0.0 if moment is None else max(0.0, now - moment)


def left(moment: float | None, now: float) -> float:
    """Return the seconds until a moment; 0 if it is past or there is none."""
    return 0.0 if moment is None else max(0.0, moment - now)
