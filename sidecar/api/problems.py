"""What can go wrong with a call, as RFC 9457 has it: each with its status, its title, and what a person can do.

Rules of this file: no detail repeats a text, a token or an Idempotency-Key.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

from sidecar.health import explain, left
from sidecar.messages import CallError, Duplicate, HeldBack, Refusal, Refused
from sidecar.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.link import LinkRefused
    from sidecar.state import Snapshot

Delivery = Literal["no", "unknown", "yes"]
"""Whether the message of a POST was sent: not at all, perhaps (repeat it with its Idempotency-Key), or it was."""

MEDIA_TYPE = "application/problem+json"

TITLES = {
    HTTPStatus.BAD_REQUEST: "The request is malformed",
    HTTPStatus.UNAUTHORIZED: "The token is missing or wrong",
    HTTPStatus.FORBIDDEN: "The account may not do that there",
    HTTPStatus.NOT_FOUND: "There is no such chat or message",
    HTTPStatus.METHOD_NOT_ALLOWED: "This path has no such method",
    HTTPStatus.CONFLICT: "The message was sent, and its id cannot be found",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not declared as JSON",
    HTTPStatus.MISDIRECTED_REQUEST: "The call is to another name",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The content cannot be accepted",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A fault of this program",
    HTTPStatus.SERVICE_UNAVAILABLE: "Telegram is not connected",
    HTTPStatus.GATEWAY_TIMEOUT: "The deadline passed",
}

SOON_SECONDS = 1.0
"""What a caller is told to wait where nobody knows how long it will take."""

PERSON_SECONDS = 10.0
"""What a caller is told to wait when a person must act first; what a person changes is noticed within that time."""

_FOR_A_PERSON = frozenset({State.REFUSED, State.UNCONFIGURED})


class Problem(Exception):
    """What went wrong with a call.

    Attributes:
        status: the status of the answer.
        detail: one line for a person.
        retry_after: seconds after which to ask again, where that can help.
        telegram_error: Telegram's own name for it, where it had one.
        sent: whether the message of a POST was sent; None for other calls.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        title: str | None = None,
        retry_after: float | None = None,
        telegram_error: str | None = None,
        sent: Delivery | None = None,
        keeper: Mapping[str, str | None] | None = None,
    ) -> None:
        """Say what went wrong.

        Args:
            status: the status of the answer.
            detail: one line for a person, free of what was sent.
            title: what kind of problem it is; that of the status, unless given.
            retry_after: seconds after which to ask again, where that can help.
            telegram_error: Telegram's own name for it.
            sent: whether the message was sent.
            keeper: what the keeper says: state, reason and why.
        """
        super().__init__(detail)
        self.status = status
        self.title = title or TITLES[status]
        self.detail = detail
        self.retry_after = None if retry_after is None else max(1, math.ceil(retry_after))
        self.telegram_error = telegram_error
        self.sent = sent
        self._keeper = dict(keeper or {})

    def body(self) -> dict[str, object]:
        """Return the body of the answer."""
        told: dict[str, object] = {"type": "about:blank", "title": self.title, "status": int(self.status)}
        more = {"detail": self.detail, "telegram_error": self.telegram_error, "sent": self.sent}
        return told | {name: value for name, value in more.items() if value is not None} | self._keeper


def malformed(detail: str) -> Problem:
    """Return the problem of a request that makes no sense."""
    return Problem(HTTPStatus.BAD_REQUEST, detail)


def not_connected(snapshot: Snapshot, now: float) -> Problem:
    """Return the problem of a connection that is not there.

    Args:
        snapshot: what is known of it.
        now: the event loop's time.
    """
    wait = PERSON_SECONDS if snapshot.state in _FOR_A_PERSON else max(SOON_SECONDS, left(snapshot.retry_at, now))
    why = explain(snapshot, now)
    keeper = {"state": snapshot.state, "reason": snapshot.reason, "why": why}
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, why, retry_after=wait, keeper=keeper)


def refused(error: LinkRefused) -> Problem:
    """Return the problem of a session that Telegram refuses; the keeper finds out by itself, with its next check."""
    told = f"Telegram refuses the session: {error.detail}."
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, told, retry_after=PERSON_SECONDS, keeper={"reason": error.reason, "why": told}
    )


def too_late(seconds: float, *, sent: Delivery | None = None) -> Problem:
    """Return the problem of a deadline that passed."""
    told = f"There was no answer within {seconds:g} s (Request-Timeout says how long to wait)."
    if sent == "unknown":
        told += " The message may have been sent: only with its Idempotency-Key can it be repeated and not sent twice."
    return Problem(HTTPStatus.GATEWAY_TIMEOUT, told, sent=sent)


_STATUSES = {
    Refusal.UNKNOWN_CHAT: HTTPStatus.NOT_FOUND,
    Refusal.UNKNOWN_MESSAGE: HTTPStatus.NOT_FOUND,
    Refusal.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Refusal.EMPTY: HTTPStatus.UNPROCESSABLE_ENTITY,
    Refusal.TOO_LONG: HTTPStatus.UNPROCESSABLE_ENTITY,
    Refusal.UNACCEPTABLE: HTTPStatus.UNPROCESSABLE_ENTITY,
}


def of(error: CallError) -> Problem:
    """Return the problem that a call to Telegram ended in."""
    match error:
        case Refused(why=why):
            return Problem(_STATUSES[why], error.detail, telegram_error=error.telegram_error)
        case HeldBack(seconds=seconds):
            return Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                error.detail,
                title="Telegram asks to wait",
                retry_after=seconds,
                telegram_error=error.telegram_error,
            )
        case Duplicate():
            told = "It was sent by an earlier try, and is not sent again; only its id cannot be told."
            return Problem(HTTPStatus.CONFLICT, told, telegram_error=error.telegram_error, sent="yes")
        case _:
            return Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                error.detail,
                title="Telegram has a fault of its own",
                retry_after=SOON_SECONDS,
                telegram_error=error.telegram_error,
            )
