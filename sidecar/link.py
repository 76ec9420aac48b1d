"""What the supervisor needs of a connection to Telegram, and every way in which it can fail.

Rules of this file: standard library only; nothing here knows Telethon, HTTP or metrics. Whoever implements
`Link` translates the errors of its own library into the three verdicts below, and lets nothing else out:

    LinkError
    ├── LinkLost     the connection is gone or of no use; trying again may help
    ├── LinkBusy     Telegram answered, but not with what was asked; the connection is alive, later may help
    └── LinkRefused  Telegram refused the session or the API credentials; only a person can help
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from typing import Never


class Reason(StrEnum):
    """Why a connection was lost or refused. A closed set, because each member is a value of a metric label."""

    CLOSED = "closed"
    RESET = "reset"
    UNREACHABLE = "unreachable"
    PROXY_UNREACHABLE = "proxy_unreachable"
    PROXY_TIMEOUT = "proxy_timeout"
    PROXY_UNAUTHORIZED = "proxy_unauthorized"
    PROXY_FAILED = "proxy_failed"
    CONNECT_TIMEOUT = "connect_timeout"
    PING_TIMEOUT = "ping_timeout"
    WATCHDOG_TIMEOUT = "watchdog_timeout"
    FLOOD_WAIT = "flood_wait"
    SERVER_ERROR = "server_error"
    TRANSPORT_FLOOD = "transport_flood"
    UNKNOWN_KEY = "unknown_key"
    MIGRATED = "migrated"
    PROTOCOL = "protocol"
    CREDENTIALS_CHANGED = "credentials_changed"
    UNEXPECTED = "unexpected"

    UNREGISTERED = "unregistered"
    REVOKED = "revoked"
    EXPIRED = "expired"
    DEACTIVATED = "deactivated"
    BANNED = "banned"
    DUPLICATED = "duplicated"
    UNAUTHORIZED = "unauthorized"
    BAD_API_CREDENTIALS = "bad_api_credentials"
    UPDATE_REQUIRED = "update_required"


REFUSALS = frozenset(
    {
        Reason.UNREGISTERED,
        Reason.REVOKED,
        Reason.EXPIRED,
        Reason.DEACTIVATED,
        Reason.BANNED,
        Reason.DUPLICATED,
        Reason.UNAUTHORIZED,
        Reason.UNKNOWN_KEY,
        Reason.BAD_API_CREDENTIALS,
        Reason.UPDATE_REQUIRED,
    }
)
"""The reasons for which retrying cannot help."""

LOSSES = frozenset(Reason) - REFUSALS | {Reason.UNKNOWN_KEY}
"""The reasons for which the supervisor tries again. An unknown key is in both sets: it is tried three times."""


class LinkError(Exception):
    """A verdict on a connection.

    Attributes:
        reason: why, from the closed set.
        detail: one line for a person, free of secrets.
        wait: seconds that must pass before it is tried again (0: as soon as the backoff allows).
    """

    def __init__(self, reason: Reason, detail: str, *, wait: float = 0.0) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.wait = wait


class LinkLost(LinkError):
    """The connection is gone or of no use, and trying again may help."""


class LinkBusy(LinkError):
    """Telegram answered, but not with what was asked: the connection is alive and may be kept."""


class LinkRefused(LinkError):
    """Telegram refused the session or the API credentials; retrying cannot help."""


CUT_SECONDS = 1.0
"""Seconds that a connection may take to be gone after it was cut, on top of what closing it politely may take."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The account that the session belongs to, as Telegram itself last told us.

    The phone number is kept out of the repr: it must not reach a log by accident.
    """

    user_id: int
    is_bot: bool
    username: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The far end of a connection.

    Attributes:
        dc: the number of the data centre that holds the session.
        clock_offset: Telegram's clock minus ours, in seconds; Telegram tells it in whole seconds.
    """

    dc: int
    clock_offset: float


class Link(Protocol):
    """One connection to Telegram, from dialled to lost. It is used once and never mended.

    Every method raises a `LinkError` and nothing else (a cancellation that was asked for passes through). The caller
    sets the deadlines.
    """

    @property
    def client(self) -> Any:
        """The library's own client, to be lent to the application."""
        ...

    async def open(self) -> Endpoint:
        """Connect, and tell where the connection leads."""
        ...

    async def ping(self) -> None:
        """Return when Telegram answered a ping."""
        ...

    async def check(self) -> Identity:
        """Ask Telegram who we are: the only question that notices a dead session."""
        ...

    async def lost(self) -> Never:
        """Wait for the connection to end, then raise why."""
        ...

    def given_up(self, reason: Reason, detail: str) -> LinkLost:
        """Give the verdict on a connection that we leave: an answer is overdue, or there are other credentials.

        It names what may be behind a silence, and waits for as long as Telegram may hold what we have given up.
        """
        ...

    def cut(self) -> None:
        """Give the connection up at once: there is nobody left to close it politely with."""
        ...
