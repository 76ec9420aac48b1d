"""Telethon's transports, bounded: no packet of senseless length gets in, and a connection can be cut.

Whoever can write to the connection can send anything; what is refused here costs a connection, and nothing more.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from telethon import errors
from telethon.network import ConnectionTcpFull
from telethon.network.connection.connection import Connection
from telethon.network.connection.tcpfull import FullPacketCodec
from telethon.network.connection.tcpintermediate import IntermediatePacketCodec, RandomizedIntermediatePacketCodec

if TYPE_CHECKING:
    from typing import Protocol

    from telethon import TelegramClient

    class Stream(Protocol):
        """What packets are read from: a socket's stream, or what an MTProxy's encryption makes of it."""

        async def readexactly(self, size: int) -> bytes:
            """Read so many bytes."""
            ...


LARGEST_PACKET = 16 << 20
"""Bytes in one packet at most. Telegram sends a megabyte or so; whoever announces more speaks no MTProto, and what it
sends until a deadline would be kept in memory."""

_LENGTH_BYTES, _HEAD_BYTES = 4, 8
"""Bytes of a packet's length, and of all that precedes its content."""

_KEY_ID_BYTES, _OUTER_BYTES, _BLOCK = 8, 24, 16
"""Bytes of the key's identifier (what is shorter is a transport error), of all that is not encrypted, of AES."""

_RETRANSMITS = 2
"""Where the kernel's struct tcp_info counts the retransmissions since the last acknowledgement: a byte."""


class _Reader:
    """A stream that is not read for more than a packet may hold, and knows a transport error by its first four bytes.

    Telethon waits for eight, and takes an error that comes alone for the length of a packet.
    """

    def __init__(self, stream: Stream) -> None:
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


def _checked(packet: bytes) -> bytes:
    """Return a packet, if it is a transport error or whole blocks.

    One that is not whole blocks would reach libssl, which answers by ending the process; and whoever can write to the
    connection can send it, for the key's identifier that must precede it goes over the wire in clear.
    """
    if _encrypted(packet) and (len(packet) <= _OUTER_BYTES or (len(packet) - _OUTER_BYTES) % _BLOCK):
        raise errors.InvalidBufferError(b"")
    return packet


class _FullCodec(FullPacketCodec):  # type: ignore[misc]
    """Telethon's own codec, that lets no packet of senseless length in."""

    async def read_packet(self, reader: Stream) -> bytes:
        return _checked(await super().read_packet(_Reader(reader)))


class IntermediateCodec(IntermediatePacketCodec):  # type: ignore[misc]
    """The same for the "intermediate" transport."""

    async def read_packet(self, reader: Stream) -> bytes:
        """Read a packet."""
        return _checked(await _intermediate(reader))


class PaddedIntermediateCodec(RandomizedIntermediatePacketCodec):  # type: ignore[misc]
    """The same for "padded intermediate"; up to 15 bytes of padding are cut off, of which Telethon expects three.

    Source: https://core.telegram.org/mtproto/mtproto-transports#padded-intermediate
    """

    async def read_packet(self, reader: Stream) -> bytes:
        """Read a packet."""
        packet = await _intermediate(reader)
        if len(packet) < _OUTER_BYTES:  # no message is so short: it is an error, in its first four bytes
            return _checked(packet[:_LENGTH_BYTES])
        padding = (len(packet) - _OUTER_BYTES) % _BLOCK if _encrypted(packet) else 0  # what is not, says how long it is
        return _checked(packet[: len(packet) - padding])


def _encrypted(packet: bytes) -> bool:
    """Tell whether a key was used: neither for a transport error, nor while a key is being made, for a log-in."""
    return len(packet) >= _KEY_ID_BYTES and any(packet[:_KEY_ID_BYTES])


async def _intermediate(stream: Stream) -> bytes:
    head = await stream.readexactly(_LENGTH_BYTES)
    length = int.from_bytes(head, "little", signed=True)
    if length < 0:  # a transport error that comes alone
        raise errors.InvalidBufferError(head)
    if length > LARGEST_PACKET:
        raise errors.InvalidBufferError(b"")
    return await stream.readexactly(length)


class Transport(Connection):  # type: ignore[misc]
    """What we add to each of Telethon's transports: it remembers why dialling failed, and can be cut.

    Attributes:
        failure: why dialling failed, which Telethon hides behind an error of its own.
        proxied: whether there is a proxy between us and Telegram.
    """

    failure: OSError | None = None
    proxied = False

    @property
    def stuck(self) -> str:
        """Where it hangs on a proxy that has not let us through, in words; empty otherwise."""
        return ""

    async def connect(self, timeout: float | None = None, ssl: Any = None) -> None:  # noqa: ASYNC109 - not our signature
        """Dial, as Telethon asks for; an error is kept, for Telethon hides it behind one of its own."""
        try:
            await super().connect(timeout, ssl)
        except OSError as error:
            self.failure = error
            raise

    def unacknowledged(self) -> bool:
        """Tell whether the kernel sends again what the peer has not acknowledged (on Linux; elsewhere nobody knows).

        It begins to some half a second after the first time, so a deadline below a second may pass before.
        """
        if self._writer is None or not hasattr(socket, "TCP_INFO"):
            return False
        try:
            info = self._writer.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 3)
        except OSError:  # it is closed already
            return False
        return bool(info[_RETRANSMITS])

    def cut(self) -> None:
        """Close the socket at once; what is still to be sent is dropped."""
        if self._writer is not None:
            self._writer.transport.abort()


class FullTransport(Transport, ConnectionTcpFull):  # type: ignore[misc]
    """The transport that is used without an MTProxy: "full", Telethon's default."""

    packet_codec = _FullCodec


def transport_of(client: TelegramClient) -> Transport | None:
    """Return the transport that a client dials with, or has dialled with; None before."""
    transport: Transport | None = client._sender._connection  # noqa: SLF001 - see the top of `link`
    return transport
