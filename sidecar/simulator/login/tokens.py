"""Log-in tokens: what a QR code shows, and another device of the person accepts.

Source: https://core.telegram.org/api/qr-login and the errors of https://core.telegram.org/method/auth.acceptLoginToken

Rules of this file: a token belongs to the key that asked for it. Accepting is not yet logging in: the client has to
ask again, and may be asked for a password then.
"""

from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from sidecar.simulator.methods import RpcFault

if TYPE_CHECKING:
    from sidecar.simulator.datacentre import DataCentre
    from sidecar.simulator.session import Session

_TOKEN_BYTES = 32


@dataclass(slots=True)
class Token:
    """One token."""

    session: "Session"
    """Whom it lets in."""
    expires: int
    """Wall-clock time, seconds since 1970."""
    accepted: bool = False


class Tokens:
    """Every token that was handed out."""

    def __init__(self, dc: "DataCentre", seconds: int) -> None:
        self._dc = dc
        self._seconds = seconds
        self._tokens: dict[bytes, Token] = {}

    def hand_out(self, session: "Session") -> tuple[bytes, int]:
        """A new token, and when it expires. Earlier ones of the same key stay valid until their own time."""
        value = self._dc.rng.randbytes(_TOKEN_BYTES)
        token = Token(session, int(self._dc.now()) + self._seconds)
        self._tokens[value] = token
        return value, token.expires

    def accept(self, url: str) -> "Session":
        """Accept the token of a tg://login link; the key that it lets in.

        Raises:
            RpcFault: AUTH_TOKEN_INVALID, AUTH_TOKEN_EXPIRED or AUTH_TOKEN_ALREADY_ACCEPTED.
        """
        token = self._tokens.get(_value(url))
        if token is None:
            raise RpcFault(400, "AUTH_TOKEN_INVALID")
        if self._dc.now() >= token.expires:
            raise RpcFault(400, "AUTH_TOKEN_EXPIRED")
        if token.accepted:
            raise RpcFault(400, "AUTH_TOKEN_ALREADY_ACCEPTED")
        token.accepted = True
        return token.session


def _value(url: str) -> bytes:
    parts = urlsplit(url)
    shown = parse_qs(parts.query).get("token", [""])[0]
    if (parts.scheme, parts.netloc) != ("tg", "login"):
        raise RpcFault(400, "AUTH_TOKEN_INVALID")
    return urlsafe_b64decode(shown + "=" * (-len(shown) % 4))
