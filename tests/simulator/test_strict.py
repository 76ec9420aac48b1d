"""Hand-made messages, right and wrong, get the answer that Telegram gives."""

import gzip
import struct
import time
from typing import Any

import pytest
from telethon.tl import TLObject, functions, types

from sidecar.simulator import DataCentre, Session

from .conftest import Raw
from .raw import RawClient, container, initial, message, self_user

PING = functions.PingRequest(9)
JUNK = struct.pack("<I", 0x3072CFA1) + TLObject.serialize_bytes(b"junk")  # not gzip, whatever it says


@pytest.fixture
async def peer(raw: Raw, session: Session) -> RawClient:
    """A client that has introduced itself."""
    opened = await raw(session)
    await opened.open()
    return opened


async def test_the_first_answer(raw: Raw, session: Session) -> None:
    """A new MTProto session is announced before its first answer, to be acknowledged."""
    peer = await raw(session)
    sent = peer.send(PING)
    created, pong = await peer.receive()
    assert isinstance(created.obj, types.NewSessionCreated)
    assert (created.obj.first_msg_id, created.obj.server_salt) == (sent, session.salt)
    assert (created.msg_id % 4, created.seq_no) == (3, 1)
    assert (pong.msg_id % 4, pong.seq_no % 2, pong.obj.msg_id) == (1, 0, sent)
    assert pong.msg_id > created.msg_id


async def test_a_wrong_salt(raw: Raw, session: Session, dc: DataCentre) -> None:
    """A client that starts with salt 0 is told the right one, and has broken no rule."""
    peer = await raw(session)
    peer.state.salt = 0
    notice = await peer.ask(PING)
    assert isinstance(notice, types.BadServerSalt)
    assert (notice.error_code, notice.new_server_salt) == (48, session.salt)
    assert (dc.violations, dc.requests["ping"]) == ([], 0)


@pytest.mark.parametrize(
    ("seconds", "low_bits", "code"),
    [(-305, 0, 16), (+35, 0, 17), (0, 2, 18), (-295, 0, None), (+25, 0, None)],
)
async def test_identifiers(peer: RawClient, dc: DataCentre, seconds: int, low_bits: int, code: int | None) -> None:
    """An identifier is divisible by four and lies between 300 s before and 30 s after the server's clock."""
    seqno = 0 if seconds < 0 else None  # a message from the past has a past number
    answer = await peer.ask(PING, msg_id=(int(time.time() + seconds) << 32) + 4 + low_bits, seqno=seqno)
    if code is None:
        assert isinstance(answer, types.Pong)
    else:
        assert isinstance(answer, types.BadMsgNotification)
        assert answer.error_code == code
    assert bool(dc.violations) == (code == 18)  # a clock may be wrong


@pytest.mark.parametrize(
    ("body", "seqno", "code"),
    [
        (self_user(), 6, 35),  # a call has to be acknowledged
        (types.MsgsAck([1]), 7, 34),  # an acknowledgement has not
        (PING, 1, 32),  # as high as the one before, and odd
        (PING, 0, 32),
    ],
)
async def test_sequence_numbers(peer: RawClient, dc: DataCentre, body: Any, seqno: int, code: int) -> None:
    """Sequence numbers have the parity of their kind of message and do not fall."""
    notice = await peer.ask(body, seqno=seqno)
    assert isinstance(notice, types.BadMsgNotification)
    assert (notice.error_code, notice.bad_msg_seqno) == (code, seqno)
    assert len(dc.violations) == 1


async def test_sequence_numbers_of_late_messages(peer: RawClient) -> None:
    """A message that comes late is held against those before and after it."""
    before, early, between, middle, late = (peer.next_id() for _ in range(5))
    await peer.ask(PING, msg_id=early, seqno=10)
    await peer.ask(PING, msg_id=late, seqno=21)
    assert isinstance(await peer.ask(PING, msg_id=middle, seqno=14), types.Pong)
    assert (await peer.ask(PING, msg_id=between, seqno=8)).error_code == 32
    assert (await peer.ask(PING, msg_id=between, seqno=21)).error_code == 33
    assert (await peer.ask(PING, msg_id=before, seqno=12)).error_code == 33


async def test_a_message_sent_twice(peer: RawClient, dc: DataCentre) -> None:
    """A message is executed once; the second time it is acknowledged, and no rule is broken."""
    msg_id = peer.next_id()
    assert isinstance(await peer.ask(PING, msg_id=msg_id), types.Pong)
    assert (await peer.ask(PING, msg_id=msg_id)).msg_ids == [msg_id]
    assert (dc.requests["ping"], dc.violations) == (1, [])


async def test_a_message_from_before_memory(peer: RawClient) -> None:
    """An identifier so old that it may have been seen is refused with code 20."""
    old = peer.next_id()
    for number in range(1100):
        peer.send(types.MsgsAck([number]), seqno=peer.next_seqno(odd=False))
    assert (await peer.ask(PING, msg_id=old)).error_code == 20
    inside = container(message(old, 1, PING))
    assert (await peer.ask(inside, seqno=peer.next_seqno(odd=False))).error_code == 20


async def test_a_container(peer: RawClient, dc: DataCentre) -> None:
    """Each message of a container is judged and answered; an old one may travel in it."""
    old = (int(time.time() - 1000) << 32) + 4
    messages = [message(old, 0, PING), message(peer.next_id(), peer.next_seqno(), self_user())]
    peer.send(container(*messages), seqno=peer.next_seqno(odd=False))
    pong, result = await peer.receive()
    assert isinstance(pong.obj, types.Pong)
    assert result.obj.error is None
    assert dc.violations == []


async def test_a_container_sent_twice(peer: RawClient) -> None:
    """The identifier of a container may not have been seen: code 19."""
    msg_id = peer.send(PING)
    await peer.receive()
    notice = await peer.ask(container(message(msg_id - 4, 3, PING)), msg_id=msg_id, seqno=4)
    assert notice.error_code == 19


async def test_a_container_in_a_container(peer: RawClient) -> None:
    """Containers do not nest: the inner one is refused with code 64, and what is beside it executed."""
    first, second, nested = peer.next_id(), peer.next_id(), peer.next_id()
    inside = message(nested, 4, container(message(first, 3, PING)))
    peer.send(container(inside, message(second, 3, PING)), seqno=4)
    refused, pong = await peer.receive()
    assert (refused.obj.bad_msg_id, refused.obj.error_code) == (nested, 64)
    assert pong.obj.msg_id == second


async def test_a_packed_container(peer: RawClient, dc: DataCentre) -> None:
    """A container cannot hide in gzip_packed: what is packed has to be a call."""
    packed = gzip.compress(container(message(peer.next_id(), 3, PING)))
    body = struct.pack("<I", 0x3072CFA1) + TLObject.serialize_bytes(packed)
    assert (await peer.ask(body)).error.error_message == "INPUT_METHOD_INVALID"
    assert dc.requests["ping"] == 0


def _too_many(peer: RawClient) -> bytes:
    return container(*(message(peer.next_id(), 2, types.MsgsAck([])) for _ in range(1021)))


@pytest.mark.parametrize(
    "make",
    [
        lambda _: container(),
        _too_many,
        lambda peer: container(message(peer.next_id() + 4000, 3, PING)),  # not older than its container
        lambda _: container(b"\0" * 12),
        lambda _: container(message(4, 3, bytes(3)), bytes(1)),
        lambda peer: container(message(peer.next_id(), 3, PING)) + b"\0" * 4,
        lambda _: struct.pack("<I", 0x73F1F8DC),
        lambda _: container(struct.pack("<qii", 4, 3, 64)),
    ],
)
async def test_bad_containers(peer: RawClient, make: Any) -> None:
    """An empty, overfull, untimely or torn container is refused with code 64."""
    assert (await peer.ask(make(peer), seqno=2)).error_code == 64


async def test_the_number_of_a_container(peer: RawClient) -> None:
    """A container needs no acknowledgement, so its sequence number is even."""
    assert (await peer.ask(container(message(peer.next_id(), 3, PING)), seqno=5)).error_code == 34


async def test_a_message_with_a_bad_identifier_in_a_container(peer: RawClient) -> None:
    """The low bits are checked inside a container too."""
    assert (await peer.ask(container(message(peer.next_id() + 1, 3, PING)), seqno=4)).error_code == 18


@pytest.mark.parametrize("wrapper", [functions.InvokeWithoutUpdatesRequest, initial])
@pytest.mark.parametrize("ping", [PING, functions.PingDelayDisconnectRequest(9, 15)])
async def test_a_wrapped_ping(peer: RawClient, dc: DataCentre, wrapper: Any, ping: Any) -> None:
    """A service message inside a wrapper is no method."""
    result = await peer.ask(wrapper(ping))
    assert (result.error.error_code, result.error.error_message) == (400, "INPUT_METHOD_INVALID")
    name = "ping" if ping is PING else "ping_delay_disconnect"
    assert dc.violations == [f"{name} inside a wrapper: service messages are sent bare"]


@pytest.mark.parametrize(
    ("body", "broken"),
    [
        (struct.pack("<I", 0x01020304), "unknown constructor 01020304"),
        (b"", "malformed message"),
        (JUNK, "malformed message"),
        (struct.pack("<Ii", 0xDA9B0D0D, 229) + JUNK, "malformed message"),
        (functions.contacts.GetStatusesRequest(), ""),  # a method, but not one of ours
        (types.User(1), ""),
        (struct.pack("<I", 0x997275B5), ""),
    ],
)
async def test_what_is_no_method(peer: RawClient, dc: DataCentre, body: Any, broken: str) -> None:
    """Whatever is not a method gets INPUT_METHOD_INVALID; what is not even TL is a violation."""
    result = await peer.ask(body)
    assert (result.error.error_code, result.error.error_message) == (400, "INPUT_METHOD_INVALID")
    assert bool(dc.violations) == bool(broken)
    assert all(words.startswith(broken) for words in dc.violations)


async def test_a_call_before_init_connection(raw: Raw, session: Session, dc: DataCentre) -> None:
    """The first call on a key has to introduce the client."""
    peer = await raw(session)
    assert (await peer.ask(self_user())).error.error_message == "CONNECTION_NOT_INITED"
    init = functions.InitConnectionRequest(1, "test", "1", "1", "en", "", "en", self_user())
    assert (await peer.ask(init)).error.error_message == "CONNECTION_LAYER_INVALID"
    assert (await peer.ask(initial(self_user()))).error is None
    assert (await peer.ask(functions.InvokeAfterMsgRequest(1, self_user()))).error is None
    assert len(dc.violations) == 2


async def test_service_messages(peer: RawClient, dc: DataCentre) -> None:
    """What a client may ask of MTProto itself is answered without rpc_result."""
    salts = await peer.ask(functions.GetFutureSaltsRequest(3), seqno=2)
    assert [salt.salt for salt in salts.salts] == [peer.session.salt]
    ping = peer.send(PING)
    await peer.receive()
    state = await peer.ask(types.MsgsStateReq([ping, ping - 2, ping + 4000]))
    assert state.info == "\4\2\3"
    assert (await peer.ask(types.MsgResendReq([1, 2]))).info == "\1\1"
    dropped = await peer.ask(functions.RpcDropAnswerRequest(ping))
    assert dropped.body.startswith(bytes(types.RpcAnswerUnknown()))
    for silent in (types.MsgsAck([1]), types.MsgsStateInfo(1, b""), types.HttpWait(1, 1, 1)):
        peer.send(silent, seqno=peer.next_seqno(odd=False))
    assert isinstance(await peer.ask(PING), types.Pong)
    assert dc.violations == []


async def test_what_is_known_of_forgotten_messages(peer: RawClient) -> None:
    """Of messages from before memory, the server says that it knows nothing."""
    for number in range(1100):
        peer.send(types.MsgsAck([number]), seqno=peer.next_seqno(odd=False))
    assert (await peer.ask(types.MsgsStateReq([4]))).info == "\1"


async def test_destroying_a_session(peer: RawClient, raw: Raw, session: Session) -> None:
    """Another MTProto session of the key can be destroyed, once; the current one cannot."""
    other = await raw(session)
    await other.ask(PING)
    for session_id, expected in [
        (other.state.id, types.DestroySessionOk),
        (other.state.id, types.DestroySessionNone),
        (peer.state.id, types.DestroySessionNone),
    ]:
        assert isinstance(await peer.ask(functions.DestroySessionRequest(session_id)), expected)


async def test_many_mtproto_sessions(raw: Raw, session: Session) -> None:
    """A key remembers 64 MTProto sessions; the oldest is announced anew when it speaks again."""
    peer = await raw(session)
    first = peer.state.id
    for _ in range(65):
        peer.send(PING)
        assert len(await peer.receive()) == 2
        peer.state.reset()
    peer.state.id = first
    peer.send(PING)
    assert len(await peer.receive()) == 2
