"""`wait` and `healthcheck`, as processes: what they answer, how soon, and that they import nothing heavy."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from sidecar.commands.probe import DEFAULT_HOST, DEFAULT_PORT, address, seconds
from sidecar.http.ops import ops_app
from sidecar.http.server import listen
from sidecar.journal import Journal
from sidecar.link import Endpoint, Identity
from sidecar.race import background
from sidecar.settings import Settings
from sidecar.state import AttemptStarted, Connected, Event

ROOT = Path(__file__).parent.parent
CONNECTED: tuple[Event, ...] = (
    AttemptStarted(1, "0badcafe"),
    Connected(Identity(user_id=7, is_bot=False), Endpoint(dc=2, clock_offset=0.0), 0.2, None),
)


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


async def start(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    """Start a command."""
    return await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "sidecar", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(*arguments: str, **environment: str) -> Done:
    """Run a command to its end."""
    process = await start(*arguments, **environment)
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    return Done(process.returncode or 0, out.decode(), err.decode())


class Keeper(NamedTuple):
    """A listener like the daemon's, whose state the test decides."""

    journal: Journal
    port: str
    asked: asyncio.Event

    def say(self, *events: Event) -> None:
        """Let things happen."""
        for event in events:
            self.journal.record(event, within=60)


@pytest.fixture
async def keeper() -> AsyncIterator[Keeper]:
    """A daemon that has just started."""
    journal = Journal([], due=asyncio.get_running_loop().time() + 60)
    app = ops_app(journal, metrics=make_aiohttp_handler(CollectorRegistry()), environment="test", version="1")
    asked = asyncio.Event()

    async def hear(*_: object) -> None:
        asked.set()

    app.on_response_prepare.append(hear)
    bound: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with background(listen(app, "127.0.0.1", 0, bound=bound.set_result)):
        yield Keeper(journal, (await bound).rpartition(":")[2], asked)


async def test_healthcheck_asks_whether_it_is_live(keeper: Keeper) -> None:
    """A daemon that makes progress is healthy for Docker, whatever Telegram does: a restart mends nothing."""
    assert await run("healthcheck", "--port", keeper.port) == (0, "The keeper is making progress.\n", "")


async def test_healthcheck_of_what_is_not_ready(keeper: Keeper) -> None:
    """It may be asked for readiness, too; the answer no is exit code 1, and says why on standard error."""
    not_ready = await run("healthcheck", "--for", "ready", SIDECAR_PORT=keeper.port)
    assert not_ready == (1, "", "Starting; nothing was tried yet.\n")
    keeper.say(*CONNECTED)
    code, out, err = await run("healthcheck", "--for", "ready", "--json", SIDECAR_PORT=keeper.port)
    assert (code, err) == (0, "")
    assert json.loads(out)["ok"] is True
    assert json.loads(out)["why"].startswith("Connected: Telegram answered ")


async def test_the_port_stands_in_the_env_file(keeper: Keeper, tmp_path: Path) -> None:
    """It finds the daemon as the daemon finds its settings."""
    (tmp_path / ".env").write_text(f"SIDECAR_PORT={keeper.port}\n")
    assert (await run("healthcheck")).code == 0


async def test_nobody_there() -> None:
    """A daemon that is not running is not healthy, and the line names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    code, out, err = await run("healthcheck", "--port", str(port))
    assert (code, out) == (1, "")
    assert err.startswith(f"No answer from 127.0.0.1:{port}: Connection refused.")


@asynccontextmanager
async def somebody_else() -> AsyncIterator[int]:
    """Listen as something that is no daemon of ours; give the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_somebody_else_there() -> None:
    """Whatever else listens there is told apart from a daemon."""
    async with somebody_else() as port:
        code, _, err = await run("healthcheck", "--port", str(port))
    assert code == 1
    assert err == f"What listens at 127.0.0.1:{port} is no telethon-sidecar: status 200, and no reason.\n"


async def test_wait_ends_when_it_is_ready(keeper: Keeper) -> None:
    """It asks until the answer is yes."""
    process = await start("wait", "--port", keeper.port, "--timeout", "20s")
    async with asyncio.timeout(10):
        await keeper.asked.wait()
    assert process.returncode is None
    keeper.say(*CONNECTED)
    async with asyncio.timeout(10):
        out, err = await process.communicate()
    assert err == b""
    assert await process.wait() == 0
    assert out.startswith(b"Connected: ")


async def test_wait_gives_up(keeper: Keeper) -> None:
    """When the time is over it says what it waited for, and what keeps it."""
    assert await run("wait", "--for", "started", "--port", keeper.port, "--timeout", "300ms") == (
        *(1, ""),
        "not started within 300ms. Starting; nothing was tried yet.\n",
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_broken_off_wait_is_no_yes(number: signal.Signals) -> None:
    """`telethon-sidecar wait && application` must not start the application on Ctrl-C."""
    asked = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    async with server:
        process = await start("wait", "--port", str(server.sockets[0].getsockname()[1]))
        async with asyncio.timeout(20):
            await asked.wait()
            process.send_signal(number)
            assert await process.communicate() == (b"", b"")
    assert process.returncode == 128 + number


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["--timeout", "soon"], "--timeout: not a duration; accepted: a number with ms", id="time"),
        pytest.param(["--port", "0"], "SIDECAR_PORT: not a port of a running daemon; accepted: 1", id="port-0"),
        pytest.param(["--port", "70000"], "SIDECAR_PORT: not a port of a running daemon", id="port-too-large"),
        pytest.param(["--port", "x"], "SIDECAR_PORT: not a port of a running daemon", id="port-text"),
    ],
)
async def test_bad_values(arguments: list[str], told: str) -> None:
    """Each is one line; the flag's own fault is wrong usage, that of a setting bad configuration."""
    code, out, err = await run("wait", *arguments)
    assert (code, out, err.count("\n")) == (64 if "--timeout" in arguments else 78, "", 1)
    assert err.startswith(told)


async def test_unknown_words_are_wrong_usage() -> None:
    """As for every command."""
    assert (await run("wait", "--for", "ever")).code == 64


@pytest.mark.parametrize("command", ["healthcheck", "wait"])
async def test_nothing_heavy_is_imported(command: str) -> None:
    """They are run every few seconds: neither Telethon nor pydantic, aiohttp or structlog gets in."""
    arguments = [command, "--port", "1", *(["--timeout", "100ms"] if command == "wait" else [])]
    program = (
        f"import sys; from sidecar.cli import main; main({arguments}); "
        "print(sorted({'telethon', 'pydantic', 'aiohttp', 'structlog', 'asyncio'} & sys.modules.keys()))"
    )
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert out == b"[]\n"


@pytest.mark.parametrize(
    ("bound", "asked"),
    [(".".join("0000"), "127.0.0.1"), ("::", "::1"), ("10.0.0.1", "10.0.0.1"), (" localhost ", "localhost")],
)
def test_where_a_daemon_is_asked_that_listens_everywhere(bound: str, asked: str) -> None:
    """An address that means all addresses is asked on loopback."""
    assert address(bound) == (asked, 9877)


def test_its_defaults_are_those_of_the_settings() -> None:
    """It cannot import them, and must not drift from them."""
    fields = Settings.model_fields
    assert (fields["host"].default, str(fields["port"].default)) == (DEFAULT_HOST, DEFAULT_PORT)


@pytest.mark.parametrize(
    ("text", "expected"), [("500ms", 0.5), ("60s", 60.0), ("1.5m", 90.0), ("2h", 7200.0), ("7", 7.0), (" 3s ", 3.0)]
)
def test_durations(text: str, expected: float) -> None:
    """A number and a unit; without one, seconds."""
    assert seconds(text) == expected
