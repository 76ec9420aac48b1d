"""The keeper's main job: connect, stay connected, notice every kind of loss, and come back. In exact loop time.

Nothing is faked but the peer and the time: the real manager, the real Telethon and real TCP to the simulator.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.link import Reason
from sidecar.simulator import DataCentre
from sidecar.state import AttemptFailed, Checked, CheckResult, Connected, ConnectionLost, State
from tests.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.looptime

CHECK = 60.0
"""With the default settings and no jitter the first watchdog check, which proves a connection, comes after this."""


async def test_connected_only_after_get_me_was_answered(rig: Rig) -> None:
    """Telethon's connect() succeeds with a revoked session; the keeper asks who it is before it says "connected"."""
    await rig.connected()

    (_, connected) = rig.of(Connected)[0]
    assert isinstance(connected, Connected)
    assert connected.identity.user_id == rig.session.account.user_id
    assert connected.after is None
    assert rig.metric("telegram_connected") == 1
    assert rig.metric("telegram_dc_id") == 2
    assert rig.metric("telegram_connect_attempts_total", result="ok") == 1
    assert rig.dc.requests["users.getUsers"] == 2  # Telethon's own, and ours


async def test_pings_and_checks_come_on_time(rig: Rig) -> None:
    """In ten quiet minutes there is a ping at once and every 3 s, a check every 60 s, and one connection."""
    await rig.connected()
    await asyncio.sleep(600.5)

    assert rig.pings == 201
    assert [at for at, _ in rig.of(Checked)] == [CHECK * n for n in range(1, 11)]
    assert rig.metric("telegram_watchdog_checks_total", result="ok") == 10
    assert rig.metric("telegram_watchdog_latency_seconds_count") == 10
    assert rig.metric("telegram_last_contact_timestamp_seconds") == 600
    assert rig.dc.accepted == 1


async def test_pings_tell_telegram_to_drop_us_if_we_vanish(rig: Rig) -> None:
    """Every ping of ours is a ping_delay_disconnect, from the first instant; Telethon adds a plain one a minute."""
    await rig.connected()
    await rig.pinged()
    assert rig.now == 0
    assert rig.dc.requests["ping_delay_disconnect"] == 1
    await asyncio.sleep(59)

    assert rig.dc.requests["ping_delay_disconnect"] == 20
    assert rig.dc.requests["ping"] == 0


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param("close_all", Reason.CLOSED, id="fin"),
        pytest.param("reset_all", Reason.RESET, id="rst"),
    ],
)
async def test_a_cut_connection_is_noticed_in_the_same_instant(rig: Rig, fault: str, reason: Reason) -> None:
    """A FIN or RST needs no ping to be seen; a connection that had proven itself is dialled again at once."""
    await rig.connected()
    await asyncio.sleep(CHECK + 1)
    getattr(rig.dc, fault)()
    await rig.until(State.WAITING)

    assert rig.now == CHECK + 1
    assert rig.metric("telegram_connected") == 0
    assert rig.metric("telegram_disconnects_total", reason=reason) == 1
    assert await rig.until(State.CONNECTED) == CHECK + 1.05  # half of the 0 to 100 ms
    assert rig.metric("telegram_reconnects_total", reason=reason) == 1


async def test_an_unproven_connection_is_not_dialled_again_at_once(rig: Rig) -> None:
    """Before its first answered check a connection has proven nothing: its loss counts as a failed attempt."""
    await rig.connected()
    await asyncio.sleep(1)
    rig.dc.close_all()
    await rig.until(State.WAITING)

    assert await rig.until(State.CONNECTED) == 1.25  # half of 0.5 s
    rig.dc.close_all()
    await rig.until(State.WAITING)
    assert await rig.until(State.CONNECTED) == 1.75  # half of 1 s, for the count did not fall back


@pytest.mark.parametrize("lever", ["black_hole", "stop_reading", "ignore_pings"])
async def test_silence_is_noticed_within_interval_and_deadline_of_a_ping(rig: Rig, lever: str) -> None:
    """A peer that answers no ping is given up 6 s after its last answer, at default settings."""
    await rig.connected()
    await asyncio.sleep(CHECK + 3.5)
    setattr(rig.dc.levers, lever, True)
    await rig.until(State.WAITING)

    assert rig.now == CHECK + 3 + 6
    assert rig.snapshot.reason is Reason.PING_TIMEOUT
    assert rig.metric("telegram_connected") == 0


async def test_pings_alone_do_not_make_it_connected(rig: Rig) -> None:
    """A peer that answers pings but no get_me is given up at the deadline of the next check."""
    await rig.connected()
    rig.dc.levers.answer_pings_only = True
    await rig.until(State.WAITING)

    assert rig.now == CHECK + 10
    assert rig.snapshot.reason is Reason.WATCHDOG_TIMEOUT
    assert rig.metric("telegram_watchdog_checks_total", result="timeout") == 1


async def test_an_attempt_has_a_deadline(rig: Rig) -> None:
    """A peer that accepts and stays silent makes Telethon's connect() hang for ever; an attempt ends after 15 s."""
    rig.dc.levers.black_hole = True
    rig.start()
    await rig.until(State.WAITING)

    assert rig.now == 15
    assert rig.snapshot.reason is Reason.CONNECT_TIMEOUT
    assert rig.snapshot.first_outcome
    rig.dc.levers.black_hole = False
    assert await rig.until(State.CONNECTED) == 15.25


async def test_attempts_back_off_while_telegram_is_down(rig: Rig) -> None:
    """Refused connections are retried with doubling delays up to the maximum, and the reason says unreachable."""
    await rig.dc.stop_listening()
    rig.start()
    await asyncio.sleep(100)

    assert rig.attempts() == [0, 0.25, 0.75, 1.75, 3.75, 7.75, 15.75, 30.75, 45.75, 60.75, 75.75, 90.75]
    assert {event.error.reason for _, event in rig.of(AttemptFailed) if isinstance(event, AttemptFailed)} == {
        Reason.UNREACHABLE
    }
    await rig.dc.start_listening()
    assert await rig.until(State.CONNECTED) == 105.75


async def test_a_peer_that_accepts_and_drops_is_not_hammered(rig: Rig) -> None:
    """Telethon alone opens hundreds of connections a second here; the keeper opens nine in a minute."""
    rig.dc.levers.accept_then_close = True
    rig.start()
    await asyncio.sleep(60)

    assert rig.dc.accepted == 9
    assert rig.snapshot.reason in {Reason.CLOSED, Reason.RESET}


async def test_a_peer_that_verifies_and_drops_is_not_hammered_either(rig: Rig) -> None:
    """A verified connection that never answers a check does not reset the backoff."""
    rig.start()
    while rig.now < 60:
        await rig.until(State.CONNECTED)
        rig.dc.close_all()
        await rig.until(State.WAITING)

    assert [at for at in rig.attempts() if at <= 60] == [0, 0.25, 0.75, 1.75, 3.75, 7.75, 15.75, 30.75, 45.75]


async def test_a_loss_with_a_question_in_flight_is_a_loss(rig: Rig) -> None:
    """When Telethon drops a connection it cancels what is in flight; the keeper takes that for a loss, not an end."""
    await rig.connected()
    await asyncio.sleep(CHECK - 1)
    rig.dc.levers.answer_pings_only = True
    await asyncio.sleep(2)
    client = await rig.manager.get_client()
    await client.disconnect()
    rig.dc.levers.answer_pings_only = False
    await asyncio.sleep(1)

    assert rig.metric("telegram_watchdog_checks_total", result="lost") == 1
    assert rig.snapshot.state is State.CONNECTED
    assert rig.snapshot.attempt == 2


async def test_a_borrower_that_disconnects_the_client_does_not_end_the_keeper(rig: Rig) -> None:
    """Telethon then reports no cause at all; the connection counts as closed and is dialled again."""
    await rig.connected()
    client = await rig.manager.get_client()
    await client.disconnect()
    await rig.until(State.WAITING)

    assert rig.snapshot.reason is Reason.CLOSED
    assert await rig.until(State.CONNECTED) == 0.25


async def test_an_hour_without_telegram_costs_little_and_ends_by_itself(rig: Rig) -> None:
    """After an hour of refused connections the keeper is live, and back within the longest delay."""
    await rig.connected()
    await rig.dc.stop_listening()
    rig.dc.close_all()
    await asyncio.sleep(3600)

    assert rig.snapshot.due >= asyncio.get_running_loop().time()
    assert len(rig.attempts()) == 245
    down = rig.now
    await rig.dc.start_listening()
    assert await rig.until(State.CONNECTED) - down <= 15


@pytest.mark.parametrize(
    ("lever", "value", "reason"),
    [
        pytest.param("garbage_on_accept", bytes(16), Reason.PROTOCOL, id="garbage"),
        pytest.param("transport_error", 429, Reason.TRANSPORT_FLOOD, id="too many connections"),
        pytest.param("transport_error", 404, Reason.UNKNOWN_KEY, id="unknown key"),
        pytest.param("migrate_to", 4, Reason.MIGRATED, id="another data centre"),
    ],
)
async def test_reason_of_a_failed_attempt(rig: Rig, lever: str, value: object, reason: Reason) -> None:
    """What the peer does to a new connection is told by its own reason."""
    setattr(rig.dc.levers, lever, value)
    rig.start()
    await rig.until(State.WAITING)

    assert rig.snapshot.reason is reason
    assert rig.now < 15


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(lambda dc: dc.send_all(b"\xff" * 64), Reason.PROTOCOL, id="garbage"),
        pytest.param(lambda dc: dc.send_truncated(), Reason.CLOSED, id="truncated frame"),
        pytest.param(lambda dc: dc.send_transport_error(404), Reason.UNKNOWN_KEY, id="-404 in a frame"),
        pytest.param(lambda dc: dc.send_transport_error(429), Reason.TRANSPORT_FLOOD, id="-429 in a frame"),
        pytest.param(
            lambda dc: dc.send_transport_error(429, bare=True, repeat=3), Reason.TRANSPORT_FLOOD, id="-429 bare"
        ),
    ],
)
async def test_reason_of_a_lost_connection(
    rig: Rig, dc: DataCentre, fault: Callable[[DataCentre], None], reason: Reason
) -> None:
    """What the peer does to a verified connection is told by its own reason, at once."""
    await rig.connected()
    await asyncio.sleep(1)
    fault(dc)
    await rig.until(State.WAITING)

    assert rig.now == 1
    assert rig.snapshot.reason is reason


async def test_too_many_connections_is_answered_by_minutes_of_silence(rig: Rig) -> None:
    """After -429 the next connection comes after two minutes and the usual delay, not before."""
    rig.dc.levers.transport_error = 429
    rig.start()
    await rig.until(State.WAITING)
    rig.dc.levers.transport_error = None

    assert await rig.until(State.CONNECTED) == 120.25


async def test_a_changed_salt_is_none_of_our_business(rig: Rig) -> None:
    """Telegram changes salts all the time; the connection lives on and no ping is lost."""
    await rig.connected()
    rig.dc.force_bad_salt()
    await asyncio.sleep(CHECK + 1)

    assert rig.dc.accepted == 1
    assert rig.of(ConnectionLost) == []
    assert [event.result for _, event in rig.of(Checked) if isinstance(event, Checked)] == [CheckResult.OK]


async def test_an_answer_that_is_no_user_ends_the_connection(rig: Rig) -> None:
    """An empty vector instead of a user is no proof of anything."""
    await rig.connected()
    rig.dc.answer_raw("users.getUsers", bytes.fromhex("15c4b51c00000000"))
    await rig.until(State.WAITING)

    assert rig.now == CHECK
    assert rig.snapshot.reason is Reason.PROTOCOL


async def test_an_answer_of_an_unknown_type_does_not_end_the_connection(rig: Rig) -> None:
    """It means that our Telethon is old, and that Telegram is alive: the check counts as failed, no more."""
    await rig.connected()
    rig.dc.answer_raw("users.getUsers", bytes.fromhex("15c4b51c01000000deadbeef"))
    await asyncio.sleep(2 * CHECK + 1)

    assert rig.dc.accepted == 1
    assert rig.metric("telegram_watchdog_checks_total", result="server_error") == 1
    assert rig.metric("telegram_watchdog_checks_total", result="ok") == 1


async def test_something_nobody_expected_is_a_loss_with_its_traceback(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """A borrower that breaks the client's inside costs the connection, and the log shows what happened."""
    await rig.connected()
    await rig.pinged()
    client = await rig.manager.get_client()
    client._sender.send = None
    await rig.until(State.WAITING)

    assert rig.now == 3
    assert rig.snapshot.reason is Reason.UNEXPECTED
    assert "TypeError: 'NoneType' object is not callable" in caplog.text
    assert await rig.until(State.CONNECTED) == 3.25


async def test_a_view_that_fails_costs_nothing(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A fault in a metric or a log line is logged with its traceback; the connection lives on."""

    def fail(event: object, _: object) -> None:
        raise ZeroDivisionError

    await rig.connected(observers=[fail])
    await asyncio.sleep(CHECK + 1)

    assert rig.dc.accepted == 1
    assert "observer_failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_a_full_send_buffer_does_not_hold_up_the_next_attempt(rig: Rig) -> None:
    """A lost connection is cut, for there is nobody to close it politely with: the retry comes when it was promised."""
    await rig.connected()
    await asyncio.sleep(CHECK + 3.5)
    rig.dc.levers.stop_reading = True
    client = await rig.manager.get_client()
    client._sender._connection._writer.write(bytes(32 * 1024 * 1024))
    await rig.until(State.WAITING)
    rig.dc.levers.stop_reading = False
    rig.dc.violations.clear()  # what was written into the hole is no MTProto

    assert rig.now == CHECK + 9
    assert await rig.until(State.CONNECTED) == CHECK + 9.05
    rig.dc.violations.clear()


async def test_every_answer_is_a_contact(rig: Rig) -> None:
    """A refusal and a server error are answers too: "last contact" is when Telegram last said anything."""
    rig.dc.levers.ignore_pings = True
    rig.dc.fail("users.getUsers", code=500, message="INTERNAL")
    rig.start()
    await rig.until(State.WAITING)
    assert rig.metric("telegram_last_contact_timestamp_seconds") == 2

    rig.session.revoke()
    await rig.until(State.REFUSED)
    assert rig.metric("telegram_last_contact_timestamp_seconds") == 2.25


@pytest.mark.parametrize("skew", [-400.0, -100.0, 31.0, 100.0, 100_000.0])
async def test_a_wrong_clock_does_not_keep_it_from_connecting(rig: Rig, skew: float) -> None:
    """Telethon takes Telegram's time over from the first answer of a connection, whatever our clock says."""
    rig.dc.levers.clock_skew = skew
    await rig.connected()
    await asyncio.sleep(CHECK + 1)

    assert rig.dc.accepted == 1
    assert rig.metric("telegram_watchdog_checks_total", result="ok") == 1


async def test_a_session_with_an_ipv6_address(tmp_path: Path) -> None:
    """The address family follows the session string: nothing has to be set for it."""
    async with DataCentre(host="::1") as dc:
        rig = Rig(dc, tmp_path / "secrets")
        await rig.connected()
        await asyncio.sleep(CHECK + 1)
        await rig.stop()

        assert rig.metric("telegram_watchdog_checks_total", result="ok") == 1
        assert dc.accepted == 1


async def test_a_clock_that_falls_behind_while_connecting_is_named(rig: Rig) -> None:
    """An attempt that fails for it says so, as a lost connection does."""
    rig.dc.levers.latency = 1.0
    rig.start()
    await asyncio.sleep(2.5)
    rig.dc.levers.clock_skew = 100.0
    await rig.until(State.WAITING)

    assert rig.snapshot.reason is Reason.CONNECT_TIMEOUT
    dropped = "1 answers were dropped, for they are repeated or the clock of one side is wrong"
    assert rig.snapshot.detail == f"no verified session within 15 s; {dropped}"


@pytest.mark.parametrize("answer", ["b5757299", "15c4b51c00000000"], ids=["boolTrue", "an empty vector"])
async def test_a_configuration_that_is_none_is_a_loss(rig: Rig, answer: str) -> None:
    """Whatever help.getConfig is answered with, the attempt ends with a verdict, and the next one comes."""
    rig.dc.answer_raw("help.getConfig", bytes.fromhex(answer), times=2)  # Telethon asks first, and looks at nothing
    rig.start()
    await rig.until(State.WAITING)

    assert rig.snapshot.reason is Reason.PROTOCOL
    await rig.until(State.CONNECTED)


async def test_a_clock_that_falls_behind_costs_one_connection(rig: Rig) -> None:
    """Telethon drops every answer that seems to come from the future; the next connection takes the time over."""
    await rig.connected()
    await asyncio.sleep(CHECK + 1)
    rig.dc.levers.clock_skew = 100.0
    await rig.until(State.WAITING)

    assert rig.snapshot.reason is Reason.PING_TIMEOUT
    dropped = "1 answers were dropped, for they are repeated or the clock of one side is wrong"
    assert rig.snapshot.detail == f"no answer to a ping within 3 s; {dropped}"
    await rig.until(State.CONNECTED)
    offset = rig.metric("telegram_clock_offset_seconds")
    assert offset is not None
    assert abs(offset - 100) <= 0.51
    await asyncio.sleep(CHECK + 1)
    assert rig.dc.accepted == 2


async def test_clock_offset_is_told(rig: Rig) -> None:
    """The offset is Telegram's clock minus ours, give or take the half second that Telegram's seconds leave open."""
    rig.dc.levers.clock_skew = 200.0
    await rig.connected()

    offset = rig.metric("telegram_clock_offset_seconds")
    assert offset is not None
    assert abs(offset - 200) <= 0.51
