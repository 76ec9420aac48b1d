"""Telethon's transports through a proxy: SOCKS5, HTTP CONNECT and MTProxy.

Two things of Telethon's own are not used (measured with 1.45):

* Its way of dialling through python-socks, because it replaces that library's errors with plain `ConnectionError` for
  the whole process. Ours asks python-socks itself, and keeps apart what an operator can act on.
* Its wait of 2 s after dialling an MTProxy, because that stands on `asyncio.wait_for`, which before Python 3.12 can
  swallow the cancellation that is our deadline. A proxy that closes is noticed when it does.

Of its private parts these are used: `_proxy_connect`, `_connect` and `_recv` are replaced or extended, and `_ip`,
`_port` and `_proxy` are read.

Rules of this file: no text of python-socks or of a proxy is passed on, for it may quote what we sent. What is told is
in our words, with codes that come from a closed set.
"""

from __future__ import annotations

import asyncio
import os
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from telethon.network import ConnectionTcpMTProxyIntermediate, ConnectionTcpMTProxyRandomizedIntermediate
from telethon.network.connection.tcpmtproxy import TcpMTProxy

from sidecar.link import Reason
from sidecar.proxy import Proxy, Scheme, read_proxy
from sidecar.telegram.wire import FullTransport, IntermediateCodec, PaddedIntermediateCodec, Transport

try:
    # Here and not later: these must be bound before anybody has Telethon replace them.
    import python_socks
    from python_socks.async_.asyncio import Proxy as Dialler
except ImportError:  # the extra is not installed: `credentials` says so, and nothing is dialled through a proxy
    pass

if TYPE_CHECKING:
    from pydantic import SecretStr

_SOCKS5_REPLIES = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}
"""Source: RFC 1928, section 6."""

_WHO_ARE_YOU = (HTTPStatus.UNAUTHORIZED, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED)
"""Some proxies answer a wrong password with 401, which is not for proxies, and a missing one with 407."""


class ProxyFault(ConnectionError):
    """A proxy does not let us through.

    Attributes:
        reason: why, from the closed set.
        detail: one line for a person, free of secrets.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def transport(url: SecretStr | None) -> tuple[type[Transport], Any]:
    """Return the transport through the proxy at this URL, if there is one, and the argument that Telethon hands it."""
    if url is None:
        return FullTransport, None
    proxy = read_proxy(url.get_secret_value())
    if proxy.scheme is not Scheme.MTPROXY:
        return Tunnel, proxy
    # With "dd" before it Telethon takes the secret as it is; without, one that happens to begin with dd would be cut.
    return PaddedMTProxy if proxy.padded else MTProxy, (proxy.host, proxy.port, "dd" + proxy.secret.hex())


class Tunnel(FullTransport):
    """The full transport through a SOCKS5 or HTTP proxy, which connects us to Telegram and then gets out of the way."""

    proxied = True
    _through = False

    @property
    def stuck(self) -> str:
        """Where it hangs on the proxy, in words; empty once the way is open."""
        return "" if self._through else f"the proxy {self._proxy.address} has not opened the way to Telegram"

    async def _proxy_connect(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - Telethon's signature
        local_addr: object = None,  # noqa: ARG002 - as above
    ) -> socket.socket:
        proxy: Proxy = self._proxy
        kind = python_socks.ProxyType[proxy.scheme.name]
        dialler = Dialler(kind, proxy.host, proxy.port, proxy.user, proxy.password)
        try:
            opened = await dialler.connect(self._ip, self._port, timeout=timeout)
        except Exception as error:
            raise _fault(proxy, error) from error
        # asyncio does this for the sockets that it makes itself. Without it, the second of two small packets waits for
        # the kernel's delayed acknowledgement.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._through = True
        return opened


def _fault(proxy: Proxy, error: Exception) -> ProxyFault:
    """Judge what python-socks raised."""
    who = f"the proxy {proxy.address}"
    match error:
        case python_socks.ProxyConnectionError(__cause__=OSError() as cause):
            return _unreachable(proxy.address, cause)
        case UnicodeError():  # the name of the host cannot be looked up; passwords are checked when they are read
            return _unreachable(proxy.address, error)
        case python_socks.ProxyTimeoutError():
            return ProxyFault(Reason.PROXY_TIMEOUT, f"{who} has not opened the way to Telegram in time")
        case python_socks.ProxyError(error_code=int(code)) if proxy.scheme is Scheme.HTTP:
            if code in _WHO_ARE_YOU:
                return _unauthorized(who, proxy, f"HTTP status {code:d}")
            known = f" {HTTPStatus(code).phrase}" if code in set(HTTPStatus) else ""
            return ProxyFault(Reason.PROXY_FAILED, f"{who} cannot reach Telegram (HTTP status {code:d}{known})")
        case python_socks.ProxyError(error_code=int(code)):
            told = f"SOCKS5 reply {code:d}, {_SOCKS5_REPLIES.get(code, 'unknown')}"
            return ProxyFault(Reason.PROXY_FAILED, f"{who} cannot reach Telegram ({told})")
        case python_socks.ProxyError() if proxy.scheme is Scheme.SOCKS5 and "authentication" in str(error):
            return _unauthorized(who, proxy, "SOCKS5")
        case _:
            what = f"{who} broke off, or answered with something that is not {proxy.scheme.upper()}"
            return ProxyFault(Reason.PROXY_FAILED, f"{what} ({type(error).__name__})")


def _unauthorized(who: str, proxy: Proxy, how: str) -> ProxyFault:
    what = "does not accept user and password" if proxy.user else "asks for a user and password"
    return ProxyFault(Reason.PROXY_UNAUTHORIZED, f"{who} {what} ({how})")


def _unreachable(address: str, error: Exception) -> ProxyFault:
    match error:
        case socket.gaierror():
            why = error.strerror or "its name is not known"
        case OSError(errno=int(number)):
            why = os.strerror(number)
        case UnicodeError():
            why = "its name is no host name"
        case _:
            why = type(error).__name__
    return ProxyFault(Reason.PROXY_UNREACHABLE, f"the proxy {address} cannot be reached ({why})")


class _MTProxy(Transport, TcpMTProxy):  # type: ignore[misc]
    """The way through an MTProxy, which says nothing of its own: neither "welcome" nor why it closes."""

    proxied = True
    _heard = False

    @property
    def stuck(self) -> str:
        """Where it hangs, in words; empty once something came. Before, hanging Telegram looks like a hanging proxy."""
        return "" if self._heard else f"nothing has come through the proxy {self._address} yet"

    @property
    def _address(self) -> str:
        return Proxy(Scheme.MTPROXY, self._ip, self._port).address

    async def _connect(self, timeout: float | None = None, ssl: Any = None) -> None:  # noqa: ASYNC109 - as Telethon's
        try:
            await super(TcpMTProxy, self)._connect(timeout, ssl)
        except (OSError, UnicodeError) as error:
            raise _unreachable(self._address, error) from error

    async def _recv(self) -> bytes:
        try:
            packet: bytes = await super()._recv()
        except (OSError, asyncio.IncompleteReadError) as error:
            if self._heard:
                raise
            what = f"the proxy {self._address} closed the connection before anything came through it"
            self.failure = ProxyFault(Reason.PROXY_FAILED, what)
            raise self.failure from error
        self._heard = True
        return packet


class MTProxy(_MTProxy, ConnectionTcpMTProxyIntermediate):  # type: ignore[misc]
    """Through an MTProxy with a plain secret."""

    packet_codec = IntermediateCodec


class PaddedMTProxy(_MTProxy, ConnectionTcpMTProxyRandomizedIntermediate):  # type: ignore[misc]
    """Through an MTProxy with a "dd" secret: random bytes disguise the length of every packet."""

    packet_codec = PaddedIntermediateCodec
