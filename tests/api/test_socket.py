"""The api listener on a Unix socket."""

from __future__ import annotations

import asyncio
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from sidecar.http.server import ListenerError
from sidecar.race import background
from tests.api.conftest import Api

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def real_time(api: Api) -> None:
    """Events may be late by what a busy machine needs."""
    api.rig.slack = 5


async def test_it_serves_and_leaves_nothing(api: Api, tmp_path: Path) -> None:
    """Mode 0660; the file is gone afterwards."""
    path = tmp_path / "api.sock"
    await api.start(api_socket=path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert (await api.send()).status == 201
    await api.stop()
    assert not path.exists()


async def test_a_stale_socket_is_replaced(api: Api, tmp_path: Path) -> None:
    """What a killed process left behind is in nobody's way."""
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    await api.start(api_socket=path)

    assert (await api.send()).status == 201


async def test_a_file_is_not_replaced(api: Api, tmp_path: Path) -> None:
    """Whatever it is, it is somebody's."""
    path = tmp_path / "api.sock"
    path.write_text("precious")
    with pytest.raises(ListenerError, match="no socket") as caught:
        await api.start(api_socket=path)

    assert path.read_text() == "precious"
    assert (caught.value.in_use, caught.value.settings) == (False, ("api_socket",))


async def test_a_socket_in_use_is_not_replaced(api: Api, tmp_path: Path) -> None:
    """Another process listens there: it is told, and goes on."""
    path = tmp_path / "api.sock"
    other = await asyncio.start_unix_server(lambda _, writer: writer.close(), path)
    async with other:
        with pytest.raises(ListenerError, match="in use") as caught:
            await api.start(api_socket=path)
        assert caught.value.in_use
        assert path.is_socket()


async def test_a_directory_that_is_not_there(api: Api, tmp_path: Path) -> None:
    """It is told as any other address that cannot be bound."""
    with pytest.raises(ListenerError, match="no such file"):
        await api.start(api_socket=tmp_path / "missing" / "api.sock")


async def test_the_port_is_in_use(api: Api) -> None:
    """The error names the settings of this listener."""
    async with background(asyncio.sleep(60)):
        taken = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with taken:
            with pytest.raises(ListenerError) as caught:
                await api.start(api_port=taken.sockets[0].getsockname()[1])
    assert caught.value.settings == ("api_host", "api_port")
