"""What systemd is told, by a real keeper through a real socket, and the unit that asks for it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sidecar.advice import REMEDIES
from sidecar.commands.console import EX_CONFIG, EX_USAGE
from sidecar.health import SLACK_SECONDS
from sidecar.http.server import SHUTDOWN_SECONDS
from sidecar.link import CUT_SECONDS, Reason
from sidecar.log import logger
from sidecar.manager import SHORTEST_ORPHAN_SECONDS
from sidecar.notify import STATUS_CHARACTERS, Notifier
from sidecar.race import background
from sidecar.settings import (
    CREDENTIAL_NAMES,
    ServiceManager,
    Settings,
    SettingsError,
    environment_name,
    load_service_manager,
)
from sidecar.simulator import DataCentre
from sidecar.state import State
from sidecar.vigil import Vigil
from tests.daemon import Daemon
from tests.rig import API_HASH, Rig

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "deploy" / "systemd" / "telethon-sidecar.service"

CONNECTING = "STATUS=Connecting, attempt 1."
CONNECTED = "STATUS=Connected: Telegram answered 0.0 s ago."
STOPPING = "STOPPING=1\nSTATUS=Stopping: the process was asked to end."
WATCHDOG = "WATCHDOG=1"


class Systemd(asyncio.DatagramProtocol):
    """A socket that listens where systemd would; `got` has every datagram and the loop time of its coming."""

    def __init__(self) -> None:
        self.got: list[tuple[float, str]] = []
        self._came = asyncio.Event()

    def datagram_received(self, data: bytes, _: object) -> None:
        """Take one down."""
        self.got.append((round(asyncio.get_running_loop().time(), 3), data.decode()))
        self._came.set()

    async def until(self, text: str) -> None:
        """Wait for a datagram with a text in it."""
        while not any(text in line for _, line in self.got):
            self._came.clear()
            await self._came.wait()


@asynccontextmanager
async def listening(address: str) -> AsyncIterator[Systemd]:
    """Listen for the time of the block."""
    with _bound(address) as receiver:
        transport, systemd = await asyncio.get_running_loop().create_datagram_endpoint(Systemd, sock=receiver)
        yield systemd
        transport.close()
        await asyncio.sleep(0)


@contextmanager
def _bound(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + address[1:] if address.startswith("@") else address)
        yield receiver


@pytest.fixture
def address(tmp_path: Path) -> str:
    """Where systemd listens."""
    return str(tmp_path / "notify")


def started(rig: Rig, address: str, **settings: Any) -> Notifier:
    """Start a keeper under a notifier that sends to an address."""
    notifier = Notifier(address, logger())
    rig.start(observers=[notifier], **settings)
    return notifier


async def stopped(rig: Rig) -> None:
    """Stop the keeper, and let arrive what it sent."""
    await rig.stop()
    await asyncio.sleep(0.001)


def warnings(caplog: pytest.LogCaptureFixture) -> list[dict[str, str]]:
    """Return what was logged of notifications that were not sent."""
    events = [record.msg for record in caplog.records if record.name == "sidecar" and isinstance(record.msg, dict)]
    return [event for event in events if event["event"] == "notification_not_sent"]


# ---------------------------------------------------------------------------------------------------- what is told


@pytest.mark.looptime
async def test_from_the_start_to_the_stop(rig: Rig, address: str) -> None:
    """READY comes once, with the first outcome; STATUS follows every change, and a quiet hour sends nothing."""
    async with listening(address) as systemd:
        started(rig, address)
        await asyncio.sleep(3601)
        rig.dc.close_all()
        await asyncio.sleep(1)
        rig.session.revoke()
        await asyncio.sleep(3600)
        await stopped(rig)

    lost, revoked = "Telegram closed the connection", "the session was ended by its owner (SessionRevokedError)"
    assert systemd.got == [
        (0, CONNECTING),
        (0, f"READY=1\n{CONNECTED}"),
        (3601, f"STATUS=Not connected: {lost}. Next attempt in 1 s. Nothing to do: it is dialled again."),
        (3601.05, f"STATUS=Connecting, attempt 1, after: {lost}. Nothing to do: it is dialled again."),
        (3601.05, CONNECTED),
        (3661.05, f"STATUS=Telegram refused: {revoked}. {REMEDIES[Reason.REVOKED]}"),
        (7202, STOPPING),
    ]


@pytest.mark.looptime
async def test_a_failed_first_attempt_is_an_outcome(rig: Rig, address: str) -> None:
    """During an outage the unit comes up all the same, at the attempt's deadline, and is never ready a second time."""
    rig.dc.levers.black_hole = True
    async with listening(address) as systemd:
        started(rig, address)
        await rig.until(State.WAITING)
        rig.dc.levers.black_hole = False
        await rig.until(State.CONNECTED)
        await stopped(rig)

    assert [(at, text.partition(":")[0]) for at, text in systemd.got if "READY=1" in text] == [
        (15, "READY=1\nSTATUS=Not connected")
    ]
    assert systemd.got[-2][1] == CONNECTED


@pytest.mark.looptime
async def test_missing_credentials_are_an_outcome(rig: Rig, address: str) -> None:
    """There is nothing to wait for: the unit is up, and its status says what is missing."""
    rig.mount(api_hash="too short", session_string="")
    async with listening(address) as systemd:
        started(rig, address, from_files=True)
        await rig.until(State.UNCONFIGURED)
        await stopped(rig)

    at, told = systemd.got[0]
    assert at == 0
    assert told.startswith("READY=1\nSTATUS=Not configured: API_HASH in ")


@pytest.mark.looptime
async def test_a_stop_before_the_first_outcome(rig: Rig, address: str) -> None:
    """What was never up says only that it stops."""
    rig.dc.levers.black_hole = True
    async with listening(address) as systemd:
        started(rig, address)
        await asyncio.sleep(1)
        await stopped(rig)

    assert systemd.got == [(0, CONNECTING), (1, STOPPING)]


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param("a\nMAINPID=1", "a MAINPID=1", id="a line break"),
        pytest.param("a\N{LINE SEPARATOR}b\x1b[0m", "a b [0m", id="control characters"),
        pytest.param("a\udcff", "a ", id="not UTF-8"),
    ],
)
async def test_a_status_is_one_line(rig: Rig, address: str, name: str, shown: str) -> None:
    """A path may hold anything; no part of it becomes a notification of its own, or makes systemd drop the datagram."""
    rig.secrets = Path("/nowhere", name)
    async with listening(address) as systemd:
        started(rig, address, from_files=True)
        await rig.until(State.UNCONFIGURED)
        await stopped(rig)

    ready, status = systemd.got[0][1].split("\n")
    assert ready == "READY=1"
    assert f"names /nowhere/{shown}, which is not a directory" in status


@pytest.mark.looptime
async def test_a_status_fits_into_what_systemd_reads(rig: Rig, address: str) -> None:
    """Systemd drops a datagram of more than 4096 bytes, and with it the READY."""
    rig.secrets = Path("/", *["\N{GRINNING FACE}" * 60] * 16)
    async with listening(address) as systemd:
        started(rig, address, from_files=True)
        await rig.until(State.UNCONFIGURED)
        await stopped(rig)

    told = systemd.got[0][1]
    assert len(told) == len("READY=1\nSTATUS=") + STATUS_CHARACTERS
    assert len(told.encode()) < 4096


# ------------------------------------------------------------------------------------------------- signs of life


def beats(systemd: Systemd) -> list[float]:
    """Return when signs of life came."""
    return [at for at, text in systemd.got if text == WATCHDOG]


@pytest.mark.looptime
async def test_a_sign_of_life_at_half_the_time(rig: Rig, address: str) -> None:
    """Twice in the time that systemd allows, from the start to the end, also while Telegram is away or refuses."""
    async with listening(address) as systemd:
        notifier = started(rig, address)
        async with background(notifier.keep_alive(rig.manager.journal, 30)):
            await asyncio.sleep(61)
            await rig.dc.stop_listening()
            rig.dc.close_all()
            await asyncio.sleep(600)
            await rig.dc.start_listening()
            rig.session.revoke()
            await rig.until(State.REFUSED)
            assert rig.now == 661.8
            await asyncio.sleep(600)

    assert beats(systemd) == [15.0 * n for n in range(85)]


@pytest.mark.looptime
async def test_no_sign_of_life_from_a_stuck_keeper(rig: Rig, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vigil that waits for ever is a defect of ours: systemd hears nothing more, but why, until it goes on."""
    mended, keep = asyncio.Event(), Vigil.keep

    async def stuck(vigil: Vigil) -> Exception:
        await mended.wait()
        return await keep(vigil)

    monkeypatch.setattr(Vigil, "keep", stuck)
    async with listening(address) as systemd:
        notifier = started(rig, address)
        async with background(notifier.keep_alive(rig.manager.journal, 10)):
            await asyncio.sleep(17.5)
            mended.set()
            await asyncio.sleep(11)

    where = "STATUS=The keeper is stuck: in state connected"
    assert [item for item in systemd.got if item[0] > 0] == [
        (5, WATCHDOG),
        (10, WATCHDOG),
        (15, f"{where}, 9 s past its next step."),
        (16, f"{where}, 10 s past its next step."),
        (17, f"{where}, 11 s past its next step."),
        (17.5, CONNECTED),
        (18, WATCHDOG),
        (23, WATCHDOG),
        (28, WATCHDOG),
    ]
    assert rig.late == ["PingAnswered at 17.5, due at 6.0"]
    rig.late.clear()


# --------------------------------------------------------------------------------------------------- the socket


@pytest.mark.looptime
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract sockets")
async def test_an_abstract_socket(rig: Rig) -> None:
    """An address that begins with @ names a socket that is no file."""
    address = f"@telethon-sidecar-test-{os.getpid()}"
    async with listening(address) as systemd:
        started(rig, address)
        await rig.until(State.CONNECTED)
        await stopped(rig)

    assert systemd.got == [(0, CONNECTING), (0, f"READY=1\n{CONNECTED}"), (0, STOPPING)]


@pytest.mark.looptime
async def test_a_socket_that_is_gone(rig: Rig, address: str, caplog: pytest.LogCaptureFixture) -> None:
    """The connection does not care; it is logged once, and told anew to a socket that is there again."""
    notifier = started(rig, address)
    async with background(notifier.keep_alive(rig.manager.journal, 30)):
        await asyncio.sleep(3601.5)
        async with listening(address) as systemd:
            await asyncio.sleep(5)
    await rig.stop()

    assert systemd.got == [(3602, WATCHDOG), (3603, f"READY=1\n{CONNECTED}")]
    assert [(event["socket"], event["error"]) for event in warnings(caplog)] == [(address, "No such file or directory")]
    assert rig.dc.accepted == 1


@pytest.mark.looptime
async def test_a_socket_that_is_full(rig: Rig, address: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing waits for room: READY comes with the next event after there is some."""
    with _bound(address) as receiver:
        receiver.setblocking(False)
        sent = _fill(address)
        started(rig, address)
        await asyncio.sleep(1)
        assert rig.snapshot.state is State.CONNECTED
        assert [receiver.recv(9) for _ in range(sent)] == [b"X_FULL=1"] * sent
        await asyncio.sleep(1.5)
        with pytest.raises(BlockingIOError):
            receiver.recv(1)
        await asyncio.sleep(1)
        assert receiver.recv(999).decode() == f"READY=1\n{CONNECTED}"

    assert [event["error"] for event in warnings(caplog)] == ["Resource temporarily unavailable"]


def _fill(address: str) -> int:
    """Send until the socket takes no more, and return how many datagrams it took."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        for sent in range(1_000_000):
            try:
                sender.sendto(b"X_FULL=1", address)
            except BlockingIOError:
                return sent
    raise AssertionError("there is always room")


# ---------------------------------------------------------------------------------------------- the environment


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "30000000"}, None),
        ({"NOTIFY_SOCKET": "/run/notify"}, ServiceManager("/run/notify", None)),
        ({"NOTIFY_SOCKET": "@notify", "WATCHDOG_USEC": ""}, ServiceManager("@notify", None)),
        ({"NOTIFY_SOCKET": "@notify", "WATCHDOG_USEC": "1500000"}, ServiceManager("@notify", 1.5)),
        (
            {"NOTIFY_SOCKET": "@notify", "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())},
            ServiceManager("@notify", 1.5),
        ),
        (
            {"NOTIFY_SOCKET": "@notify", "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid() + 1)},
            ServiceManager("@notify", None),
        ),
    ],
)
def test_what_systemd_sets(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: ServiceManager | None
) -> None:
    """Without a socket there is nobody to tell; a watchdog over another process is not for us."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert load_service_manager() == expected


@pytest.mark.parametrize("usec", ["0", "-1", "30s", "1.5", "9" * 21])
def test_what_systemd_never_sets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], usec: str
) -> None:
    """A value that nobody can have meant stops the start: half a watchdog is worse than none."""
    monkeypatch.setenv("NOTIFY_SOCKET", "vsock:2:1")
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    with pytest.raises(SettingsError) as caught:
        load_service_manager()

    assert caught.value.faults == (
        "NOTIFY_SOCKET: vsock:2:1, not a Unix socket; accepted: an absolute path, or @ and a name",
        f"WATCHDOG_USEC: {usec}, not a time; accepted: microseconds, a whole number above 0",
    )


# --------------------------------------------------------------------------------------------- the whole daemon


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the daemon run from any directory, also from a checkout that is not installed."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COVERAGE_PROCESS_START", str(ROOT / "pyproject.toml"))


async def test_the_daemon_notifies(dc: DataCentre, tmp_path: Path, address: str, importable: None) -> None:
    """As systemd would start it: READY, signs of life, STOPPING, exit code 0."""
    credentials = {"API_ID": "1", "API_HASH": API_HASH, "SESSION_STRING": dc.create_session().string}
    async with (
        listening(address) as systemd,
        Daemon(tmp_path, NOTIFY_SOCKET=address, WATCHDOG_USEC="500000", **credentials) as daemon,
    ):
        await daemon.logged("telegram_connected")
        await systemd.until("READY=1")
        systemd.got.clear()
        await systemd.until(WATCHDOG)
        daemon.send(signal.SIGTERM)
        assert await daemon.exit() == (0, "")
        await systemd.until("STOPPING=1")

    # On a busy machine its status may have changed once more before.
    assert [text for _, text in systemd.got if "STOPPING" in text] == [STOPPING]


async def test_a_bad_variable_has_the_exit_code_of_a_bad_setting(tmp_path: Path, importable: None) -> None:
    """78, and a line that says what is accepted."""
    async with Daemon(tmp_path, NOTIFY_SOCKET="notify") as daemon:
        assert await daemon.exit() == (
            EX_CONFIG,
            "NOTIFY_SOCKET: notify, not a Unix socket; accepted: an absolute path, or @ and a name\n",
        )


async def test_the_demo_notifies_nobody(tmp_path: Path, address: str, importable: None) -> None:
    """A demo that was started inside a unit does not pass for it."""
    async with listening(address) as systemd, Daemon(tmp_path, "demo", "--port", "0", NOTIFY_SOCKET=address) as daemon:
        await daemon.shown("telegram_startup_complete")
        daemon.send(signal.SIGTERM)
        assert await daemon.exit() == (0, "")

    assert systemd.got == []


# ------------------------------------------------------------------------------------------------------ the unit


def _unit() -> dict[str, list[str]]:
    """Return the unit's assignments: name → values, in their order."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def test_the_unit_agrees_with_the_program() -> None:
    """Its exit codes, credentials and variables are ours, and its times leave room for ours."""
    unit, defaults = _unit(), {name: info.default for name, info in Settings.model_fields.items()}
    (stop,), (start,), (again,), (watchdog,) = (
        map(float, unit[name]) for name in ("TimeoutStopSec", "TimeoutStartSec", "RestartSec", "WatchdogSec")
    )
    closing = defaults["shutdown_timeout"] + CUT_SECONDS
    known = {environment_name(name) for name in Settings.model_fields}
    variables = {assignment.partition("=")[0] for assignment in unit["Environment"]}

    assert unit["RestartPreventExitStatus"] == [f"{EX_CONFIG} {EX_USAGE}"]
    assert [credential.partition(":")[0].upper() for credential in unit["LoadCredential"]] == list(CREDENTIAL_NAMES)
    assert variables - known == {"PYTHONFAULTHANDLER"}
    assert stop > closing + SHUTDOWN_SECONDS
    assert start > defaults["connect_timeout"] + closing
    assert again > SHORTEST_ORPHAN_SECONDS
    assert watchdog / 2 > SLACK_SECONDS


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("systemd-analyze") or "systemd-analyze"
    return subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)  # noqa: S603 - our own words


def _systemd_version() -> int:
    return int(_analyze("--version").stdout.split()[1]) if shutil.which("systemd-analyze") else 0


@pytest.mark.skipif(_systemd_version() < 250, reason="systemd-analyze of systemd 250 or newer is not installed")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say about it; the program stands elsewhere here."""
    copy = tmp_path / UNIT.name
    (program,) = _unit()["ExecStart"]
    copy.write_text(UNIT.read_text(encoding="utf-8").replace(program, f"{sys.executable} -m sidecar run"))
    done = _analyze("verify", "--recursive-errors=no", str(copy))

    assert [line for line in done.stderr.splitlines() if UNIT.name in line] == []
    assert done.returncode == 0
