"""What happens to one incoming envelope: checks, containers, compression, dispatch.

Source: https://core.telegram.org/mtproto/service_messages (containers, packed objects) and
https://core.telegram.org/mtproto/service_messages_about_messages (notifications, acknowledgements).

Rules of this file: it decides in which order things are checked. Identifier first, then salt, then sequence
number, because the first two are cured by the answer alone. A message is executed once at most. Nothing is
re-sent, so acknowledgements of the client are accepted and forgotten.
"""

import struct
import zlib
from typing import TYPE_CHECKING, Any

from telethon.errors import TypeNotFoundError
from telethon.extensions import BinaryReader
from telethon.tl import TLRequest, types
from telethon.tl.core import GzipPacked

from sidecar.simulator import rpc, service
from sidecar.simulator.dialogue import CONTAINER_ID, Dialogue, Reply
from sidecar.simulator.naming import method_name
from sidecar.simulator.plan import RawAnswer
from sidecar.simulator.sequence import Fault

if TYPE_CHECKING:
    from sidecar.simulator.connection import Connection
    from sidecar.simulator.datacentre import DataCentre
    from sidecar.simulator.envelope import Envelope
    from sidecar.simulator.session import Session

_MAX_MESSAGES = 1020
"""Messages in one container, at most."""
_MAX_UNPACKED = 10 << 20
"""Bytes that a packed object may unpack to; a bound of ours, against a mistake in a test."""

_CONSTRUCTOR = struct.Struct("<I")
_RPC_RESULT = struct.Struct("<Iq")
_RPC_RESULT_ID = 0xF35C6D01
_MESSAGE = struct.Struct("<qii")
_MALFORMED = (struct.error, BufferError, EOFError, IndexError, OSError, RuntimeError, ValueError, zlib.error)
"""What Telethon's reader and zlib raise for bytes that are not what they promise."""


class Exchange:
    """The replies that one envelope earns."""

    def __init__(self, dc: "DataCentre", connection: "Connection", session: "Session", dialogue: Dialogue) -> None:
        self.dc = dc
        self.connection = connection
        self.session = session
        self.dialogue = dialogue
        self._replies: list[Reply] = []
        self._first: int | None = None  # the lowest identifier that was accepted

    def receive(self, envelope: "Envelope") -> list[Reply]:
        """Check and execute what the envelope holds."""
        fault = self.dialogue.client.check_id(envelope.msg_id, self.dc.now())
        if fault is None and envelope.salt != self.session.salt:
            fault = Fault.BAD_SALT
        if fault is not None:
            self._reject(envelope.msg_id, envelope.seqno, fault)
        elif _constructor(envelope.body) == CONTAINER_ID:
            self._container(envelope.msg_id, envelope.seqno, envelope.body)
        else:
            self._message(envelope.msg_id, envelope.seqno, envelope.body)
        if self._first is not None and not self.dialogue.announced:
            self.dialogue.announced = True
            self._announce(self._first)
        return self._replies

    def _container(self, msg_id: int, seqno: int, body: bytes) -> None:
        client = self.dialogue.client
        inner = _split(body)
        if msg_id in client:
            fault: Fault | None = Fault.DUPLICATE_CONTAINER
        elif inner is None or any(inner_id >= msg_id for inner_id, _, _ in inner):
            fault = Fault.BAD_CONTAINER
        else:
            fault = client.check_seqno(msg_id, seqno, odd=False)
        if fault is not None or inner is None:
            self._reject(msg_id, seqno, fault or Fault.BAD_CONTAINER)
            return
        for inner_id, inner_seqno, inner_body in inner:
            if fault := client.check_id(inner_id, None):
                self._reject(inner_id, inner_seqno, fault)
            elif _constructor(inner_body) == CONTAINER_ID:
                self._reject(inner_id, inner_seqno, Fault.BAD_CONTAINER)
            else:
                self._message(inner_id, inner_seqno, inner_body)
        client.accept(msg_id, seqno)

    def _message(self, msg_id: int, seqno: int, body: bytes) -> None:
        client = self.dialogue.client
        if msg_id in client:  # sent again because our answer was lost: say that it came, do not do it again
            self._replies.append(Reply(bytes(types.MsgsAck([msg_id])), content_related=False))
            return
        request, trouble = _parse(body)
        if fault := client.check_seqno(msg_id, seqno, odd=service.parity(type(request))):
            self._reject(msg_id, seqno, fault)
            return
        client.accept(msg_id, seqno)
        self._first = msg_id if self._first is None else min(self._first, msg_id)
        if trouble is not None:
            self.dc.violate(trouble)
            self._result(msg_id, rpc.error(400, "INPUT_METHOD_INVALID"))
        elif type(request) in service.HANDLERS:
            self._service(msg_id, request)
        else:
            self._call(msg_id, request)

    def _service(self, msg_id: int, request: Any) -> None:
        if isinstance(request, TLRequest):
            name = method_name(request)
            self.dc.requests[name] += 1
            planned = self.dc.plan.take(name)
            if isinstance(planned, RawAnswer):  # a mishap is planned for calls of the API alone
                self._result(msg_id, planned.body)
                return
        if reply := service.HANDLERS[type(request)](self, msg_id, request):
            self._replies.append(reply)

    def _call(self, msg_id: int, request: Any) -> None:
        answer = rpc.answer(request, self.session, self.dialogue, self.dc)
        if answer.reset:
            self.connection.reset()
        elif answer.body is not None and answer.delay:
            self.connection.reply_later(self.session, self.dialogue, _rpc_result(msg_id, answer.body), answer.delay)
        elif answer.body is not None:
            self._result(msg_id, answer.body)

    def _result(self, msg_id: int, body: bytes) -> None:
        self._replies.append(_rpc_result(msg_id, body))

    def _reject(self, msg_id: int, seqno: int, fault: Fault) -> None:
        if fault is Fault.BAD_SALT:
            notice: Any = types.BadServerSalt(msg_id, seqno, fault, self.session.salt)
        else:
            notice = types.BadMsgNotification(msg_id, seqno, fault)
        if fault.is_violation:
            self.dc.violate(f"{fault.name}: message {msg_id} with sequence number {seqno}")
        self._replies.append(Reply(bytes(notice), content_related=False))

    def _announce(self, first: int) -> None:
        # Before the answers, as Telegram does; it makes the client acknowledge, hence content-related.
        created = types.NewSessionCreated(first, self.dc.rng.getrandbits(63), self.session.salt)
        self._replies.insert(0, Reply(bytes(created), content_related=True, answer=False))


def _rpc_result(msg_id: int, body: bytes) -> Reply:
    return Reply(_RPC_RESULT.pack(_RPC_RESULT_ID, msg_id) + body, content_related=True)


def _constructor(body: bytes) -> int | None:
    return _CONSTRUCTOR.unpack_from(body)[0] if len(body) >= _CONSTRUCTOR.size else None


def _split(container: bytes) -> list[tuple[int, int, bytes]] | None:
    """Identifier, sequence number and body of each message; None if the container does not add up."""
    messages = []
    try:
        _, count = struct.unpack_from("<Ii", container)
        if not 0 < count <= _MAX_MESSAGES:
            return None
        offset = 8
        for _ in range(count):
            msg_id, seqno, length = _MESSAGE.unpack_from(container, offset)
            offset += _MESSAGE.size + length
            if length < 0 or length % 4 or offset > len(container):
                return None
            messages.append((msg_id, seqno, container[offset - length : offset]))
    except struct.error:
        return None
    return messages if offset == len(container) else None


def _parse(body: bytes) -> tuple[Any, str | None]:
    """The object that a body holds, unpacked, and what is wrong with it if anything is."""
    try:
        if _constructor(body) == GzipPacked.CONSTRUCTOR_ID:
            packed = BinaryReader(body[_CONSTRUCTOR.size :]).tgread_bytes()
            body = zlib.decompressobj(wbits=31).decompress(packed, _MAX_UNPACKED)
        return BinaryReader(body).tgread_object(), None
    except TypeNotFoundError as error:
        return None, f"unknown constructor {error.invalid_constructor_id:08x}"
    except _MALFORMED as error:
        return None, f"malformed message: {error}"
