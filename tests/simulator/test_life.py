"""The life of a data centre: a block, used once, that leaves nothing behind and hides nothing."""

import asyncio
import socket
from typing import Any

import pytest
from telethon import functions

from sidecar.simulator import DataCentre
from sidecar.simulator.methods import METHODS
from sidecar.simulator.methods.table import Method

from .raw import RawClient, initial


async def _dial(dc: DataCentre) -> RawClient:
    return RawClient(dc.create_session(), *await asyncio.open_connection(dc.host, dc.port))


async def test_nothing_is_left() -> None:
    """When the block ends, its sockets are closed and its tasks over."""
    async with DataCentre() as dc:
        peer = await _dial(dc)
        await peer.ask(functions.PingDelayDisconnectRequest(1, 600))
    assert await peer.closed()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await peer.close()


async def test_leaving_while_clients_arrive() -> None:
    """A connection that is being accepted when the block ends is closed too."""
    async with DataCentre() as dc:
        peers = await asyncio.gather(*(_dial(dc) for _ in range(5)))
    for peer in peers:
        await peer.close()
    assert dc.live == 0


async def test_leaving_a_client_that_does_not_read() -> None:
    """What a client never reads does not hold up the end."""
    async with DataCentre() as dc:
        peer = await _dial(dc)
        await peer.ask(functions.PingRequest(1))
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        dc.send_all(bytes(32 << 20))
    peer.writer.transport.abort()


async def test_used_once() -> None:
    """A data centre cannot be entered twice, and has no session strings before it is entered."""
    dc = DataCentre()
    session = dc.create_session()
    with pytest.raises(RuntimeError, match="enter it first"):
        _ = session.string
    async with dc:
        assert session.string
    with pytest.raises(RuntimeError, match="used once"):
        await dc.__aenter__()


async def test_nobody_else_is_given_its_port_meanwhile() -> None:
    """While it does not listen, clients are refused, and no other process may listen in its place."""
    async with DataCentre() as dc:
        live = await _dial(dc)
        await dc.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            await _dial(dc)
        with pytest.raises(OSError, match="in use"):
            socket.create_server((dc.host, dc.port))
        await dc.start_listening()
        again = await _dial(dc)
        for peer in (live, again):
            await peer.ask(functions.PingRequest(1))
    for peer in (live, again):
        await peer.close()
    socket.create_server((dc.host, dc.port)).close()


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """help.getConfig has a bug."""

    def execute(_call: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(METHODS, functions.help.GetConfigRequest, Method(execute, needs_login=False))


async def _provoke(dc: DataCentre) -> None:
    peer = await _dial(dc)
    peer.send(initial(functions.help.GetConfigRequest()))
    with pytest.raises(ConnectionResetError):
        await peer.closed()
    await peer.close()


@pytest.mark.usefixtures("broken")
async def test_a_fault_of_our_own() -> None:
    """A bug in a handler resets the connection, is kept, and is raised when the block ends."""
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the block's end is what raises
        async with DataCentre() as dc:
            await _provoke(dc)
            assert len(dc.errors) == 1
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)


@pytest.mark.usefixtures("broken")
async def test_a_fault_of_our_own_beside_another() -> None:
    """The exception that ends the block is not replaced, only annotated."""
    with pytest.raises(KeyError) as caught:  # noqa: PT012 - as above
        async with DataCentre() as dc:
            await _provoke(dc)
            raise KeyError("the test's own")
    assert "ZeroDivisionError" in caught.value.__notes__[0]
