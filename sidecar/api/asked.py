"""What stands in the head of a request: how long the caller waits, the name of its call, its token, and our name."""

from __future__ import annotations

import hmac
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from sidecar.address import names_loopback
from sidecar.api.problems import Problem, malformed

if TYPE_CHECKING:
    from pydantic import SecretStr

DEFAULT_SECONDS = 30.0
"""How long a caller waits unless it says otherwise."""

LONGEST_SECONDS = 300.0
"""How long a caller may wait at most: what waits is held in memory."""

LONGEST_KEY = 255
KEY_PATTERN = r'^"?[\x21\x23-\x7e]{1,255}"?$'
TIMEOUT_PATTERN = (
    r"^(0\.([1-9][0-9]{0,2}|0[1-9][0-9]?|00[1-9])|([1-9][0-9]?|[12][0-9]{2})(\.[0-9]{1,3})?|300(\.0{1,3})?)$"
)
"""Above 0, to `LONGEST_SECONDS`, with up to three decimals."""


def patience(value: str | None) -> float:
    """Return the seconds that a caller waits, from its header `Request-Timeout`.

    Raises:
        Problem: it is no number of seconds, or too many.
    """
    if value is None:
        return DEFAULT_SECONDS
    if not re.fullmatch(TIMEOUT_PATTERN[1:-1], value.strip(), re.ASCII):
        told = f"seconds, 0.001 to {LONGEST_SECONDS:g}, with up to three decimals"
        raise malformed(f"Request-Timeout is no time that can be waited; accepted: {told}.")
    return float(value)


def idempotency_key(values: list[str]) -> str | None:
    """Return the key under which a call may be repeated, from its header `Idempotency-Key`.

    With or without quotation marks it is the same: drafts of the header have them, most callers do not.

    Raises:
        Problem: it is empty, too long, given twice, or holds more than visible ASCII characters.
    """
    if not values:
        return None
    if len(values) > 1 or not re.fullmatch(KEY_PATTERN[1:-1], values[0].strip(), re.ASCII):
        raise malformed(f"Idempotency-Key is unusable; accepted: one, of 1 to {LONGEST_KEY} visible ASCII characters.")
    return values[0].strip().strip('"')


def check_token(authorization: list[str], token: SecretStr | None, *, open_without: bool) -> None:
    """Compare the bearer token of a request with ours, in a time that does not depend on how alike they are.

    Args:
        authorization: the values of the header.
        token: ours; None if there is none.
        open_without: whether everybody is let in if there is none: only where nobody but this pod gets to.

    Raises:
        Problem: we have one, and it is not that; or we have none, and need one.
    """
    if token is None:
        if open_without:
            return
        told = "Nobody is let in from other machines as long as SIDECAR_API_TOKEN (the file api_token) is not set."
        raise Problem(HTTPStatus.UNAUTHORIZED, told)
    scheme, _, given = authorization[0].partition(" ") if len(authorization) == 1 else ("", "", "")
    right = hmac.compare_digest(
        given.strip().encode("utf-8", "surrogateescape"), token.get_secret_value().encode("utf-8", "surrogateescape")
    )
    if scheme.lower() != "bearer" or not right:
        told = "Send the header Authorization: Bearer, followed by the value of SIDECAR_API_TOKEN."
        raise Problem(HTTPStatus.UNAUTHORIZED, told)


def check_host(host: str | None) -> None:
    """Refuse a call that a page in somebody's browser made, to a name that it has led to this address.

    That is DNS rebinding: for the browser such a call stays within the page's own site, so that it asks nobody's leave.
    Source of the header: RFC 9110, section 7.2.

    Args:
        host: the value of the header `Host`; None if there is none, which no browser does.

    Raises:
        Problem: it is another name than `localhost`, or not an address of loopback.
    """
    if host is not None and not names_loopback(host):
        told = "Call 127.0.0.1 or localhost by that name, or set SIDECAR_API_TOKEN: then any name will do."
        raise Problem(HTTPStatus.MISDIRECTED_REQUEST, told)
