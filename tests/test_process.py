"""The daemon as a process: start, signals, exit codes, and what it lets out. In real time, hence few."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.signals import SAME_STOP_SECONDS
from sidecar.simulator.secret import MountedSecret
from sidecar.state import State
from tests.daemon import Daemon
from tests.rig import API_HASH

if TYPE_CHECKING:
    from sidecar.simulator import DataCentre, Session

ROOT = Path(__file__).parent.parent

PHONE = "15550123456"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the daemon run from any directory, also from a checkout that is not installed."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COVERAGE_PROCESS_START", str(ROOT / "pyproject.toml"))


def credentials(session: Session) -> dict[str, str]:
    """Return a session's credentials as environment."""
    return {"API_ID": "1", "API_HASH": API_HASH, "SESSION_STRING": session.string}


@pytest.mark.parametrize(
    ("state", "event"),
    [
        pytest.param(State.UNCONFIGURED, "telegram_unconfigured", id="unconfigured"),
        pytest.param(State.CONNECTING, "telegram_connecting", id="connecting"),
        pytest.param(State.CONNECTED, "telegram_connected", id="connected"),
        pytest.param(State.WAITING, "telegram_connection_failed", id="waiting"),
        pytest.param(State.REFUSED, "telegram_session_refused", id="refused"),
    ],
)
async def test_sigterm_ends_it_in_good_order_in_every_state(
    dc: DataCentre, tmp_path: Path, state: State, event: str
) -> None:
    """Whatever it is doing, SIGTERM means exit code 0, and nothing on standard error."""
    session = dc.create_session()
    environment = {} if state is State.UNCONFIGURED else credentials(session)
    match state:
        case State.CONNECTING:
            dc.levers.black_hole = True
        case State.WAITING:
            dc.levers.transport_error = 429
        case State.REFUSED:
            session.revoke()
        case _:
            pass
    async with Daemon(tmp_path, **environment) as daemon:
        await daemon.logged(event)
        _, body = await daemon.get("/healthz")
        assert json.loads(body)["checks"]["telegram"]["state"] == state
        assert (await daemon.get("/livez"))[0] == 200
        assert (await daemon.get("/readyz"))[0] == (200 if state is State.CONNECTED else 503)
        daemon.send(signal.SIGTERM)

        assert await daemon.exit() == (0, "")
        await daemon.logged("service_shutting_down")
    assert dc.live == 0


async def test_ctrl_c_is_as_good_as_sigterm(dc: DataCentre, tmp_path: Path) -> None:
    """SIGINT ends it in good order too."""
    async with Daemon(tmp_path, **credentials(dc.create_session())) as daemon:
        await daemon.logged("telegram_connected")
        daemon.send(signal.SIGINT)

        assert await daemon.exit() == (0, "")
        await daemon.logged("telegram_disconnected")


SLOW_TO_STOP = """
import asyncio
from sidecar.signals import stop_on_signals

async def main():
    stop = asyncio.Event()
    with stop_on_signals(stop):
        print("running", flush=True)
        await stop.wait()
        print("stopping", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_second_signal_ends_it_at_once() -> None:
    """Who asks twice does not want to wait for good order."""
    slow = await asyncio.create_subprocess_exec(sys.executable, "-c", SLOW_TO_STOP, stdout=asyncio.subprocess.PIPE)
    assert slow.stdout
    assert await slow.stdout.readline() == b"running\n"
    slow.send_signal(signal.SIGINT)
    assert await slow.stdout.readline() == b"stopping\n"
    await asyncio.sleep(SAME_STOP_SECONDS + 0.1)
    slow.send_signal(signal.SIGTERM)

    assert await slow.wait() == 128 + signal.SIGTERM


async def test_one_stop_told_twice_is_one(dc: DataCentre, tmp_path: Path) -> None:
    """A shell and a wrapper may both pass Ctrl-C on: two signals in one instant still mean good order."""
    async with Daemon(tmp_path, **credentials(dc.create_session())) as daemon:
        await daemon.logged("telegram_connected")
        daemon.send(signal.SIGSTOP)
        daemon.send(signal.SIGINT)
        daemon.send(signal.SIGTERM)
        daemon.send(signal.SIGCONT)

        assert await daemon.exit() == (0, "")
        await daemon.logged("telegram_disconnected")


async def test_health_is_served_though_telegram_is_not_there(dc: DataCentre, tmp_path: Path) -> None:
    """The listener is up before the first attempt, and stays up after it failed."""
    await dc.stop_listening()
    async with Daemon(tmp_path, **credentials(dc.create_session())) as daemon:
        await daemon.logged("telegram_startup_failed")

        assert (await daemon.get("/startupz"))[0] == 200
        assert (await daemon.get("/healthz"))[0] == 200
        status, metrics = await daemon.get("/metrics")
        assert status == 200
        assert "\ntelegram_connected 0.0\n" in metrics


async def test_sighup_reads_the_secret_files_at_once(dc: DataCentre, tmp_path: Path) -> None:
    """A person who swaps the session by hand need not wait for the next look."""
    secret = MountedSecret(tmp_path / "secret")
    secret.swap(api_id="1", api_hash=API_HASH, session_string=dc.create_session(username="first").string)
    async with Daemon(tmp_path, SIDECAR_SECRETS_DIR=str(secret.directory)) as daemon:
        await daemon.logged("telegram_connected")
        secret.swap(api_id="1", api_hash=API_HASH, session_string=dc.create_session(username="second").string)
        daemon.send(signal.SIGHUP)
        lost = await daemon.logged("telegram_connection_lost")
        await daemon.logged("credentials_changed")

        assert lost["reason"] == "credentials_changed"
        daemon.send(signal.SIGTERM)
        assert (await daemon.exit())[0] == 0


async def test_credentials_come_from_a_dotenv_file(dc: DataCentre, tmp_path: Path) -> None:
    """The simplest way to run it: a `.env` in the working directory."""
    lines = [f"{name}={value}\n" for name, value in credentials(dc.create_session()).items()]
    (tmp_path / ".env").write_text("".join(lines))
    async with Daemon(tmp_path, "run") as daemon:
        connected = await daemon.logged("telegram_connected")

        assert connected["dc"] == dc.dc_id


async def test_an_address_in_use_has_its_own_exit_code(tmp_path: Path) -> None:
    """69, and a line that names the address and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        async with Daemon(tmp_path, SIDECAR_PORT=str(port)) as daemon:
            code, errors = await daemon.exit()

    assert code == 69
    assert errors == (
        f"telethon-sidecar: cannot listen on 127.0.0.1:{port}: address already in use; "
        "choose another with --host and --port (SIDECAR_HOST, SIDECAR_PORT)\n"
    )


async def test_an_address_that_is_not_ours_is_bad_configuration(tmp_path: Path) -> None:
    """78: no restart makes the address ours."""
    async with Daemon(tmp_path, SIDECAR_HOST="192.0.2.1") as daemon:
        code, errors = await daemon.exit()

    assert code == 78
    assert errors.startswith("telethon-sidecar: cannot listen on 192.0.2.1:0: ")


async def test_no_secret_gets_out_at_any_level(dc: DataCentre, tmp_path: Path) -> None:
    """Session string, api_hash and phone appear in no log line and no answer, even at level debug and under faults."""
    session = dc.create_session(phone=PHONE)
    async with Daemon(tmp_path, SIDECAR_LOG_LEVEL="debug", **credentials(session)) as daemon:
        await daemon.logged("telegram_connected")
        dc.answer_raw("users.getUsers", bytes.fromhex("15c4b51c01000000deadbeef") + PHONE.encode(), times=1)
        dc.close_all()
        await daemon.logged("telegram_connection_lost")
        answers = [await daemon.get(path) for path in ("/", "/healthz", "/readyz", "/livez", "/startupz", "/metrics")]
        session.revoke()
        dc.close_all()
        await daemon.logged("telegram_session_refused")
        daemon.send(signal.SIGTERM)
        code, errors = await daemon.exit()

        everything = daemon.output + errors + "".join(body for _, body in answers)
    assert code == 0
    assert "InvokeWithoutUpdatesRequest" in everything  # Telethon's own debug lines are among them
    assert [secret for secret in (session.string, API_HASH, PHONE) if secret in everything] == []


async def test_the_password_of_a_proxy_does_not_get_out(dc: DataCentre, tmp_path: Path) -> None:
    """Not even when the proxy cannot be reached, and the log is at its most talkative."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    proxy = f"socks5://somebody:open-sesame@127.0.0.1:{port}"
    environment = credentials(dc.create_session()) | {"SIDECAR_PROXY": proxy, "SIDECAR_LOG_LEVEL": "debug"}
    async with Daemon(tmp_path, **environment) as daemon:
        failed = await daemon.logged("telegram_connection_failed")
        _, health = await daemon.get("/healthz")
        daemon.send(signal.SIGTERM)
        await daemon.exit()

        assert failed["reason"] == "proxy_unreachable"
        assert "open-sesame" not in daemon.output + health


async def test_the_demo_starts_and_ends_cleanly(tmp_path: Path) -> None:
    """It says where to look and what comes next, connects to its own simulator, and Ctrl-C ends it with code 0."""
    async with Daemon(tmp_path, "demo", "--port", "0") as daemon:
        await daemon.shown("telegram_startup_complete")
        daemon.send(signal.SIGINT)

        assert await daemon.exit() == (0, "")
        ops = re.search(r"ops=(http://127.0.0.1:\d+) ", daemon.output)
        assert ops
        assert f"{ops[1]}/healthz" in daemon.output
        assert "Ctrl-C ends it" in daemon.output
        assert "Next, in 60 s: a closed connection" in daemon.output
