"""The examples work: against the demo as a process, and by themselves."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from sidecar.simulator.chats import Member
from tests.daemon import PATIENCE, Daemon
from tests.rig import API_HASH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sidecar.simulator import DataCentre

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parent.parent / "examples"
COMMANDS = {"curl": ["sh", "send.sh"], "python": [sys.executable, "send.py"], "node": ["node", "send.mjs"]}


def need(tool: str) -> None:
    """Skip where a tool is missing; in CI it must be there."""
    if shutil.which(tool) is None:
        assert not os.environ.get("CI"), f"{tool} is needed here"
        pytest.skip(f"{tool} is not installed")


async def run(*command: str, **environment: str) -> tuple[int, str]:
    """Run an example, and return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=EXAMPLES,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.parametrize("tool", COMMANDS)
async def test_an_example_against_the_demo(tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends, changes, reads and deletes a message by way of the demo's api listener."""
    if tool != "python":
        need(tool)
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    arguments = ("demo", "--port", "0", "--api-port", "0", "--log-format", "json")
    async with Daemon(tmp_path, *arguments) as demo:
        await demo.logged("telegram_connected")
        code, said = await run(*COMMANDS[tool], SIDECAR_URL=await demo.api())

    assert code == 0, said
    assert "hello again" in said
    assert said.splitlines()[-1].startswith("deleted: ")


@asynccontextmanager
async def embedding(dc: DataCentre, *command: str) -> AsyncIterator[str]:
    """Run a program that has the keeper inside, and give its URL."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    session = dc.create_session()
    dc.chats.add_channel("news", members={session.account.user_id: Member.editor()})
    credentials = {"API_ID": "1", "API_HASH": API_HASH, "SESSION_STRING": session.string, "CHANNEL_URL": "@news"}
    process = await asyncio.create_subprocess_exec(
        *[word.replace("PORT", str(port)) for word in command],
        cwd=EXAMPLES,
        env=os.environ | credentials | {"PORT": str(port), "PYTHONPATH": str(EXAMPLES.parent)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        async with asyncio.timeout(PATIENCE):
            said, _ = await process.communicate()
        assert b"Traceback" not in said, said.decode()


async def once_up(url: str, **request: object) -> httpx.Response:
    """Post, as soon as somebody listens."""
    async with asyncio.timeout(PATIENCE), httpx.AsyncClient(timeout=PATIENCE) as http:
        while True:
            try:
                return await http.post(url, **request)  # type: ignore[arg-type]
            except httpx.ConnectError:
                await asyncio.sleep(0.05)  # a process of its own tells nobody when it listens


async def test_the_keeper_inside_aiohttp(dc: DataCentre) -> None:
    """It sends over the one connection of the process, and tells its health."""
    async with embedding(dc, sys.executable, "in_aiohttp.py") as url:
        sent = await once_up(url + "/notify", content="hello")
        async with httpx.AsyncClient() as http:
            health = (await http.get(url + "/healthz")).json()

    assert (sent.status_code, sent.json()) == (200, {"id": 1})
    assert health["connected"] is True
    assert dc.accepted == 1


async def test_the_keeper_inside_fastapi(dc: DataCentre) -> None:
    """It sends over the one connection of the process, started by the first use."""
    command = [sys.executable, "-m", "uvicorn", "in_fastapi:app", "--port", "PORT", "--log-level", "warning"]
    async with embedding(dc, *command) as url:
        sent = await once_up(url + "/notify", json={"text": "hello"})

    assert (sent.status_code, sent.json()) == (200, {"id": 1})
    assert dc.accepted == 1
