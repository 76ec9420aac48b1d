"""The states of the keeper, the events that move it, and the table of what may follow what.

Rules of this file: standard library only; no I/O, no clock (times come in as arguments), no other module of ours but
`link`. The table is the only description of the machine: the diagram in docs/architecture.md is drawn from it, and
an event that it does not list raises `IllegalTransition`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from sidecar.link import Endpoint, Identity, LinkBusy, LinkError, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping


class State(StrEnum):
    """What the keeper is doing. A closed set, because each member is a value of a metric label."""

    STARTING = "starting"
    UNCONFIGURED = "unconfigured"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    REFUSED = "refused"
    STANDBY = "standby"
    STOPPING = "stopping"


class CheckResult(StrEnum):
    """How one watchdog check ended. A closed set, because each member is a value of a metric label."""

    OK = "ok"
    TIMEOUT = "timeout"
    FLOOD_WAIT = "flood_wait"
    SERVER_ERROR = "server_error"
    LOST = "lost"
    REFUSED = "refused"


# ---------------------------------------------------------------------------------------------------------- events


class Problem(NamedTuple):
    """What is wrong with one credential: its name, and the rest of a sentence that begins with the name."""

    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.name} {self.what}"


@dataclass(frozen=True, slots=True)
class CredentialsMissing:
    """Nothing can be tried: credentials are absent, or what is there cannot be used."""

    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class CredentialsChanged:
    """Other credentials are there now; the next attempt uses them."""


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """An attempt begins. `attempt` counts from 1 since the last proof; `session` is the fingerprint."""

    attempt: int
    session: str


@dataclass(frozen=True, slots=True)
class Postponed:
    """The next attempt must wait: Telegram asked this session, or this address, to hold back, and means it still.

    Or it may still hold a connection of this session that was given up.
    """

    reason: Reason
    seconds: float


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt did not end in a verified session; the next one comes in `retry_in` seconds."""

    attempt: int
    error: LinkError
    retry_in: float


@dataclass(frozen=True, slots=True)
class Connected:
    """Telegram answered get_me on a new connection. `after` tells what ended the connection before it."""

    identity: Identity
    endpoint: Endpoint
    seconds: float
    after: Reason | None


@dataclass(frozen=True, slots=True)
class PingAnswered:
    """Telegram answered a ping within its deadline."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Checked:
    """A watchdog check ended. `identity` is there if, and only if, Telegram told it."""

    result: CheckResult
    seconds: float
    identity: Identity | None = None


@dataclass(frozen=True, slots=True)
class FloodWaited:
    """Telegram asked us to hold back for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """A verified connection ended; the next attempt comes in `retry_in` seconds."""

    error: LinkError
    retry_in: float


@dataclass(frozen=True, slots=True)
class SessionRefused:
    """Telegram refused the session or the API credentials; `established` tells whether it had accepted them before."""

    error: LinkError
    established: bool


@dataclass(frozen=True, slots=True)
class Held:
    """Nothing happened, as intended: the sign of life of a keeper that waits."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """The process was asked to end."""


@dataclass(frozen=True, slots=True)
class Disconnecting:
    """The connection is being closed, because the process ends."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is closed, because the process ends."""

    seconds: float


Event = (
    CredentialsMissing
    | CredentialsChanged
    | Postponed
    | AttemptStarted
    | AttemptFailed
    | Connected
    | PingAnswered
    | Checked
    | FloodWaited
    | ConnectionLost
    | SessionRefused
    | Held
    | Stopping
    | Disconnecting
    | Disconnected
)

# ----------------------------------------------------------------------------------------------------------- table

_S = State
TRANSITIONS: Mapping[State, Mapping[type[Event], State]] = {
    _S.STARTING: {
        CredentialsMissing: _S.UNCONFIGURED,
        Postponed: _S.WAITING,
        AttemptStarted: _S.CONNECTING,
        Stopping: _S.STOPPING,
    },
    _S.UNCONFIGURED: {
        Held: _S.UNCONFIGURED,
        CredentialsChanged: _S.UNCONFIGURED,
        CredentialsMissing: _S.UNCONFIGURED,
        Postponed: _S.WAITING,
        AttemptStarted: _S.CONNECTING,
        Stopping: _S.STOPPING,
    },
    _S.CONNECTING: {
        FloodWaited: _S.CONNECTING,
        Connected: _S.CONNECTED,
        AttemptFailed: _S.WAITING,
        SessionRefused: _S.REFUSED,
        Stopping: _S.STOPPING,
    },
    _S.CONNECTED: {
        PingAnswered: _S.CONNECTED,
        Checked: _S.CONNECTED,
        FloodWaited: _S.CONNECTED,
        ConnectionLost: _S.WAITING,
        SessionRefused: _S.REFUSED,
        Stopping: _S.STOPPING,
    },
    _S.WAITING: {
        Held: _S.WAITING,
        CredentialsChanged: _S.WAITING,
        CredentialsMissing: _S.UNCONFIGURED,
        Postponed: _S.WAITING,
        AttemptStarted: _S.CONNECTING,
        Stopping: _S.STOPPING,
    },
    _S.REFUSED: {
        Held: _S.REFUSED,
        CredentialsChanged: _S.REFUSED,
        CredentialsMissing: _S.UNCONFIGURED,
        Postponed: _S.WAITING,
        AttemptStarted: _S.CONNECTING,
        Stopping: _S.STOPPING,
    },
    # Reserved: another holder has the session.
    _S.STANDBY: {},
    _S.STOPPING: {
        Disconnecting: _S.STOPPING,
        Disconnected: _S.STOPPING,
    },
}


class IllegalTransition(RuntimeError):
    """An event that the table does not allow in the present state: a fault of ours, never of the peer."""


# -------------------------------------------------------------------------------------------------------- snapshot


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is known of the keeper at one moment. Times are those of the event loop's clock, in seconds.

    Attributes:
        state: what it is doing.
        since: when it entered that state.
        due: by when the next event must have come; liveness is `now <= due + slack`.
        reason: why it is not connected, where there is a reason.
        detail: the same in one line for a person.
        problems: what is wrong with the credentials.
        attempt: the number of the present or last attempt since the last proof, counted from 1.
        retry_at: when the next attempt begins, while waiting.
        flood_until: until when Telegram asked us to hold back; may be past.
        last_contact: when Telegram last answered anything.
        identity: the account, from the last verified get_me of the present session.
        endpoint: the far end of the present connection.
        session: fingerprint of the session in use.
        first_outcome: whether the outcome of the first attempt is known, good or bad.
    """

    state: State
    since: float
    due: float
    reason: Reason | None = None
    detail: str | None = None
    problems: tuple[Problem, ...] = ()
    attempt: int = 0
    retry_at: float | None = None
    flood_until: float | None = None
    last_contact: float | None = None
    identity: Identity | None = None
    endpoint: Endpoint | None = None
    session: str | None = None
    first_outcome: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the credentials that are missing or unusable; what is wrong with a setting is no credential."""
        return tuple(problem.name for problem in self.problems if not problem.name.startswith("SIDECAR_"))


def advance(snapshot: Snapshot, event: Event, *, now: float, due: float) -> Snapshot:
    """Return the snapshot after an event.

    Args:
        snapshot: the one before it.
        event: what happened.
        now: when, by the event loop's clock.
        due: by when the next event must have come.

    Raises:
        IllegalTransition: the table does not allow the event in this state.
    """
    target = TRANSITIONS[snapshot.state].get(type(event))
    if target is None:
        raise IllegalTransition(f"{type(event).__name__} in state {snapshot.state}")
    after = replace(
        snapshot,
        state=target,
        since=snapshot.since if target is snapshot.state else now,
        due=due,
        last_contact=now if _is_answer(event) else snapshot.last_contact,
    )

    match event:
        case CredentialsMissing(problems):
            return replace(
                after,
                reason=None,
                detail="; ".join(map(str, problems)),
                problems=problems,
                retry_at=None,
                identity=None,
                endpoint=None,
                session=None,
                first_outcome=True,
            )
        case AttemptStarted(attempt, session):
            known = snapshot.identity if session == snapshot.session else None
            return replace(
                after,
                attempt=attempt,
                session=session,
                problems=(),
                retry_at=None,
                endpoint=None,
                identity=known,
            )
        case Postponed(reason, seconds):
            flood = reason is Reason.FLOOD_WAIT
            detail = f"Telegram asked us to hold back for another {seconds:.0f} s"
            if not flood and reason is not Reason.TRANSPORT_FLOOD:
                detail = f"Telegram may hold the connection that fell silent for another {seconds:.0f} s"
            return replace(
                after,
                reason=reason,
                detail=detail,
                problems=(),
                retry_at=now + seconds,
                flood_until=now + seconds if flood else snapshot.flood_until,
                first_outcome=True,
            )
        case Connected(identity, endpoint):
            return replace(
                after,
                reason=None,
                detail=None,
                identity=identity,
                endpoint=endpoint,
                first_outcome=True,
            )
        case AttemptFailed(error=error, retry_in=retry_in) | ConnectionLost(error=error, retry_in=retry_in):
            return replace(
                after,
                reason=error.reason,
                detail=error.detail,
                retry_at=now + retry_in,
                endpoint=None,
                first_outcome=True,
            )
        case SessionRefused(error):
            return replace(
                after,
                reason=error.reason,
                detail=error.detail,
                retry_at=None,
                endpoint=None,
                first_outcome=True,
            )
        case Checked(identity=identity):
            return replace(after, identity=identity or snapshot.identity)
        case FloodWaited(seconds):
            return replace(after, flood_until=now + seconds)
        case Stopping():
            return replace(after, reason=None, detail=None, retry_at=None)
        case CredentialsChanged():
            # Told anew, by `Postponed`, if it is about the new credentials too.
            return replace(after, flood_until=None)
        case PingAnswered() | Held() | Disconnecting() | Disconnected():
            return after


def _is_answer(event: Event) -> bool:
    """Tell whether an event means that Telegram answered something, be it with an error."""
    match event:
        case Connected() | PingAnswered() | FloodWaited() | SessionRefused() | AttemptFailed(error=LinkBusy()):
            return True
        case Checked(result=result):
            return result not in {CheckResult.TIMEOUT, CheckResult.LOST}
        case _:
            return False
