"""The daemon and the simulator as two processes, under faults of processes and networks. In real time, hence few.

The daemon's times are short here (`QUICK`), so that what takes a quarter of a minute in production takes seconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from sidecar.health import SLACK_SECONDS
from sidecar.manager import SHORTEST_ORPHAN_SECONDS
from tests.daemon import Daemon
from tests.datacentre_process import DataCentreProcess
from tests.rig import API_HASH

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
INTERVAL, DEADLINE = 0.3, 0.5
NOTICED = INTERVAL + DEADLINE
"""Seconds within which a dead connection is found."""

MARGIN = 2.0
"""Seconds that a busy machine may add to that."""

QUICK = {
    "SIDECAR_PING_INTERVAL": str(INTERVAL),
    "SIDECAR_PING_TIMEOUT": str(DEADLINE),
    "SIDECAR_CONNECT_TIMEOUT": "2.5",
    "SIDECAR_BACKOFF_BASE": "0.1",
    "SIDECAR_BACKOFF_MAX": "0.5",
    "SIDECAR_SHUTDOWN_TIMEOUT": "1",
}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the daemon run from any directory."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
async def far() -> AsyncIterator[DataCentreProcess]:
    """The simulator as a process."""
    async with DataCentreProcess() as process:
        yield process


def keeper(directory: Path, far: DataCentreProcess, *arguments: str, **settings: str) -> Daemon:
    """Make a daemon that keeps the session of a data centre."""
    session = {"API_ID": "1", "API_HASH": API_HASH, "SESSION_STRING": far.session}
    return Daemon(directory, *arguments, **(QUICK | session | settings))


async def shows(daemon: Daemon, path: str, line: str) -> bool:
    """Tell whether an answer has a line in it."""
    return f"\n{line}\n" in (await daemon.get(path))[1]


# ------------------------------------------------------------------------------------------------- the peer is frozen


async def test_a_frozen_server_is_noticed_and_come_back_to(far: DataCentreProcess, tmp_path: Path) -> None:
    """Its sockets stay open and silent: found by a ping; once thawed, connected again; never two connections live."""
    async with keeper(tmp_path, far) as daemon:
        await daemon.logged("telegram_connected")
        seen, began = len(daemon.lines), time.monotonic()
        far.send(signal.SIGSTOP)
        lost = await daemon.logged("telegram_connection_lost", after=seen)
        assert time.monotonic() - began < NOTICED + MARGIN
        assert lost["reason"] == "ping_timeout"
        assert (await daemon.get("/readyz"))[0] == 503
        assert (await daemon.get("/livez"))[0] == 200
        assert await shows(daemon, "/metrics", "telegram_connected 0.0")
        seen = len(daemon.lines)
        far.send(signal.SIGCONT)
        await daemon.logged("telegram_connected", after=seen)
        assert (await daemon.get("/readyz"))[0] == 200
        counts = await far.counts()
        assert (counts["live"], counts["overlap"], counts["violations"]) == (1, 0, [])


async def test_a_killed_server_is_noticed_and_come_back_to(far: DataCentreProcess, tmp_path: Path) -> None:
    """Killed, its kernel closes the connection; restarted on its port with its keys, it is connected to again."""
    async with keeper(tmp_path, far) as daemon:
        await daemon.logged("telegram_connected")
        seen, began = len(daemon.lines), time.monotonic()
        await far.kill()
        lost = await daemon.logged("telegram_connection_lost", after=seen)
        assert time.monotonic() - began < MARGIN
        assert lost["reason"] in {"closed", "reset"}
        failed = await daemon.logged("telegram_connection_failed", after=seen)
        assert failed["reason"] == "unreachable"
        seen = len(daemon.lines)
        async with DataCentreProcess(port=far.port) as again:
            assert again.session == far.session
            await daemon.logged("telegram_connected", after=seen)
            counts = await again.counts()
            assert (counts["live"], counts["overlap"], counts["violations"]) == (1, 0, [])


@pytest.mark.parametrize(
    ("events", "frozen_first"),
    [
        pytest.param(["telegram_connecting"], True, id="connecting"),
        pytest.param(["telegram_connected"], False, id="connected"),
        pytest.param(["telegram_connected", "telegram_connection_lost"], False, id="lost"),
        pytest.param(["telegram_connection_failed"], True, id="waiting"),
    ],
)
async def test_sigterm_while_the_peer_is_frozen(
    far: DataCentreProcess, tmp_path: Path, events: list[str], *, frozen_first: bool
) -> None:
    """A peer that answers nothing does not keep the daemon: exit code 0, within the shutdown timeout."""
    if frozen_first:
        far.send(signal.SIGSTOP)
    async with keeper(tmp_path, far) as daemon:
        for event in events:
            await daemon.logged(event)
            if event == "telegram_connected":
                far.send(signal.SIGSTOP)
        began = time.monotonic()
        daemon.send(signal.SIGTERM)
        assert await daemon.exit() == (0, "")
        assert time.monotonic() - began < 1 + 0.5 + 1 + MARGIN  # the link, the listener, the interpreter


# ----------------------------------------------------------------------------------------------- the daemon is frozen


async def test_a_thawed_daemon_says_nothing_from_before_the_freeze(far: DataCentreProcess, tmp_path: Path) -> None:
    """Requests that waited in its sockets through the freeze are not told of a connection that nobody checked."""
    async with keeper(tmp_path, far) as daemon:
        await daemon.logged("telegram_connected")
        assert await shows(daemon, "/metrics", "telegram_connected 1.0")
        host, port = (await daemon.logged("service_starting"))["ops"].removeprefix("http://").split(":")
        paths = ("/metrics", "/readyz", "/livez", "/healthz")
        doors = [await asyncio.open_connection(host, int(port)) for _ in paths]
        for reader, writer in doors:  # known to the daemon, so that the answer comes in its first moment
            writer.write(b"GET /startupz HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"}\n")
        seen = len(daemon.lines)
        daemon.send(signal.SIGSTOP)
        for (_, writer), path in zip(doors, paths, strict=True):
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        await asyncio.sleep(NOTICED + SLACK_SECONDS + 0.5)  # the freeze itself
        daemon.send(signal.SIGCONT)
        async with asyncio.timeout(5):
            metrics, ready, live, health = [await reader.read() for reader, _ in doors]
        for _, writer in doors:
            writer.close()

        assert b"\ntelegram_connected 0.0\n" in metrics
        report = json.loads(health.partition(b"\r\n\r\n")[2])["checks"]["telegram"]
        answered_since = report["last_contact_age_seconds"] < MARGIN  # the later answers may come after the next pong
        assert answered_since or report["connected"] is False
        assert answered_since or ready.startswith(b"HTTP/1.1 503 ")
        assert live.startswith(b"HTTP/1.1 200 ") or b"The keeper is stuck" in live
        while (await daemon.get("/readyz"))[0] != 200:  # noqa: ASYNC110 - it is another process that we wait for
            await asyncio.sleep(0.05)
        contact = json.loads((await daemon.get("/healthz"))[1])["checks"]["telegram"]["last_contact_age_seconds"]
        assert contact < NOTICED + MARGIN
        assert "Traceback" not in "".join(daemon.lines[seen:])
        counts = await far.counts()
        assert (counts["live"], counts["overlap"], counts["violations"]) == (1, 0, [])


async def test_a_daemon_frozen_past_the_disconnect_delay(far: DataCentreProcess, tmp_path: Path) -> None:
    """The server has dropped the connection: the thawed daemon says so, and dials one other."""
    async with keeper(tmp_path, far) as daemon:
        await daemon.logged("telegram_connected")
        while await shows(daemon, "/metrics", "telegram_ping_latency_seconds_count 0.0"):  # noqa: ASYNC110 - the first ping arms it
            await asyncio.sleep(0.05)
        seen = len(daemon.lines)
        daemon.send(signal.SIGSTOP)
        async with asyncio.timeout(20):
            while (await far.counts())["live"]:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.2)
        daemon.send(signal.SIGCONT)
        await daemon.logged("telegram_connection_lost", after=seen)
        await daemon.logged("telegram_connected", after=seen)
        counts = await far.counts()
        assert (counts["live"], counts["overlap"], counts["accepted"]) == (1, 0, 2)


async def test_the_orphan_of_a_killed_daemon(far: DataCentreProcess, tmp_path: Path) -> None:
    """After kill -9 the kernel closes the connection, and the next daemon is alone on the session."""
    async with keeper(tmp_path, far) as daemon:
        await daemon.logged("telegram_connected")
        daemon.send(signal.SIGKILL)
        assert (await daemon.exit())[0] == -signal.SIGKILL
    async with keeper(tmp_path, far) as daemon:
        await daemon.logged("telegram_connected")
        counts = await far.counts()
        assert (counts["live"], counts["overlap"]) == (1, 0)


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
async def test_sigterm_right_after_the_start(far: DataCentreProcess, tmp_path: Path, delay: float) -> None:
    """At whatever instant of the start it comes, it means exit code 0; before Python runs, death by the signal."""
    async with keeper(tmp_path, far) as daemon:
        await asyncio.sleep(delay)
        daemon.send(signal.SIGTERM)
        code, errors = await daemon.exit()
        assert errors == ""
        assert code == 0 or (code == -signal.SIGTERM and not daemon.lines and delay < 0.3)


# --------------------------------------------------------------------------------------- a connection that is half open

NEAR, FAR = "sidecar-near", "sidecar-far"
NEAR_IP, FAR_IP = "10.203.77.1", "10.203.77.2"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)  # noqa: S603, S607 - wherever the machine has it


@pytest.fixture
def cable() -> Iterator[None]:
    """Two network namespaces with a cable between them; skipped where the machine does not allow it."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces need root and the command `ip` (Debian package iproute2)")
    names = (f"{NEAR}-{os.getpid()}", f"{FAR}-{os.getpid()}")
    try:
        for name in names:
            _ip("netns", "add", name)
        _ip("link", "add", "veth0", "netns", names[0], "type", "veth", "peer", "name", "veth0", "netns", names[1])
        for name, address in zip(names, (NEAR_IP, FAR_IP), strict=True):
            _ip("-n", name, "address", "add", f"{address}/30", "dev", "veth0")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", "veth0", "up")
    except subprocess.CalledProcessError as error:
        for name in names:
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", name)
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    yield
    for name in names:
        _ip("netns", "delete", name)


def drop_everything(*, on: bool) -> None:
    """Drop every packet that leaves the far end, or none: a blackhole route there, and the near end hears nothing."""
    _ip("-n", f"{FAR}-{os.getpid()}", "route", "add" if on else "delete", "blackhole", f"{NEAR_IP}/32")


async def test_a_half_open_connection(cable: None, tmp_path: Path) -> None:
    """No packet comes and nobody says so: noticed within interval and deadline.

    Telegram does not hear that we give the connection up, and the way is open again at once; but the next connection
    comes only when it has dropped the old one, for two of them can cost the session.
    """
    inside = [("ip", "netns", "exec", f"{name}-{os.getpid()}") for name in (NEAR, FAR)]
    async with AsyncExitStack() as stack:
        far = await stack.enter_async_context(DataCentreProcess(host=FAR_IP, before=inside[1]))
        # The kernel takes half a second and more to send a packet again, which is how we know that packets are lost.
        deadline = 2.0
        daemon = keeper(tmp_path, far, SIDECAR_PING_TIMEOUT=str(deadline))
        daemon.before = inside[0]
        await stack.enter_async_context(daemon)
        await daemon.logged("telegram_connected")
        seen, began = len(daemon.lines), time.monotonic()
        drop_everything(on=True)
        lost = await daemon.logged("telegram_connection_lost", after=seen)
        assert time.monotonic() - began < INTERVAL + deadline + MARGIN
        assert lost["reason"] == "ping_timeout"
        assert lost["error"].endswith("nothing that we send is acknowledged: packets are lost on the way")
        drop_everything(on=False)
        await daemon.logged("telegram_connected", after=seen)
        assert time.monotonic() - began > SHORTEST_ORPHAN_SECONDS
        counts = await far.counts()
        assert (counts["accepted"], counts["overlap"], counts["violations"]) == (2, 0, [])
        daemon.send(signal.SIGTERM)
        assert await daemon.exit() == (0, "")
