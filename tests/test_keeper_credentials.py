"""Credentials that are missing, appear and change while the keeper runs: no restart, and never two connections."""

from __future__ import annotations

import asyncio

import pytest

from sidecar import health
from sidecar.link import Reason
from sidecar.state import CredentialsChanged, State
from tests.rig import API_HASH, Rig

pytestmark = pytest.mark.looptime


async def test_missing_credentials_do_not_stop_it(rig: Rig) -> None:
    """It holds in `unconfigured`, names what is missing, and is live."""
    rig.secrets.mkdir()
    rig.start(from_files=True)
    await asyncio.sleep(600)

    assert rig.snapshot.state is State.UNCONFIGURED
    assert rig.snapshot.missing == ("API_ID", "API_HASH", "SESSION_STRING")
    now = asyncio.get_running_loop().time()
    assert health.live(rig.snapshot, now).ok
    assert health.started(rig.snapshot, now).ok
    assert health.overall(rig.snapshot, now) is health.Health.UNHEALTHY
    assert rig.dc.accepted == 0


async def test_credentials_that_appear_are_used_within_ten_seconds(rig: Rig) -> None:
    """A Secret that is mounted later needs no restart: two looks, 2 s apart, and it is connected."""
    rig.start(from_files=True)
    await asyncio.sleep(60.5)
    rig.mount(rig.session)

    assert await rig.until(State.CONNECTED) == 64


async def test_a_new_session_replaces_the_old_one_without_overlap(rig: Rig) -> None:
    """The old connection is closed first; the new account is who the snapshot says it is."""
    rig.mount(rig.session)
    rig.start(from_files=True)
    await rig.until(State.CONNECTED)
    other = rig.dc.create_session(username="somebody_else")
    rig.mount(other)
    await rig.until(State.WAITING)

    assert rig.now == 4
    assert rig.snapshot.reason is Reason.CREDENTIALS_CHANGED
    await rig.until(State.CONNECTED)
    assert rig.now == 4
    assert rig.snapshot.identity
    assert rig.snapshot.identity.username == "somebody_else"
    assert (rig.session.connections, other.connections) == (0, 1)
    assert rig.metric("telegram_disconnects_total", reason="credentials_changed") == 1
    assert rig.metric("telegram_reconnects_total", reason="credentials_changed") == 1


async def test_a_refused_session_is_replaced_without_a_restart(rig: Rig) -> None:
    """This is how an incident ends: a person logs in again and puts the new string in the Secret."""
    rig.mount(rig.session)
    rig.start(from_files=True)
    await rig.until(State.CONNECTED)
    rig.session.revoke()
    await rig.until(State.REFUSED)
    await asyncio.sleep(3600)
    rig.mount(rig.dc.create_session())

    assert await rig.until(State.CONNECTED) - 3660 <= 10
    assert rig.metric("telegram_reconnects_total", reason="revoked") == 1


@pytest.mark.parametrize("lever", ["black_hole", "transport_error"], ids=["connecting", "waiting"])
async def test_a_change_interrupts_an_attempt_and_a_wait(rig: Rig, lever: str) -> None:
    """Neither a hanging attempt nor two minutes for an unknown key delay the use of new credentials."""
    setattr(rig.dc.levers, lever, 404)
    rig.mount(rig.session)
    rig.start(from_files=True)
    await asyncio.sleep(1)
    assert rig.snapshot.state is (State.CONNECTING if lever == "black_hole" else State.WAITING)
    rig.dc.levers.reset()
    rig.mount(rig.dc.create_session())

    assert await rig.until(State.CONNECTED) == 4


async def test_credentials_that_vanish_end_the_connection(rig: Rig) -> None:
    """A Secret without a session string leaves nothing to stay connected with."""
    rig.mount(rig.session)
    rig.start(from_files=True)
    await rig.until(State.CONNECTED)
    rig.mount(session_string="")
    await rig.until(State.UNCONFIGURED)

    assert rig.now == 4
    assert rig.snapshot.missing == ("SESSION_STRING",)
    await asyncio.sleep(1)
    assert rig.dc.live == 0


async def test_reloading_needs_no_second_look(rig: Rig) -> None:
    """SIGHUP says that the files are ready: they are taken at once."""
    rig.mount(rig.session)
    rig.start(from_files=True)
    await rig.until(State.CONNECTED)
    await asyncio.sleep(0.5)
    rig.mount(rig.dc.create_session())
    rig.manager.reload_credentials()
    await rig.until(State.WAITING)

    assert await rig.until(State.CONNECTED) == 0.5
    assert len(rig.of(CredentialsChanged)) == 1


async def test_a_session_string_that_is_none_is_named(rig: Rig) -> None:
    """A truncated string is not tried: Telethon would take some for "no key" and make a new one."""
    rig.mount(api_hash=API_HASH, session_string=rig.session.string[:-3])
    rig.start(from_files=True)
    await rig.until(State.UNCONFIGURED)

    assert rig.snapshot.detail == (
        "SESSION_STRING has 350 characters; a Telethon StringSession has 353 (IPv4) or 369 (IPv6)"
    )
    assert rig.snapshot.missing == ("SESSION_STRING",)
    assert rig.dc.accepted == 0


async def test_a_proxy_is_never_dialled_around(rig: Rig) -> None:
    """A proxy that cannot be used means: no connection at all."""
    rig.mount(rig.session, proxy="socks4://127.0.0.1:1080")
    rig.start(from_files=True)
    await asyncio.sleep(60)

    assert rig.snapshot.state is State.UNCONFIGURED
    assert rig.snapshot.problems[0].name == "SIDECAR_PROXY"
    assert rig.snapshot.missing == ()
    assert rig.dc.accepted == 0
