"""Below MTProto: frames, encryption, keys."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon import functions
from telethon.errors import AuthKeyNotFound

from sidecar.simulator import DataCentre, Session
from sidecar.simulator.envelope import AuthKey
from sidecar.simulator.frames import FrameReader, encode

from .conftest import Dial, Raw
from .raw import frame, message

PING = functions.PingRequest(9)


@given(payloads=st.lists(st.binary(max_size=40).map(lambda b: b * 4)), cuts=st.lists(st.integers(1, 50)))
def test_frames_survive_any_cut(payloads: list[bytes], cuts: list[int]) -> None:
    """However TCP cuts the stream, the payloads come out whole and in order."""
    stream = b"".join(encode(payload, number) for number, payload in enumerate(payloads))
    reader = FrameReader()
    found: list[bytes] = []
    for cut in cuts:
        found += reader.feed(stream[:cut])
        stream = stream[cut:]
    found += reader.feed(stream)
    assert found == payloads


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (frame(bytes(8))[:-1] + b"\xff", "frame number 0 has a wrong checksum"),
        (frame(bytes(8), 1), "frame number 1 where 0 was due"),
        (struct.pack("<ii", 8, 0), "frame of 8 bytes"),
        (struct.pack("<ii", -5, 0), "frame of -5 bytes"),
        (struct.pack("<ii", 22, 0), "frame of 22 bytes"),
        (struct.pack("<ii", 2_000_000, 0), "frame of 2000000 bytes"),
        (b"GET / HTTP/1.1\r\n\r\n", "frame of 542393671 bytes"),
    ],
)
async def test_bad_frames(dc: DataCentre, session: Session, raw: Raw, data: bytes, words: str) -> None:
    """A stream that is not one of good frames is closed without a word."""
    peer = await raw(session)
    peer.writer.write(data)
    assert await peer.closed()
    assert dc.violations == [words]


async def test_an_unknown_key(dc: DataCentre, session: Session, dial: Dial, raw: Raw) -> None:
    """A key that is unknown gets transport error -404 and FIN, and is no violation; it can come back."""
    session.forget()
    peer = await raw(session)
    peer.send(PING)
    assert await peer.receive() == [-404]
    assert await peer.closed()
    with pytest.raises(AuthKeyNotFound):
        await dial(session)
    session.restore()
    await dial(session)
    assert dc.violations == []


async def test_a_key_forgotten_while_connected(dc: DataCentre, session: Session, raw: Raw) -> None:
    """The key is looked up for every packet."""
    peer = await raw(session)
    await peer.open()
    session.forget()
    peer.send(PING)
    assert await peer.receive() == [-404]


def _spoil_msg_key(packet: bytes) -> bytes:
    return packet[:8] + bytes(16) + packet[24:]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_spoil_msg_key, "msg_key does not match the message"),
        (lambda packet: packet[:-4], "60 bytes of ciphertext"),
        (lambda packet: packet[:24], "0 bytes of ciphertext"),
    ],
)
async def test_bad_packets(dc: DataCentre, session: Session, raw: Raw, spoil: Any, words: str) -> None:
    """What cannot be decrypted is not answered: the connection is closed."""
    peer = await raw(session)
    peer.send_packet(spoil(peer.state.encrypt_message_data(message(4, 1, PING))))
    assert await peer.closed()
    assert dc.violations == [words]


@pytest.mark.parametrize("length", [-4, 3, 4, 64])
async def test_bad_lengths(dc: DataCentre, session: Session, raw: Raw, length: int) -> None:
    """The length inside has to leave 12 to 1024 bytes of padding and be divisible by four."""
    peer = await raw(session)
    filler = bytes(1100 if length == 4 else 16)
    peer.send_packet(peer.state.encrypt_message_data(struct.pack("<qii", 4, 1, length) + filler))
    assert await peer.closed()
    assert f"body of {length} bytes" in dc.violations[0]


def test_a_key_of_the_wrong_length() -> None:
    """A key has 256 bytes."""
    with pytest.raises(ValueError, match="256 bytes, not 3"):
        AuthKey(b"abc")
