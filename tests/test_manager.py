"""The library face: one client per process, lent to any asyncio program."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from telethon import functions

import sidecar
from sidecar import Settings, TelegramClientManager, TelegramUnavailableError, get_telegram_client
from sidecar.link import Reason
from sidecar.manager import process_manager
from sidecar.settings import SettingsError
from sidecar.state import State
from tests.rig import API_HASH, Rig

if TYPE_CHECKING:
    from sidecar.simulator import DataCentre

pytestmark = pytest.mark.looptime


@pytest.fixture
def environment(dc: DataCentre, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials of a session in `dc`, where the one manager of a process finds them."""
    for name, value in {"API_ID": "1", "API_HASH": API_HASH, "SESSION_STRING": dc.create_session().string}.items():
        monkeypatch.setenv(name, value)


async def test_the_client_is_lent_once_telegram_is_connected(rig: Rig) -> None:
    """Who asks early waits for the connection, and gets the real Telethon client."""
    rig.start()
    async with rig.manager.client() as client:
        state = await client(functions.updates.GetStateRequest())

    assert state.pts >= 0
    assert client.is_connected()


async def test_leaving_the_block_leaves_the_connection_open(rig: Rig) -> None:
    """The client belongs to the manager; a borrower gives it back by doing nothing."""
    await rig.connected()
    async with rig.manager.client():
        pass
    await asyncio.sleep(60)

    assert rig.dc.live == 1
    assert rig.dc.accepted == 1


async def test_no_connection_in_time_is_an_error_that_says_why(rig: Rig) -> None:
    """The error is a ConnectionError, comes at the deadline, and names state and reason."""
    await rig.dc.stop_listening()
    rig.start()
    with pytest.raises(TelegramUnavailableError) as caught:
        await rig.manager.get_client(timeout=5)

    assert rig.now == 5
    assert isinstance(caught.value, ConnectionError)
    assert caught.value.state is State.WAITING
    assert caught.value.reason is Reason.UNREACHABLE
    assert "cannot be reached" in str(caught.value)


async def test_a_failing_body_is_logged_and_raised_again(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """The log says that an operation failed, and with what kind of error; the error itself is the borrower's."""
    await rig.connected()
    with pytest.raises(KeyError, match="mine"):
        async with rig.manager.client():
            raise KeyError("mine")

    logged = [record.msg for record in caplog.records if record.name == "sidecar" and record.levelname == "WARNING"]
    assert logged == [{"event": "telegram_operation_failed", "error": "KeyError"}]


@pytest.mark.parametrize("end", ["silence", "credentials"])
async def test_a_connection_that_ends_under_a_borrower_is_an_error(
    rig: Rig, caplog: pytest.LogCaptureFixture, end: str
) -> None:
    """Telethon cancels what is in flight; the borrower gets an error that says why, for nobody cancelled it."""
    rig.mount(rig.session)
    await rig.connected(from_files=True)
    await rig.pinged()

    async def borrow() -> None:
        async with rig.manager.client() as client:
            rig.dc.levers.black_hole = True
            await client(functions.updates.GetStateRequest())

    borrowing = asyncio.create_task(borrow())
    await asyncio.sleep(0.1)
    if end == "credentials":
        rig.mount(rig.dc.create_session())
    await asyncio.wait([borrowing])

    error = borrowing.exception()
    assert isinstance(error, TelegramUnavailableError)
    assert error.reason is (Reason.PING_TIMEOUT if end == "silence" else Reason.CREDENTIALS_CHANGED)
    assert "telegram_operation_failed" in caplog.text
    rig.dc.levers.black_hole = False


async def test_a_borrower_can_be_cancelled(rig: Rig) -> None:
    """A cancellation that somebody asked for stays one."""
    await rig.connected()

    async def borrow() -> None:
        async with rig.manager.client():
            await asyncio.sleep(60)

    borrowing = asyncio.create_task(borrow())
    await asyncio.sleep(1)
    borrowing.cancel()
    await asyncio.wait([borrowing])

    assert borrowing.cancelled()


async def test_a_variable_that_hides_a_file_is_told(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Who replaces a file that is not used must not search for hours: the log names it at the start."""
    rig.mount(rig.session)
    rig.start(secrets_dir=rig.secrets)

    assert "credential_files_hidden files=['api_id', 'api_hash', 'session_string']" in caplog.text


async def test_health_comes_from_memory(rig: Rig) -> None:
    """Asking costs Telegram nothing."""
    await rig.connected()
    before = sum(rig.dc.requests.values())
    health = await rig.manager.check_health()

    assert (health["status"], health["connected"], health["state"]) == ("healthy", True, "connected")
    assert sum(rig.dc.requests.values()) == before


async def test_a_manager_has_one_keeper(rig: Rig) -> None:
    """However often it is run, borrowed from and run again, a session has one connection; all runs end together."""
    rig.start()
    again = asyncio.create_task(rig.manager.run())
    await rig.manager.get_client()
    await rig.stop()
    await again

    assert rig.dc.accepted == 1


async def test_cancelling_ends_the_keeper(rig: Rig) -> None:
    """A program that cancels the task it runs the manager in leaves no connection behind."""
    await rig.connected()
    again = asyncio.create_task(rig.manager.run())
    await asyncio.sleep(1)
    again.cancel()
    await asyncio.wait([again])

    assert again.cancelled()
    assert rig.dc.live == 0
    with pytest.raises(TelegramUnavailableError):
        await rig.manager.get_client()


async def test_a_manager_is_a_block(dc: DataCentre) -> None:
    """Entering starts the keeper, leaving closes the connection."""
    session = dc.create_session()
    settings = Settings(api_id=1, api_hash=API_HASH, session_string=session.string)
    async with TelegramClientManager(settings) as manager:
        await manager.get_client()
        assert session.connections == 1
    await asyncio.sleep(0.1)

    assert session.connections == 0
    with pytest.raises(TelegramUnavailableError) as caught:
        await manager.get_client()
    assert caught.value.state is State.STOPPING


async def test_concurrent_first_use_opens_one_connection(dc: DataCentre, environment: None) -> None:
    """However many ask at once, the process has one manager and one client."""

    async def borrow() -> object:
        async with get_telegram_client() as client:
            return client

    clients = await asyncio.gather(*(borrow() for _ in range(50)))

    assert len(set(map(id, clients))) == 1
    assert dc.accepted == 1
    await process_manager().close()


async def test_a_new_connection_means_a_new_client(dc: DataCentre, environment: None) -> None:
    """A borrower asks each time: after a loss the client is another one."""
    async with get_telegram_client() as first:
        pass
    dc.close_all()
    await asyncio.sleep(1)
    async with get_telegram_client() as second:
        await second(functions.updates.GetStateRequest())

    assert first is not second
    assert not first.is_connected()
    await process_manager().close()


async def test_unusable_settings_are_told_at_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that embeds the keeper gets the same lines as the command prints."""
    monkeypatch.setenv("SIDECAR_PORT", "many")
    with pytest.raises(SettingsError, match="SIDECAR_PORT"):
        async with get_telegram_client():
            raise AssertionError("must not get here")


def test_another_event_loop_is_turned_away(dc: DataCentre, environment: None) -> None:
    """Two loops would mean two connections; once the first loop is closed, the next one may have the session."""

    async def look() -> TelegramClientManager:
        return process_manager()

    with asyncio.Runner() as first, asyncio.Runner() as second:
        mine = first.run(look())
        with pytest.raises(RuntimeError, match="another event loop"):
            second.run(look())
    with asyncio.Runner() as third:
        assert third.run(look()) is not mine


def test_public_names() -> None:
    """What the package promises is there, and nothing else pretends to be."""
    for name in sidecar.__all__:
        assert getattr(sidecar, name)
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = sidecar.nothing_of_the_kind
