"""What the keeper does when Telegram says "not now": it waits for as long as it was told, and keeps its connection."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sidecar.link import Reason
from sidecar.state import Checked, CheckResult, State
from tests.rig import Rig

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize("message", ["FLOOD_WAIT_300", "FLOOD_PREMIUM_WAIT_300", "FLOOD_TEST_PHONE_WAIT_300"])
async def test_a_flood_wait_on_a_check_keeps_the_connection(rig: Rig, message: str) -> None:
    """It is counted, moves the next check behind the wait, and is no latency; pings go on and it stays connected."""
    await rig.connected()
    rig.dc.fail("users.getUsers", code=420, message=message)
    await asyncio.sleep(430)

    assert [at for at, _ in rig.of(Checked)] == [60, 60 + 300 + 60]
    assert rig.metric("telegram_watchdog_checks_total", result="flood_wait") == 1
    assert rig.metric("telegram_watchdog_latency_seconds_count") == 1
    assert rig.metric("telegram_flood_waits_total") == 1
    assert rig.metric("telegram_flood_wait_until_timestamp_seconds") == 360
    assert rig.metric("telegram_connected") == 1
    assert rig.dc.accepted == 1


@pytest.mark.parametrize("seconds", [3, 300, 20_000])
async def test_a_flood_wait_on_connecting_is_waited_out(rig: Rig, seconds: int) -> None:
    """No connection is opened before the wait is over, however long it is."""
    rig.dc.fail("users.getUsers", code=420, message=f"FLOOD_WAIT_{seconds}")
    rig.start()

    assert await rig.until(State.CONNECTED) == seconds + 0.25
    assert rig.dc.accepted == 2
    assert rig.metric("telegram_flood_waits_total") == 1


async def test_a_flood_wait_on_a_check_holds_back_the_next_connection_too(rig: Rig) -> None:
    """Every attempt asks get_me, so a connection that is lost inside a wait is not replaced before its end."""
    await rig.connected()
    rig.dc.fail("users.getUsers", code=420, message="FLOOD_WAIT_300")
    await asyncio.sleep(100)
    rig.dc.close_all()
    await rig.until(State.WAITING)

    assert rig.snapshot.reason is Reason.CLOSED
    assert rig.metric("telegram_connected") == 0
    assert await rig.until(State.CONNECTED) == 360.25


async def test_a_flood_wait_outlives_a_change_of_other_credentials(rig: Rig) -> None:
    """The wait belongs to the session: another api_hash does not end it, another session does."""
    rig.mount(rig.session)
    rig.dc.fail("users.getUsers", code=420, message="FLOOD_WAIT_300")
    rig.start(from_files=True)
    await asyncio.sleep(10.5)
    rig.mount(rig.session, api_hash="f" * 32)
    await asyncio.sleep(10)

    assert rig.snapshot.state is State.WAITING
    assert rig.snapshot.reason is Reason.FLOOD_WAIT
    assert rig.dc.accepted == 1
    assert rig.metric("telegram_flood_wait_until_timestamp_seconds") == 300
    rig.mount(rig.dc.create_session())
    assert await rig.until(State.CONNECTED) == 24
    assert rig.snapshot.flood_until is None
    assert rig.metric("telegram_flood_wait_until_timestamp_seconds") == 0


async def test_a_flood_wait_outlives_a_rollback_of_the_session(rig: Rig) -> None:
    """Going to another session and back does not end the first one's wait, even if the other had one in between."""
    other = rig.dc.create_session()
    rig.mount(rig.session)
    rig.dc.fail("users.getUsers", code=420, message="FLOOD_WAIT_300")
    rig.dc.fail("users.getUsers", code=420, message="FLOOD_WAIT_5")
    rig.start(from_files=True)
    await asyncio.sleep(10.5)
    rig.mount(other)
    await rig.until(State.CONNECTED)
    rig.mount(rig.session)

    await rig.until(State.WAITING)
    await asyncio.sleep(0.1)
    assert rig.snapshot.state is State.WAITING
    assert rig.snapshot.reason is Reason.FLOOD_WAIT
    assert await rig.until(State.CONNECTED) == 300


async def restarted(rig: Rig, **settings: Any) -> Rig:
    """Stop a keeper and start another one on the same session, as a container that is restarted."""
    await rig.stop()
    after = Rig(rig.dc, rig.secrets)
    after.session = rig.session
    after.start(**settings)
    return after


async def test_a_flood_wait_outlives_a_restart(rig: Rig, tmp_path: Path) -> None:
    """With a state directory the next process does not connect before the wait is over, and says why."""
    rig.dc.fail("users.getUsers", code=420, message="FLOOD_WAIT_300")
    rig.start(state_dir=tmp_path)
    await asyncio.sleep(100)
    after = await restarted(rig, state_dir=tmp_path)
    await after.until(State.WAITING)

    assert after.snapshot.reason is Reason.FLOOD_WAIT
    assert after.snapshot.first_outcome
    assert after.metric("telegram_flood_wait_until_timestamp_seconds") == 200
    assert rig.dc.accepted == 1
    assert await after.until(State.CONNECTED) == 200
    await after.stop()


async def test_a_flood_wait_of_another_session_does_not_hold_this_one(rig: Rig, tmp_path: Path) -> None:
    """What is remembered is remembered by fingerprint."""
    rig.dc.fail("users.getUsers", code=420, message="FLOOD_WAIT_300")
    rig.start(state_dir=tmp_path)
    await rig.until(State.WAITING)
    after = await restarted(rig, state_dir=tmp_path, session_string=rig.dc.create_session().string)

    assert await after.until(State.CONNECTED) == 0
    await after.stop()


async def test_without_a_state_directory_a_restart_forgets(rig: Rig) -> None:
    """The limit that README states, pinned."""
    rig.dc.fail("users.getUsers", code=420, message="FLOOD_WAIT_300")
    rig.start()
    await rig.until(State.WAITING)
    after = await restarted(rig)

    assert await after.until(State.CONNECTED) == 0
    await after.stop()


async def test_too_many_connections_holds_back_every_session(rig: Rig) -> None:
    """-429 is about our address: another session must wait as well."""
    rig.mount(rig.session)
    rig.dc.levers.transport_error = 429
    rig.start(from_files=True)
    await asyncio.sleep(10.5)
    rig.dc.levers.transport_error = None
    rig.mount(rig.dc.create_session())

    assert await rig.until(State.CONNECTED) == 120
    assert rig.dc.accepted == 2


@pytest.mark.parametrize("times", [1, None], ids=["once", "for ever"])
@pytest.mark.parametrize(
    ("code", "message"),
    [(500, "INTERNAL"), (-503, "Timeout"), (500, "RPC_CALL_FAIL"), (500, "A_NEW_KIND_OF_FAULT")],
)
async def test_a_server_error_on_a_check_keeps_the_connection(
    rig: Rig, code: int, message: str, times: int | None
) -> None:
    """The fault is Telegram's and its pings are answered; the check is counted and the next one comes as usual."""
    await rig.connected()
    rig.dc.fail("users.getUsers", code=code, message=message, times=times)
    await asyncio.sleep(190)

    results = [event.result for _, event in rig.of(Checked) if isinstance(event, Checked)]
    assert results == (["server_error", "ok", "ok"] if times else ["server_error"] * 3)
    assert rig.metric("telegram_watchdog_latency_seconds_count") == results.count(CheckResult.OK)
    assert rig.dc.accepted == 1
    assert rig.metric("telegram_connected") == 1


async def test_a_server_error_on_connecting_is_a_failed_attempt(rig: Rig) -> None:
    """Without an answered get_me there is no verified session, whatever the cause."""
    rig.dc.fail("users.getUsers", code=500, message="INTERNAL")
    rig.start()
    await rig.until(State.WAITING)

    assert rig.snapshot.reason is Reason.SERVER_ERROR
    assert rig.now == 2  # Telethon holds a server error back for so long
    assert await rig.until(State.CONNECTED) == 2.25
