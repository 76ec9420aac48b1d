"""Hostile frames: whatever the wire brings, the keeper notes it in time, stays within its states, and comes back.

The peer is the simulator, whose every packet passes through a `Fuzz` before it leaves: seeded, so that a failure can be
repeated by its seed. What such runs have found has a test of its own below.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import logging
import os
import random
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from telethon.crypto import AES
from telethon.tl import types
from telethon.tl.core import GzipPacked
from telethon.tl.tlobject import TLObject

from sidecar.link import Reason
from sidecar.simulator import DataCentre, datacentre, frames
from sidecar.simulator.connection import Connection
from sidecar.simulator.dialogue import CONTAINER_ID
from sidecar.simulator.envelope import Envelope
from sidecar.state import AttemptFailed, ConnectionLost, State
from sidecar.telegram.wire import LARGEST_PACKET
from tests.fake_time import in_fake_time
from tests.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sidecar.simulator.session import Session

RPC_RESULT = 0xF35C6D01
HANDLED = [
    RPC_RESULT,
    CONTAINER_ID,
    GzipPacked.CONSTRUCTOR_ID,
    *(
        kind.CONSTRUCTOR_ID
        for kind in (
            types.Pong,
            types.BadServerSalt,
            types.BadMsgNotification,
            types.MsgDetailedInfo,
            types.MsgNewDetailedInfo,
            types.NewSessionCreated,
            types.MsgsAck,
            types.FutureSalts,
            types.MsgsStateReq,
            types.MsgResendReq,
            types.MsgsAllInfo,
            types.DestroySessionOk,
            types.RpcError,
            types.Config,
            types.User,
            types.Updates,
        )
    ),
]
"""What Telethon has a hand for; the bytes after it are anything. destroy_auth_key_ok is not among them: who has the
key may say so, and the key is then unknown."""

LENGTHS = (-(2**31), -1, 0, 7, 8, 11, 12, 13, 2**20, LARGEST_PACKET + 9, 2**31 - 1)
COUNTS = (-(2**31), -1, 0, 1, 1_000_000, 2**31 - 1)
HOSTILE_SECONDS = 45.0
BACK_WITHIN = 15 + 6 + 10 + 30.0
"""Seconds: the attempt or connection that the last bad frame spoilt is given up, and the longest backoff is over."""

ALLOWED_RSS = 48 << 20


class Fuzz:
    """Decides what becomes of a packet."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - it chooses mutations
        self.share = 0.0
        """How much of what is sent is tampered with, 0 to 1."""
        self.done: list[str] = []
        self._ways: dict[str, Callable[[Tampering, bytes], object]] = {
            "flip": lambda out, packet: out.packet(self._flip(packet)),
            "cut": lambda out, packet: out.packet(packet[: self.rng.randrange(len(packet))]),
            "twice": lambda out, packet: [out.packet(packet) for _ in range(2)],
            "hold": lambda out, packet: out.held.append(packet),
            "junk": lambda out, _: out.packet(self.rng.randbytes(self.rng.choice([5, 8, 23, 24, 40, 200]))),
            "raw": lambda out, _: out.raw(self.rng.randbytes(self.rng.randrange(1, 300))),
            "length": lambda out, packet: out.raw(struct.pack("<ii", self.rng.choice(LENGTHS), 0) + packet),
            "checksum": lambda out, packet: out.raw(self._flip(frames.encode(packet, 0))),
            "body": self._body,
            "before": self._hostile,
            "after": lambda out, packet: [send(out, packet) for send in (Tampering.packet_of, self._hostile)],
        }

    def __call__(self, out: Tampering, packet: bytes) -> None:
        """Send a packet, or what it has become."""
        if self.rng.random() >= self.share:
            out.packet(packet)
        else:
            way = self.rng.choice(list(self._ways))
            self.done.append(way)
            self._ways[way](out, packet)
        if out.held and self.rng.random() < 0.5:
            out.packet(out.held.pop())

    def _flip(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self.rng.choice([1, 1, 3, 20])):
            changed[self.rng.randrange(len(changed))] ^= 1 << self.rng.randrange(8)
        return bytes(changed)

    def _body(self, out: Tampering, packet: bytes) -> None:
        """Change the inside of a real answer, and seal it properly again."""
        if (session := out.session) is None:
            return
        key = session.key._outgoing
        plain = AES.decrypt_ige(packet[24:], *key.aes(packet[8:24]))
        salt, session_id, msg_id, seqno, length = struct.unpack_from("<qqqii", plain)
        body = self._flip(bytes(plain[32 : 32 + length]))
        out.packet(session.key.seal(Envelope(salt, session_id, msg_id, seqno, body), self.rng.randbytes))

    def _hostile(self, out: Tampering, _: bytes) -> None:
        """Send bytes of ill will in a valid envelope."""
        if (session := out.session) is None:
            return
        dialogue = list(session._dialogues.values())[-1]
        server = dialogue.server
        numbers = server.next_id(out.now, answer=False), server.next_seqno(content_related=False)
        envelope = Envelope(session.salt, dialogue.session_id, *numbers, self.hostile_body())
        out.packet(session.key.seal(envelope, self.rng.randbytes))

    def hostile_body(self) -> bytes:
        """Make TL that Telethon has to survive; its length is a multiple of four."""
        rng = self.rng
        rest = rng.randbytes(4 * rng.randrange(0, 50))
        match rng.randrange(6):
            case 0:
                body = rest
            case 1:
                body = struct.pack("<I", rng.choice(HANDLED)) + rest
            case 2:
                body = struct.pack("<Ii", CONTAINER_ID, rng.choice(COUNTS)) + rest
            case 3:
                body = struct.pack("<Iq", RPC_RESULT, rng.getrandbits(63)) + rest
            case 4:
                inner = rng.choice([rest, bytes(4_000_000), struct.pack("<I", rng.choice(HANDLED)) + rest])
                body = struct.pack("<I", GzipPacked.CONSTRUCTOR_ID) + TLObject.serialize_bytes(gzip.compress(inner))
            case _:
                body = struct.pack("<I", GzipPacked.CONSTRUCTOR_ID) + TLObject.serialize_bytes(rest)
        return body + bytes(-len(body) % 4)


class Tampering(Connection):
    """A connection of the simulator that lets a `Fuzz` decide."""

    fuzz: Fuzz

    def __init__(self, dc: DataCentre) -> None:
        super().__init__(dc)
        self.held: list[bytes] = []
        self.packet = super().send_packet
        self.raw = super().send_raw
        self.now = dc.now()

    def packet_of(self, payload: bytes) -> None:
        """Send a payload as it is."""
        self.packet(payload)

    def send_packet(self, payload: bytes) -> None:
        """Send a payload, or what it becomes."""
        self.now = self._dc.now()
        self.fuzz(self, payload)

    @property
    def session(self) -> Session | None:
        """The session that speaks over it."""
        return next(iter(self._sessions), None)


class Listener(logging.Handler):
    """Remembers what must not be logged."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what is critical, and asyncio's complaints about outcomes that nobody looked at."""
        if record.levelno >= logging.CRITICAL or record.name == "asyncio":
            self.faults.append(record.getMessage())


def rss() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def listening() -> Iterator[Listener]:
    """Look at each line of a fuzz run, and keep them out of pytest's memory: records hold what they quote."""
    root, listener = logging.getLogger(), Listener()
    before, root.handlers[:] = root.handlers[:], [listener]
    try:
        yield listener
    finally:
        root.handlers[:] = before


async def survive(fuzz: Fuzz, secrets: Path, *, connected_first: bool) -> None:
    """Run a keeper through hostile frames, and then let the peer be well again."""
    async with DataCentre(rng=fuzz.rng) as dc:
        rig = Rig(dc, secrets)
        if connected_first:
            await rig.connected()
        fuzz.share = fuzz.rng.choice([0.05, 0.2, 0.5])
        if not connected_first:
            rig.start()
        await asyncio.sleep(HOSTILE_SECONDS)
        fuzz.share = 0.0
        healthy = rig.now
        try:
            async with asyncio.timeout(BACK_WITHIN):
                # A connection that was spoilt without either side knowing has until its next check to fail.
                while True:
                    await rig.until(State.CONNECTED)
                    at = len(rig.events)
                    await asyncio.sleep(7)
                    if len(rig.events) == at:
                        break
        except TimeoutError:
            pytest.fail(f"not back {BACK_WITHIN} s after {healthy}: {rig.snapshot}, {rig.events[-6:]}, {fuzz.done}")
        errors = [event.error for _, event in rig.events if isinstance(event, AttemptFailed | ConnectionLost)]
        unexpected = [repr(error.__cause__) for error in errors if error.reason is Reason.UNEXPECTED]
        assert not unexpected, f"{unexpected} {rig.events}"
        await rig.stop()  # which also asserts that no event came late
        assert rig.session.worst_overlap == 0


@pytest.mark.parametrize("connected_first", [False, True], ids=["while-connecting", "while-connected"])
def test_no_frame_breaks_the_keeper(connected_first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random and mutated frames leave it within its states and deadlines; it comes back when the peer is well."""
    monkeypatch.setattr(datacentre, "Connection", Tampering)
    before, ways = rss(), set()
    fuzz = Fuzz(0)
    with listening() as log:
        for seed in range(FUZZ_SEEDS):
            fuzz = Fuzz(2 * seed + connected_first)
            monkeypatch.setattr(Tampering, "fuzz", fuzz, raising=False)
            try:
                in_fake_time(lambda: survive(fuzz, tmp_path / str(fuzz.rng.random()), connected_first=connected_first))  # noqa: B023
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise
            ways |= set(fuzz.done)
    gc.collect()
    assert log.faults == []
    assert ways == set(fuzz._ways), "every way was gone"
    assert rss() - before < ALLOWED_RSS


FUZZ_SEEDS = int(os.environ.get("FUZZ_SEEDS", "25"))
"""Runs per phase; more of them find more."""


# -------------------------------------------------------------------------------------------- what such runs have found


@pytest.mark.looptime
async def test_a_frame_that_announces_gigabytes_is_refused_at_once(rig: Rig) -> None:
    """Telethon would buffer all that comes until the length is there: up to two gigabytes."""
    await rig.connected()
    await asyncio.sleep(61)
    rig.dc.send_all(struct.pack("<ii", 2**31 - 1, 9))
    await rig.until(State.WAITING)

    assert rig.now == 61
    assert rig.snapshot.reason is Reason.PROTOCOL
    await rig.until(State.CONNECTED)


@pytest.mark.looptime
@pytest.mark.parametrize("size", [8, 23, 24, 25, 39, 41, 24 + 40])
async def test_a_packet_of_broken_blocks_does_not_end_the_process(rig: Rig, size: int) -> None:
    """A packet for our key whose cipher text is not whole blocks is refused; libssl would abort the whole process."""
    await rig.connected()
    await asyncio.sleep(61)
    (connection,) = rig.dc._open()
    connection.send_packet((rig.session.key.id_bytes + bytes(size))[:size])
    await rig.until(State.WAITING)

    assert rig.now == 61
    assert rig.snapshot.reason is Reason.PROTOCOL
    await rig.until(State.CONNECTED)
