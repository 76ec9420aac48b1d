"""What the keeper does when Telegram refuses the session: it holds still, says so, and waits for a person."""

from __future__ import annotations

import asyncio

import pytest

from sidecar import health
from sidecar.link import Reason
from sidecar.state import AttemptFailed, SessionRefused, State
from tests.rig import Rig

pytestmark = pytest.mark.looptime

UNAUTHORIZED = [
    pytest.param("AUTH_KEY_UNREGISTERED", Reason.UNREGISTERED, id="unregistered"),
    pytest.param("SESSION_REVOKED", Reason.REVOKED, id="revoked"),
    pytest.param("SESSION_EXPIRED", Reason.EXPIRED, id="expired"),
    pytest.param("USER_DEACTIVATED", Reason.DEACTIVATED, id="deactivated"),
    pytest.param("USER_DEACTIVATED_BAN", Reason.BANNED, id="banned"),
    pytest.param("AUTH_KEY_INVALID", Reason.UNAUTHORIZED, id="invalid key"),
    pytest.param("A_NAME_THAT_TELETHON_DOES_NOT_KNOW", Reason.UNAUTHORIZED, id="unknown 401"),
]


async def assert_holds_still(rig: Rig) -> None:
    """Assert that for the next hour not a byte goes to Telegram, and that the keeper is live and not ready."""
    accepted, requests = rig.dc.accepted, sum(rig.dc.requests.values())
    await asyncio.sleep(3600)

    now = asyncio.get_running_loop().time()
    assert (rig.dc.accepted, sum(rig.dc.requests.values()), rig.dc.live) == (accepted, requests, 0)
    assert rig.snapshot.state is State.REFUSED
    assert health.live(rig.snapshot, now).ok
    assert not health.ready(rig.snapshot, now).ok
    assert health.started(rig.snapshot, now).ok
    assert rig.metric("telegram_connected") == 0


@pytest.mark.parametrize(("message", "reason"), UNAUTHORIZED)
async def test_a_session_that_dies_while_connected_is_found_by_the_next_check(
    rig: Rig, message: str, reason: Reason
) -> None:
    """Pings do not notice a dead session; the next get_me does, and nothing is sent after it."""
    await rig.connected()
    await asyncio.sleep(1)
    rig.session.revoke(message)
    await rig.until(State.REFUSED)

    assert rig.now == 60
    assert rig.snapshot.reason is reason
    assert rig.metric("telegram_watchdog_checks_total", result="refused") == 1
    assert rig.metric("telegram_disconnects_total", reason=reason) == 1
    await assert_holds_still(rig)


@pytest.mark.parametrize(("message", "reason"), UNAUTHORIZED)
async def test_a_session_that_is_dead_already_is_found_by_the_first_attempt(
    rig: Rig, message: str, reason: Reason
) -> None:
    """Telethon's own connect() succeeds here; our get_me tells the truth."""
    rig.session.revoke(message)
    rig.start()
    await rig.until(State.REFUSED)

    assert rig.snapshot.reason is reason
    assert rig.metric("telegram_connect_attempts_total", result="refused") == 1
    assert rig.metric("telegram_disconnects_total", reason=reason) == 0
    await assert_holds_still(rig)


async def test_a_duplicated_session_is_refused(rig: Rig) -> None:
    """A second connection elsewhere kills the session for good; the keeper must not go on dialling."""
    await rig.connected()
    await asyncio.sleep(1)
    rig.session.revoke("AUTH_KEY_DUPLICATED", code=406)
    await rig.until(State.REFUSED)

    assert rig.snapshot.reason is Reason.DUPLICATED
    await assert_holds_still(rig)


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        pytest.param(400, "API_ID_INVALID", Reason.BAD_API_CREDENTIALS, id="wrong hash"),
        pytest.param(400, "CONNECTION_API_ID_INVALID", Reason.BAD_API_CREDENTIALS, id="unknown id"),
        pytest.param(400, "API_ID_PUBLISHED_FLOOD", Reason.BAD_API_CREDENTIALS, id="published id"),
        pytest.param(406, "UPDATE_APP_TO_LOGIN", Reason.UPDATE_REQUIRED, id="update to log in"),
        pytest.param(400, "INPUT_LAYER_INVALID", Reason.UPDATE_REQUIRED, id="old layer"),
        pytest.param(406, "AUTH_KEY_DUPLICATED", Reason.DUPLICATED, id="duplicated"),
    ],
)
async def test_a_refusal_of_the_first_request(rig: Rig, code: int, message: str, reason: Reason) -> None:
    """Refused API credentials, an outdated client and a duplicated key show in the first request of a connection."""
    rig.dc.fail("help.getConfig", code=code, message=message)
    rig.start()
    await rig.until(State.REFUSED)

    assert rig.snapshot.reason is reason
    await assert_holds_still(rig)


async def test_an_unknown_key_is_refused_after_the_third_answer(rig: Rig) -> None:
    """-404 may be a passing fault of Telegram: it is asked three times, two minutes and more apart."""
    rig.session.forget()
    rig.start()
    await rig.until(State.REFUSED)

    assert rig.attempts() == [0, 120.25, 240.75]
    assert rig.snapshot.reason is Reason.UNKNOWN_KEY
    await assert_holds_still(rig)


async def test_unknown_keys_count_in_a_row(rig: Rig) -> None:
    """An answer that is encrypted with the key proves that Telegram knows it, be it only to say "not now"."""
    rig.start()
    for number in range(5):
        rig.dc.levers.transport_error = 404 if number % 2 == 0 else None
        rig.dc.fail("users.getUsers", code=500, message="INTERNAL", times=1 if number % 2 else 0)
        await rig.until(State.CONNECTING)
        await rig.until(State.WAITING)

    reasons = [event.error.reason for _, event in rig.of(AttemptFailed) if isinstance(event, AttemptFailed)]
    assert reasons == ["unknown_key", "server_error", "unknown_key", "server_error", "unknown_key"]
    assert rig.of(SessionRefused) == []


async def test_an_unknown_key_may_be_a_passing_fault(rig: Rig) -> None:
    """Once the key is known again, the count of such answers begins anew."""
    rig.dc.levers.transport_error = 404
    rig.start()
    await asyncio.sleep(200)
    rig.dc.levers.transport_error = None
    await rig.until(State.CONNECTED)
    rig.dc.levers.transport_error = 404
    rig.dc.close_all()
    await asyncio.sleep(200)

    assert rig.of(SessionRefused) == []
    reasons = [event.error.reason for _, event in rig.of(AttemptFailed) if isinstance(event, AttemptFailed)]
    assert reasons == [Reason.UNKNOWN_KEY] * 4
