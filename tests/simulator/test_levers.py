"""Each lever does what it says, at the exact loop time."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from telethon import functions
from telethon.errors import (
    AuthKeyNotFound,
    FloodWaitError,
    InvalidBufferError,
    ServerError,
    TypeNotFoundError,
)

from sidecar.simulator import DataCentre, Levers, Session

from .conftest import Dial, Raw
from .raw import self_user

pytestmark = pytest.mark.looptime
Settle = Callable[[], Awaitable[None]]
PING = functions.PingRequest(9)


def ping(client: Any) -> Any:
    """A bare ping, as the daemon sends it; a future."""
    return client._sender.send(functions.PingRequest(9))


async def silent(call: Awaitable[Any], seconds: float = 5) -> bool:
    """Whether no answer comes within that time."""
    try:
        await asyncio.wait_for(asyncio.ensure_future(call), seconds)
    except TimeoutError:
        return True
    return False


async def fate(client: Any) -> Any:
    """What the client's `disconnected` resolves to, or raises."""
    return (await asyncio.gather(client.disconnected, return_exceptions=True))[0]


async def test_black_hole(dc: DataCentre, session: Session, dial: Dial) -> None:
    """Requests are counted and nothing comes back, not even the close that a disconnect delay asked for."""
    telethon = await dial(session)
    await telethon._sender.send(functions.PingDelayDisconnectRequest(1, 15))
    dc.levers.black_hole = True
    assert await silent(ping(telethon), 50)  # Telethon adds a ping of its own at 60 s
    assert (dc.requests["ping"], dc.live) == (1, 1)
    dc.levers.black_hole = False
    await ping(telethon)


async def test_one_connection_falls_silent(dc: DataCentre, session: Session, dial: Dial) -> None:
    """A connection that a NAT forgot stays a black hole for ever, while a new one is answered."""
    forgotten = await dial(session)
    dc.silence_all()
    assert await silent(ping(forgotten), 50)
    assert (dc.live, session.answered) == (1, False)
    await forgotten.disconnect()
    await ping(await dial(session))
    assert session.answered


@pytest.mark.parametrize("lever", ["black_hole", "stop_reading"])
async def test_whether_a_session_is_answered(dc: DataCentre, session: Session, dial: Dial, lever: str) -> None:
    """It is answered from its first packet until it is refused, its server is stuck, or its connection is gone."""
    seen = [session.answered]
    telethon = await dial(session)
    seen.append(session.answered)
    for value in (True, False):
        setattr(dc.levers, lever, value)
        seen.append(session.answered)
    for change in (session.revoke, session.restore):
        change()
        seen.append(session.answered)
    await telethon.disconnect()
    seen.append(session.answered)
    assert seen == [False, True, False, True, False, True, False]


async def test_a_black_hole_leaves_no_gap(dc: DataCentre, session: Session, raw: Raw, settle: Settle) -> None:
    """The frames of the server stay numbered without a gap."""
    peer = await raw(session)
    await peer.ask(PING)
    dc.levers.black_hole = True
    peer.send(PING)
    await settle()
    dc.levers.black_hole = False
    peer.send(PING)
    assert struct.unpack("<ii", await peer.reader.readexactly(8))[1] == 1


async def test_a_peer_leaves_a_black_hole(dc: DataCentre, session: Session, dial: Dial, settle: Settle) -> None:
    """The FIN of a client is noticed in a black hole."""
    telethon = await dial(session)
    dc.levers.black_hole = True
    await telethon.disconnect()
    await settle()
    assert (dc.live, session.connections) == (0, 0)


async def test_an_unknown_key_in_a_black_hole(dc: DataCentre, session: Session, raw: Raw, settle: Settle) -> None:
    """Neither a transport error nor a FIN leaves a black hole."""
    dc.levers.black_hole = True
    session.forget()
    peer = await raw(session)
    peer.send(PING)
    await settle()
    assert dc.live == 1


async def test_silent_accept(dc: DataCentre, session: Session, dial: Dial) -> None:
    """A connection accepted silently never answers; those before and after it do."""
    before = await dial(session)
    dc.levers.silent_accept = True
    assert await silent(dial(session))
    dc.levers.silent_accept = False
    await ping(before)
    await dial(session)


async def test_stop_reading(dc: DataCentre, session: Session, dial: Dial, settle: Settle) -> None:
    """Nothing is read, so nothing is counted; what was sent is answered afterwards."""
    telethon = await dial(session)
    dc.levers.stop_reading = True
    waiting = ping(telethon)
    assert await silent(asyncio.shield(waiting))
    assert dc.requests["ping"] == 0
    dc.levers.stop_reading = False
    await waiting


async def test_stop_reading_fills_the_buffers(dc: DataCentre, session: Session, raw: Raw) -> None:
    """A client that goes on writing is blocked in the end."""
    dc.levers.stop_reading = True
    peer = await raw(session)
    peer.writer.write(bytes(16 << 20))
    assert await silent(peer.writer.drain())
    dc.levers.stop_reading = False
    peer.writer.transport.abort()


async def test_a_peer_leaves_unread(dc: DataCentre, session: Session, dial: Dial, settle: Settle) -> None:
    """A FIN that is not read still ends the overlap: the kernel is asked."""
    telethon = await dial(session)
    dc.levers.stop_reading = True
    ping(telethon).add_done_callback(lambda future: future.cancelled() or future.exception())
    await settle()
    await telethon.disconnect()
    await settle()
    assert (dc.live, session.connections) == (0, 0)
    dc.levers.stop_reading = False
    await dial(session)
    assert session.worst_overlap == 0


async def test_answer_pings_only(dc: DataCentre, session: Session, dial: Dial) -> None:
    """RPCs are counted and hang, pings do not."""
    telethon = await dial(session)
    dc.levers.answer_pings_only = True
    before = dc.requests["users.getUsers"]
    assert await silent(telethon(self_user()))
    await ping(telethon)
    assert dc.requests["users.getUsers"] == before + 1


async def test_ignore_pings(dc: DataCentre, session: Session, dial: Dial) -> None:
    """Pings hang, RPCs do not."""
    telethon = await dial(session)
    dc.levers.ignore_pings = True
    assert await silent(ping(telethon))
    assert await telethon(self_user())


async def test_latency(dc: DataCentre, session: Session, dial: Dial, looptime: Any) -> None:
    """Each answer is late by so much, and a faster one does not overtake."""
    telethon = await dial(session)
    start = looptime + 0
    dc.levers.latency = 2
    slow = ping(telethon)
    await asyncio.sleep(1)
    dc.levers.latency = 0
    fast = ping(telethon)
    await fast
    assert slow.done()
    assert looptime - start == 2
    dc.levers.latency = 3
    first = ping(telethon)
    await asyncio.sleep(1)
    second = ping(telethon)
    await asyncio.gather(first, second)
    assert looptime - start == 6


async def test_closing_drops_what_is_late(dc: DataCentre, session: Session, dial: Dial) -> None:
    """An answer that is still delayed when the connection closes is lost."""
    telethon = await dial(session)
    dc.levers.latency = 9
    waiting = ping(telethon)
    await asyncio.sleep(1)
    dc.close_all()
    assert isinstance(await fate(telethon), asyncio.IncompleteReadError)
    assert waiting.done()
    assert (dc.live, session.connections) == (0, 0)


async def test_accept_then_close(dc: DataCentre, session: Session, raw: Raw) -> None:
    """A new connection is counted and gets FIN at once."""
    dc.levers.accept_then_close = True
    assert await (await raw(session)).closed()
    assert (dc.accepted, dc.live) == (1, 0)


async def test_garbage_on_accept(dc: DataCentre, session: Session, raw: Raw) -> None:
    """A new connection gets some bytes first."""
    dc.levers.garbage_on_accept = b"HTTP/1.1 200 OK"
    assert await (await raw(session)).reader.readexactly(15) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(("code", "error"), [(404, AuthKeyNotFound), (429, InvalidBufferError)])
async def test_transport_error(dc: DataCentre, session: Session, dial: Dial, code: int, error: type[Exception]) -> None:
    """The first packet of a new connection gets the error; established connections do not."""
    established = await dial(session)
    dc.levers.transport_error = code
    with pytest.raises(error):
        await dial(session)
    await ping(established)


async def test_clock_skew(dc: DataCentre, session: Session, dial: Dial, caplog: Any) -> None:
    """If the server's clock leaps ahead while connected, Telethon drops its answers."""
    telethon = await dial(session)
    dc.levers.clock_skew = 100
    assert await silent(ping(telethon))
    assert "very new message" in caplog.text


@pytest.mark.parametrize("skew", [-400, -100, 100, 100_000])
async def test_clock_skew_from_the_start(dc: DataCentre, session: Session, dial: Dial, skew: float) -> None:
    """Telethon corrects a skew that is there at connect, from the first bad_server_salt."""
    dc.levers.clock_skew = skew
    assert await (await dial(session)).get_me()
    assert dc.violations == []


async def test_migrate(dc: DataCentre, session: Session, raw: Raw) -> None:
    """users.getUsers says where the account lives."""
    peer = await raw(session)
    await peer.open()
    dc.levers.migrate_to = 4
    error = (await peer.ask(self_user())).error
    assert (error.error_code, error.error_message) == (303, "USER_MIGRATE_4")


async def test_lose_answers(dc: DataCentre, session: Session, dial: Dial) -> None:
    """So many calls are executed without an answer, then all is well."""
    telethon = await dial(session)
    dc.levers.lose_answers = 2
    assert await silent(telethon(self_user()))
    assert await silent(telethon(self_user()))
    assert await telethon(self_user())
    assert dc.levers.lose_answers == 0


async def test_fail(dc: DataCentre, session: Session, dial: Dial) -> None:
    """The next n calls of a method fail as planned, in order; the Failure counts them."""
    telethon = await dial(session)
    flood = dc.fail("users.getUsers", code=420, message="FLOOD_WAIT_3", times=2)
    dc.fail("users.getUsers", code=406, message="SOMETHING", times=None)
    for _ in range(2):
        with pytest.raises(FloodWaitError) as caught:
            await telethon(self_user())
        assert caught.value.seconds == 3
    for _ in range(3):
        with pytest.raises(Exception, match="SOMETHING"):
            await telethon(self_user())
    assert flood.served == 2
    dc.clear_failures("help.getConfig")
    with pytest.raises(Exception, match="SOMETHING"):
        await telethon(self_user())
    dc.clear_failures("users.getUsers")
    assert await telethon(self_user())


async def test_fail_a_ping(dc: DataCentre, session: Session, raw: Raw) -> None:
    """A failure may be planned for a service message too."""
    peer = await raw(session)
    dc.fail("ping", code=500, message="INTERNAL")
    assert (await peer.ask(PING)).error.error_message == "INTERNAL"
    assert (await peer.ask(PING)).ping_id == 9


def test_fail_an_unknown_method(dc: DataCentre) -> None:
    """A name that Telegram does not have would never match, so it is refused."""
    with pytest.raises(ValueError, match="'get_users' is not a method of Telegram"):
        dc.fail("get_users", code=420, message="FLOOD_WAIT_3")


async def test_answer_raw(dc: DataCentre, session: Session, dial: Dial) -> None:
    """A call may be answered by any bytes: an empty vector, or what no client knows."""
    telethon = await dial(session)
    dc.answer_raw("users.getUsers", struct.pack("<Ii", 0x1CB5C415, 0))
    assert await telethon(self_user()) == []
    dc.answer_raw("users.getUsers", struct.pack("<Iii", 0x1CB5C415, 1, 0x01020304))
    with pytest.raises(TypeNotFoundError):
        await telethon(self_user())
    dc.answer_raw("users.getUsers", b"", times=None)
    dc.clear_failures()
    assert await telethon(self_user())


async def test_close_all(dc: DataCentre, session: Session, dial: Dial) -> None:
    """FIN on every connection, and no reading of the counters in between."""
    telethon = await dial(session)
    dc.close_all()
    assert dc.live == 0
    assert isinstance(await fate(telethon), asyncio.IncompleteReadError)


async def test_reset_all(dc: DataCentre, session: Session, dial: Dial) -> None:
    """RST on every connection."""
    telethon = await dial(session)
    dc.reset_all()
    assert isinstance(await fate(telethon), ConnectionResetError)


async def test_stop_and_start_listening(dc: DataCentre, session: Session, dial: Dial) -> None:
    """New connections are refused, live ones stay, and the port is the same afterwards."""
    telethon, port = await dial(session), dc.port
    await dc.stop_listening()
    await dc.stop_listening()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(dc.host, dc.port)
    await ping(telethon)
    await dc.start_listening()
    await dc.start_listening()
    await dial(session)
    assert (dc.port, dc.accepted) == (port, 2)


async def test_send_all(dc: DataCentre, session: Session, raw: Raw) -> None:
    """Any bytes can be put on every live connection."""
    peers = [await raw(session), await raw(session)]
    for peer in peers:
        await peer.ask(PING)
    dc.send_all(b"junk")
    assert [await peer.reader.readexactly(4) for peer in peers] == [b"junk"] * 2


async def test_send_transport_error(dc: DataCentre, session: Session, dial: Dial) -> None:
    """Transport errors reach live connections, framed or bare."""
    telethon = await dial(session)
    dc.send_transport_error(404)
    assert isinstance(await fate(telethon), AuthKeyNotFound)
    telethon = await dial(session)
    dc.send_transport_error(429, bare=True, repeat=3)
    caught = await fate(telethon)
    assert isinstance(caught, InvalidBufferError)
    assert caught.code == 429


async def test_send_truncated(dc: DataCentre, session: Session, raw: Raw) -> None:
    """Half a frame, then FIN."""
    peer = await raw(session)
    await peer.ask(PING)
    dc.send_truncated()
    assert struct.unpack("<ii", (await peer.reader.read())[:8]) == (76, 1)


async def test_disconnect_delay(dc: DataCentre, session: Session, dial: Dial, looptime: Any) -> None:
    """An orphan is dropped exactly `disconnect_delay` seconds after the last ping_delay_disconnect."""
    telethon = await dial(session)
    start = looptime + 0
    await telethon._sender.send(functions.PingDelayDisconnectRequest(1, 15))
    await asyncio.sleep(10)
    await telethon._sender.send(functions.PingDelayDisconnectRequest(2, 15))
    await asyncio.sleep(10)
    await ping(telethon)  # of another type: it does not put the end off
    assert isinstance(await fate(telethon), asyncio.IncompleteReadError)
    assert looptime - start == 25


async def test_disconnect_delay_in_silence(dc: DataCentre, session: Session, dial: Dial) -> None:
    """A frozen server drops nobody until it has thawed."""
    telethon = await dial(session)
    await telethon._sender.send(functions.PingDelayDisconnectRequest(1, 15))
    dc.levers.stop_reading = True
    await asyncio.sleep(20)
    assert dc.live == 1
    dc.levers.stop_reading = False
    await asyncio.sleep(11)
    assert dc.live == 0


def test_reset() -> None:
    """One call puts every lever back to healthy."""
    levers = Levers()
    levers.black_hole, levers.latency, levers.transport_error = True, 3, 404
    assert levers.frozen
    levers.reset()
    assert levers == Levers()
    assert not levers.frozen


async def test_where_the_kernel_tells_nothing(
    dc: DataCentre, session: Session, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without TCP_INFO a connection counts as alive until its FIN is read."""
    await dial(session)
    monkeypatch.delattr(socket, "TCP_INFO")
    assert dc.live == 1
    dc.close_all()
    assert dc.live == 0


async def test_a_server_error(dc: DataCentre, session: Session, dial: Dial) -> None:
    """A 500 arrives as such, after the two seconds that Telethon sleeps over it."""
    telethon = await dial(session)
    dc.fail("users.getUsers", code=500, message="INTERNAL")
    with pytest.raises(ServerError):
        await telethon(self_user())


async def test_migration_wipes_the_key(dc: DataCentre, session: Session, dial: Dial) -> None:
    """Told to migrate, Telethon forgets its key and asks for a new one, which gets -404 here."""
    telethon = await dial(session)
    dc.fail("users.getUsers", code=303, message="USER_MIGRATE_4")
    with pytest.raises(InvalidBufferError):
        await telethon(self_user())
    assert telethon.session.save() == ""
