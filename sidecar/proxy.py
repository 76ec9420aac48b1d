"""What a proxy's URL says, without Telethon and without a network.

Rules of this file: standard library only. A password or an MTProxy secret is in no error and in no repr.

Telethon is too lenient to be asked about an MTProxy secret: it drops what is not base64, cuts what is too long, and
takes the first two digits of some for a mark. So its bytes are worked out here.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from sidecar.address import host_port

if TYPE_CHECKING:
    from urllib.parse import SplitResult

EXTRA = "telethon-sidecar[proxy]"
"""What must be installed to dial through a proxy; Telethon wants it for MTProxy, too."""

_SECRET_BYTES = 16
_PADDED, _FAKE_TLS = 0xDD, 0xEE
"""What an MTProxy secret of more than 16 bytes begins with.

Source: https://core.telegram.org/mtproto/mtproto-transports#transport-obfuscation and the links that proxies give out.
"""

_LONGEST_SOCKS5_NAME = 255
"""Bytes of a user name or password. Source: RFC 1929, section 2."""


class Scheme(StrEnum):
    """The kinds of proxy."""

    SOCKS5 = "socks5"
    HTTP = "http"
    MTPROXY = "mtproxy"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and what it asks of those who use it.

    Attributes:
        host: its name or address; an IPv6 address without brackets.
        user: for SOCKS5 and HTTP, if it asks for one.
        password: given if and only if `user` is.
        secret: of an MTProxy, 16 bytes.
        padded: whether that MTProxy wants packets of disguised length ("dd" secrets).
    """

    scheme: Scheme
    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    secret: bytes = field(default=b"", repr=False)
    padded: bool = False

    @property
    def address(self) -> str:
        """Host and port, to be shown."""
        return host_port(self.host, self.port)


NOT_INSTALLED = f"needs what is not installed: pip install '{EXTRA}', or unset it"
"""What to say of SIDECAR_PROXY where that is so."""


def installed() -> bool:
    """Tell whether what dialling through a proxy needs is installed."""
    return find_spec("python_socks") is not None


def read_proxy(text: str) -> Proxy:
    """Read a proxy's URL. User, password and secret may be percent-encoded.

    Raises:
        ValueError: it is no such URL, or not one that can be used; the message says what is wrong, fits after "is",
            and never repeats any of the text.
    """
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        raise ValueError("not a URL") from None
    if url.scheme not in set(Scheme) or not host or not port:
        raise ValueError("not a proxy's URL with scheme, host and port")
    if url.path.strip("/") or url.query or url.fragment:
        raise ValueError("a URL that goes on after the port (in a password write / as %2F, ? as %3F, # as %23)")
    scheme = Scheme(url.scheme)
    if scheme is Scheme.MTPROXY:
        secret, padded = _secret(url)
        return Proxy(scheme, host, port, secret=secret, padded=padded)
    user, password = _login(scheme, url)
    return Proxy(scheme, host, port, user, password)


def _login(scheme: Scheme, url: SplitResult) -> tuple[str, str] | tuple[None, None]:
    user, password = unquote(url.username or ""), unquote(url.password or "")
    if not user and not password:
        return None, None
    if not user or (scheme is Scheme.SOCKS5 and not password):
        raise ValueError("a proxy's URL with a user or a password, and not both")
    if scheme is Scheme.HTTP:
        if ":" in user:  # RFC 7617, section 2
            raise ValueError("an HTTP proxy's URL with a colon in the user's name, which HTTP cannot say")
        if not _is(user + password, "latin-1"):
            raise ValueError("an HTTP proxy's URL with a user or password that is not Latin-1")
    elif not _is(user + password, "ascii") or max(len(user), len(password)) > _LONGEST_SOCKS5_NAME:
        raise ValueError("a SOCKS5 proxy's URL with a user or password that is not ASCII, or too long")
    return user, password


def _is(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _secret(url: SplitResult) -> tuple[bytes, bool]:
    """Return the 16 bytes of an MTProxy secret, and whether packets are to be padded."""
    if not url.username:
        raise ValueError("an mtproxy without its secret")
    if url.password is not None:
        raise ValueError("an mtproxy with a password (it has a secret only, before the @)")
    data = _decoded(unquote(url.username))
    if len(data) == _SECRET_BYTES:
        return data, False
    if len(data) == _SECRET_BYTES + 1 and data[0] == _PADDED:
        return data[1:], True
    if len(data) > _SECRET_BYTES and data[0] == _FAKE_TLS:
        raise ValueError(
            "an mtproxy with a fake-TLS secret (ee…), which Telethon cannot speak: "
            "ask whoever runs the proxy for a plain or a dd secret"
        )
    raise ValueError("an mtproxy with a secret that is not 16 bytes, nor dd and 16 bytes, in hexadecimal or base64")


def _decoded(text: str) -> bytes:
    """Decode hexadecimal, or either alphabet of base64; nothing if it is none of them."""
    if re.fullmatch(r"([0-9a-fA-F]{2})+", text):
        return bytes.fromhex(text)
    bare = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
