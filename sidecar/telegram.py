"""Telethon behind `Link`: the only module of the daemon that imports it, and the one that translates its errors.

How Telethon is held, and why (measured with 1.45):

* A client is used once. A reused one keeps a stuck ping, queued requests and flood memory.
* All of its own retrying is off: it hammers a peer that accepts and drops, and hides a dead connection for minutes.
* `connect()` succeeds with a revoked session, and `get_me()` turns every 401 into `None`; so who we are is asked with
  the raw request, which raises the true error.
* When Telethon drops a connection, awaits in flight get a `CancelledError` that nobody asked for. Here it is a loss.
* Of its private parts four are touched, each in one place: `_sender.send` (a ping must go bare, as Telethon's own
  does), `_sender._connection` (to learn why dialling failed, and to cut a connection that does not close),
  `_sender._state._ignore_count` (to tell silence from answers that Telethon drops), and `_switch_dc` (Telegram's "go to
  another data centre" makes Telethon wipe the auth key; we go nowhere).
"""

from __future__ import annotations

import asyncio
import gzip
import secrets
import socket
import struct
import time
import zlib
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from telethon import TelegramClient, errors, functions, types
from telethon.network import ConnectionTcpFull
from telethon.network.connection.tcpfull import FullPacketCodec
from telethon.sessions import StringSession

from sidecar.link import CUT_SECONDS, Endpoint, Identity, LinkBusy, LinkError, LinkLost, LinkRefused, Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from typing import Never

    from sidecar.credentials import Credentials

TRANSPORT_FLOOD_WAIT = 120.0
"""Seconds to stay away after transport error -429 (too many connections): the next ones would only prolong it."""

UNKNOWN_KEY_WAIT = 120.0
"""Seconds to stay away after transport error -404 (unknown auth key): a passing fault of theirs needs minutes."""

LARGEST_PACKET = 16 << 20
"""Bytes in one packet at most. Telegram sends a megabyte or so; whoever announces more speaks no MTProto, and what it
sends until a deadline would be kept in memory."""

_LENGTH_BYTES, _HEAD_BYTES = 4, 8
"""Bytes of a packet's length, and of all that precedes its content."""

_KEY_ID_BYTES, _OUTER_BYTES, _BLOCK = 8, 24, 16
"""Bytes of the key's identifier (what is shorter is a transport error), of all that is not encrypted, of AES."""

UNTIMED_FLOOD_WAIT = 60.0
"""Seconds to hold back after a flood error that does not say how long."""


@asynccontextmanager
async def dial(credentials: Credentials, *, close_timeout: float, disconnect_delay: int) -> AsyncIterator[TelegramLink]:
    """Open a connection to Telegram with these credentials; close it when the block is left.

    The caller sets the deadline for entering the block.

    Args:
        credentials: the account and the application.
        close_timeout: seconds that closing may take before the socket is cut; cut, it is gone within `CUT_SECONDS`.
        disconnect_delay: seconds after the last ping at which Telegram drops a connection that went silent.

    Raises:
        LinkError: Telegram could not be reached, or refused.
    """
    facts = credentials.facts
    client = _Client(
        StringSession(credentials.session.get_secret_value()),
        credentials.api_id,
        credentials.api_hash.get_secret_value(),
        connection=_Transport,
        use_ipv6=facts.ipv6,
        # Without a timeout of its own Telethon awaits the dialling plainly. With one it uses asyncio.wait_for, which
        # before Python 3.12 can swallow the cancellation that is our deadline.
        timeout=None,
        auto_reconnect=False,
        connection_retries=0,
        retry_delay=0,
        request_retries=0,
        raise_last_call_error=True,
        flood_sleep_threshold=0,
        receive_updates=False,
        # What the account's owner reads in the list of sessions: always the same, whatever the node.
        device_model="telethon-sidecar",
        system_version="1.0",
        app_version="1.0",
    )
    try:
        with _verdicts(client):
            await client.connect()
            config = await client(functions.help.GetConfigRequest())
        # Telegram tells whole seconds; half a second is the expected rest.
        offset = config.date.timestamp() + 0.5 - time.time()
        yield TelegramLink(client, Endpoint(dc=facts.dc, clock_offset=offset), disconnect_delay)
    finally:
        await _close(client, close_timeout)


class TelegramLink:
    """One live connection to Telegram."""

    def __init__(self, client: TelegramClient, endpoint: Endpoint, disconnect_delay: int) -> None:
        self.client = client
        self.endpoint = endpoint
        self._disconnect_delay = disconnect_delay

    async def ping(self) -> None:
        """Ping, and have Telegram drop this connection if no other ping follows in time.

        The answer's future is never cancelled: Telethon would complain when the answer came after all.
        """
        with _verdicts(self.client):
            request = functions.PingDelayDisconnectRequest(
                ping_id=secrets.randbits(63), disconnect_delay=self._disconnect_delay
            )
            answer = self.client._sender.send(request)  # noqa: SLF001 - client(request) would wrap it
            answer.add_done_callback(_look_at)
            await asyncio.wait({answer})
            answer.result()

    async def check(self) -> Identity:
        """Ask Telegram who we are."""
        with _verdicts(self.client):
            users = await self.client(functions.users.GetUsersRequest([types.InputUserSelf()]))
        match users:
            case [types.User() as me]:
                return Identity(
                    user_id=me.id,
                    is_bot=bool(me.bot),
                    username=me.username,
                    first_name=me.first_name,
                    last_name=me.last_name,
                    phone=me.phone,
                )
            case _:
                raise LinkLost(Reason.PROTOCOL, "Telegram answered get_me with no user")

    def doubt(self) -> str:
        """Say that Telethon drops answers, if it does: it judges them by our clock, and tells only its log."""
        dropped = self.client._sender._state._ignore_count  # noqa: SLF001 - see the top of this file
        if not dropped:
            return ""
        return f"; {dropped} answers were dropped because their time is far from ours: the clock of one side is wrong"

    def cut(self) -> None:
        """Give the connection up at once: what is still to be sent is dropped."""
        if transport := _transport(self.client):
            transport.cut()

    async def lost(self) -> Never:
        """Wait for the connection to end, then raise why."""
        with _verdicts(self.client):
            ended = self.client.disconnected
            ended.add_done_callback(_look_at)
            await asyncio.wait({ended})
            ended.result()
        raise LinkLost(Reason.CLOSED, "Telethon gave the connection up")


class _Reader:
    """A stream that is not read for more than a packet may hold, and knows a transport error by its first four bytes.

    Telethon waits for eight, and takes an error that comes alone for the length of a packet.
    """

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream

    async def readexactly(self, size: int) -> bytes:
        if size > LARGEST_PACKET:
            raise errors.InvalidBufferError(b"")
        if size != _HEAD_BYTES:
            return await self._stream.readexactly(size)
        length = await self._stream.readexactly(_LENGTH_BYTES)
        if int.from_bytes(length, "little", signed=True) < 0:
            raise errors.InvalidBufferError(length)
        return length + await self._stream.readexactly(_HEAD_BYTES - _LENGTH_BYTES)


class _Codec(FullPacketCodec):  # type: ignore[misc]
    """Telethon's own codec, that lets no packet of senseless length in.

    One that is not whole blocks would reach libssl, which answers by ending the process; and whoever can write to the
    connection can send it, for the key's identifier that must precede it goes over the wire in clear.
    """

    async def read_packet(self, reader: asyncio.StreamReader) -> bytes:
        packet: bytes = await super().read_packet(_Reader(reader))
        if len(packet) >= _KEY_ID_BYTES and (len(packet) <= _OUTER_BYTES or (len(packet) - _OUTER_BYTES) % _BLOCK):
            raise errors.InvalidBufferError(b"")
        return packet


class _Transport(ConnectionTcpFull):  # type: ignore[misc]
    """Telethon's own transport, that also remembers why dialling failed, and can be cut."""

    packet_codec = _Codec
    failure: OSError | None = None

    async def connect(self, timeout: float | None = None, ssl: Any = None) -> None:  # noqa: ASYNC109 - not our signature
        try:
            await super().connect(timeout, ssl)
        except OSError as error:
            self.failure = error
            raise

    def cut(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()


class _Client(TelegramClient):  # type: ignore[misc]
    """Telethon's own client, that stays with the data centre of its session."""

    async def _switch_dc(self, new_dc: int) -> Never:
        raise LinkLost(
            Reason.MIGRATED, f"Telegram sends the account to data centre {new_dc}, the session is for another"
        )


async def _close(client: TelegramClient, close_timeout: float) -> None:
    """Disconnect within so many seconds, by force if need be. Never raises, but for a cancellation."""
    transport = _transport(client)
    closing = client.disconnect()
    for future in (closing, client.disconnected):
        future.add_done_callback(_look_at)
    try:
        await asyncio.wait({closing}, timeout=close_timeout)
    finally:
        if transport:
            transport.cut()
    await asyncio.wait({closing}, timeout=CUT_SECONDS)


def _transport(client: TelegramClient) -> _Transport | None:
    transport: _Transport | None = client._sender._connection  # noqa: SLF001 - see the top of this file
    return transport


def _look_at(future: asyncio.Future[Any]) -> None:
    """Look at an outcome that nobody may ask for any more, or asyncio complains that nobody did."""
    if not future.cancelled():
        future.exception()


# --------------------------------------------------------------------------------------------- translation of errors


@contextmanager
def _verdicts(client: TelegramClient) -> Iterator[None]:
    """Let out nothing but verdicts, and cancellations that were asked for."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise LinkLost(Reason.CLOSED, "Telethon dropped the connection with the question unanswered") from None
    except LinkError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever Telethon lets out gets a verdict
        transport = _transport(client)
        cause = (transport and transport.failure) or error
        raise verdict(cause) from cause


_REFUSED: tuple[tuple[type[Exception], Reason, str], ...] = (
    (errors.AuthKeyUnregisteredError, Reason.UNREGISTERED, "the session is not (or no longer) logged in"),
    (errors.SessionRevokedError, Reason.REVOKED, "the session was ended by its owner"),
    (errors.SessionExpiredError, Reason.EXPIRED, "the session expired"),
    (errors.UserDeactivatedBanError, Reason.BANNED, "the account is banned"),
    (errors.UserDeactivatedError, Reason.DEACTIVATED, "the account is deleted or deactivated"),
    (
        errors.AuthKeyDuplicatedError,
        Reason.DUPLICATED,
        "the session was used over two connections at once and is dead",
    ),
    (errors.UnauthorizedError, Reason.UNAUTHORIZED, "Telegram does not accept the session"),
    (errors.ApiIdInvalidError, Reason.BAD_API_CREDENTIALS, "API_ID and API_HASH do not belong together"),
    (errors.ConnectionApiIdInvalidError, Reason.BAD_API_CREDENTIALS, "Telegram does not know API_ID"),
    (errors.ApiIdPublishedFloodError, Reason.BAD_API_CREDENTIALS, "API_ID is a published one and blocked"),
    (errors.UpdateAppToLoginError, Reason.UPDATE_REQUIRED, "Telegram asks for a newer client"),
    (errors.InputLayerInvalidError, Reason.UPDATE_REQUIRED, "Telegram no longer speaks this client's layer"),
)

_TRANSIENT = (
    errors.ServerError,
    errors.TimedOutError,
    errors.RpcCallFailError,
    errors.RpcMcgetFailError,
    errors.InterdcCallErrorError,
    errors.InterdcCallRichErrorError,
)
"""What Telethon itself takes for an internal fault of Telegram."""


def verdict(error: Exception) -> LinkError:
    """Translate an error of Telethon, of the network or of Telegram into a verdict.

    The details name the error's class, and its text only where that is known to be free of secrets: an error about an
    unreadable answer, for one, quotes the answer.
    """
    name = type(error).__name__
    for kind, reason, meaning in _REFUSED:
        if isinstance(error, kind):
            return LinkRefused(reason, f"{meaning} ({name})")
    match error:
        case errors.FloodError():
            seconds = float(getattr(error, "seconds", UNTIMED_FLOOD_WAIT))
            return LinkBusy(Reason.FLOOD_WAIT, f"Telegram asks to hold back for {seconds:g} s ({name})", wait=seconds)
        case _ if isinstance(error, _TRANSIENT):
            return LinkBusy(Reason.SERVER_ERROR, f"Telegram has a fault of its own ({name})")
        case errors.InvalidDCError():
            return LinkLost(Reason.MIGRATED, f"the account lives in another data centre ({name})")
        case errors.RPCError() | errors.TypeNotFoundError():
            return LinkBusy(Reason.PROTOCOL, f"Telegram answered with something unexpected ({name})")
        case errors.AuthKeyNotFound() | errors.InvalidBufferError(code=404):
            return LinkLost(Reason.UNKNOWN_KEY, "Telegram does not know the auth key (-404)", wait=UNKNOWN_KEY_WAIT)
        case errors.InvalidBufferError(code=429):
            too_many = "Telegram says too many connections (-429)"
            return LinkLost(Reason.TRANSPORT_FLOOD, too_many, wait=TRANSPORT_FLOOD_WAIT)
        case asyncio.IncompleteReadError():
            return LinkLost(Reason.CLOSED, "Telegram closed the connection")
        case gzip.BadGzipFile() | zlib.error() | EOFError():  # the first is an OSError, and quotes the answer
            return LinkLost(Reason.PROTOCOL, f"something unreadable on the wire ({name})")
        case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return LinkLost(Reason.RESET, f"the connection was reset ({name})")
        case ConnectionRefusedError() | socket.gaierror():
            return LinkLost(Reason.UNREACHABLE, f"the data centre cannot be reached ({error})")
        case ConnectionError():
            return LinkLost(Reason.CLOSED, f"the connection is closed ({name})")
        case OSError():
            return LinkLost(Reason.UNREACHABLE, f"the data centre cannot be reached ({error})")
        case errors.BadMessageError() | errors.InvalidChecksumError() | errors.SecurityError():
            return LinkLost(Reason.PROTOCOL, f"something unreadable on the wire ({name})")
        case BufferError() | ValueError() | IndexError() | struct.error():
            return LinkLost(Reason.PROTOCOL, f"something unreadable on the wire ({name})")
        case RuntimeError() if str(error).startswith("Invalid boolean code"):  # Telethon's reader has no better word
            return LinkLost(Reason.PROTOCOL, f"something unreadable on the wire ({name})")
        case _:
            return LinkLost(Reason.UNEXPECTED, f"{name}, which nobody expected; see the traceback")
