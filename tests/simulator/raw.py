"""A hand-made client: it says what it is told to, right or wrong. Encryption is Telethon's own."""

import asyncio
import contextlib
import logging
import struct
import time
from collections import defaultdict
from typing import Any
from zlib import crc32

from telethon.crypto import AuthKey
from telethon.network.mtprotostate import MTProtoState
from telethon.tl import functions, types
from telethon.tl.core import MessageContainer

from sidecar.simulator import Session

LAYER = 229


def initial(query: Any) -> Any:
    """The query in the wrappers of a client's first call."""
    return functions.InvokeWithLayerRequest(
        LAYER, functions.InitConnectionRequest(1, "test", "1", "1", "en", "", "en", query)
    )


def self_user() -> Any:
    """The call that a watchdog makes."""
    return functions.users.GetUsersRequest([types.InputUserSelf()])


def message(msg_id: int, seqno: int, body: Any) -> bytes:
    """One message as it stands in an envelope or in a container."""
    data = bytes(body)
    return struct.pack("<qii", msg_id, seqno, len(data)) + data


def container(*messages: bytes) -> bytes:
    """The body of msg_container."""
    return struct.pack("<Ii", MessageContainer.CONSTRUCTOR_ID, len(messages)) + b"".join(messages)


def frame(payload: bytes, sequence: int = 0) -> bytes:
    """A frame of the full transport."""
    head = struct.pack("<ii", len(payload) + 12, sequence) + payload
    return head + struct.pack("<I", crc32(head))


class RawClient:
    """One connection and one MTProto session."""

    def __init__(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.session = session
        self.reader = reader
        self.writer = writer
        loggers: defaultdict[str, logging.Logger] = defaultdict(lambda: logging.getLogger("raw"))
        self.state = MTProtoState(AuthKey(session.key.data), loggers)
        self.state.salt = session.salt
        self.sent = 0
        self._id = int(time.time()) << 32

    def next_id(self) -> int:
        """A fresh message identifier by the local clock."""
        self._id += 4
        return self._id

    def next_seqno(self, *, odd: bool = True) -> int:
        """The sequence number that a right message has."""
        return int(self.state._get_seq_no(odd))

    def send_packet(self, packet: bytes) -> None:
        """Send a payload in a right frame."""
        self.writer.write(frame(packet, self.sent))
        self.sent += 1

    def send(self, body: Any, *, msg_id: int | None = None, seqno: int | None = None) -> int:
        """Send one message, with the numbers given or right ones; its identifier."""
        msg_id = self.next_id() if msg_id is None else msg_id
        seqno = self.next_seqno() if seqno is None else seqno
        self.send_packet(self.state.encrypt_message_data(message(msg_id, seqno, body)))
        return msg_id

    async def receive(self) -> list[Any]:
        """The messages (TLMessage) of the next packet, taken out of a container if need be."""
        length, _ = struct.unpack("<ii", header := await self.reader.readexactly(8))
        rest = await self.reader.readexactly(length - 8)
        assert crc32(header + rest[:-4]) == struct.unpack("<I", rest[-4:])[0]
        if length == 16:
            return [struct.unpack("<i", rest[:-4])[0]]
        # Telethon drops an identifier below the highest seen before; here each is looked at for itself.
        outer = self.state.decrypt_message_data(rest[:-4])
        return list(outer.obj.messages) if isinstance(outer.obj, MessageContainer) else [outer]

    async def ask(self, body: Any, *, msg_id: int | None = None, seqno: int | None = None) -> Any:
        """Send one message; the object of the last message in the packet that comes back."""
        self.send(body, msg_id=msg_id, seqno=seqno)
        return (await self.receive())[-1].obj

    async def open(self) -> None:
        """Do what a good client does first."""
        await self.ask(initial(functions.help.GetConfigRequest()))

    async def closed(self) -> bool:
        """Wait for the server's FIN; True if nothing came before it."""
        return await self.reader.read() == b""

    async def close(self) -> None:
        """Send FIN."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()
