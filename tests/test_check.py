"""`check`: every fault that it can find has its line, its exit code and what to do; nothing secret is shown."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sidecar.commands import checks
from sidecar.commands.check import EX_FAILURES, EX_WARNINGS, examine, exit_code
from sidecar.commands.checks import Status
from sidecar.session import SessionFacts
from sidecar.simulator import DataCentre
from sidecar.simulator.chats import Member
from sidecar.simulator.secret import MountedSecret
from tests.daemon import Daemon
from tests.proxies import USER, Microsocks, RealProxy, Tinyproxy
from tests.rig import API_HASH
from tests.test_probe import ROOT, run, somebody_else

Found = dict[str, tuple[str, str, str]]


class Patient:
    """A machine that `check` is run on: everything is well unless a test spoils it."""

    def __init__(self, dc: DataCentre, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.dc = dc
        self.session = dc.create_session()
        self.state = directory / "state"
        self.state.mkdir()
        self.environment = {
            "API_ID": "1",
            "API_HASH": API_HASH,
            "SESSION_STRING": self.session.string,
            "SIDECAR_STATE_DIR": str(self.state),
            "SIDECAR_PORT": str(free_port()),
            "SIDECAR_API_PORT": "0",
            "SIDECAR_CONNECT_TIMEOUT": "2.5",
        }

    async def check(self, *, force: bool = False, **environment: str) -> tuple[int, Found]:
        """Look at everything; return the exit code and the findings by name."""
        with self._monkeypatch.context() as patch:
            for name, value in (self.environment | environment).items():
                patch.setenv(name, value)
            found = [finding async for finding in examine({}, force=force)]
        told = str(found)
        assert self.session.string not in told
        assert API_HASH not in told
        assert all(finding.todo for finding in found if finding.status is not Status.OK)
        return exit_code(found), {one.name: (one.status, one.what, one.todo) for one in found}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture
async def patient(dc: DataCentre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Patient:
    """A machine on which all is well."""
    return Patient(dc, tmp_path, monkeypatch)


async def test_all_is_well(patient: Patient) -> None:
    """Every line is ok, the exit code is 0, and the account is named without its phone number."""
    code, found = await patient.check()
    assert {name: status for name, (status, _, _) in found.items()} == dict.fromkeys(
        [
            *["settings", "state directory", "ops port", "api port", "session", "address family", "network"],
            *["flood wait", "connection", "clock", "account"],
        ],
        "ok",
    )
    assert code == 0
    fingerprint = hashlib.sha256(patient.session.key.data).hexdigest()[:8]
    assert found["session"][1] == (f"data centre 2 at 127.0.0.1:{patient.dc.port} over IPv4, fingerprint {fingerprint}")
    assert found["account"][1].startswith("user 1000001 (@simulated_user), told in ")
    assert patient.session.account.phone
    assert patient.session.account.phone not in str(found)


async def test_the_lines_are_for_people(patient: Patient) -> None:
    """Without --json there is a line a finding, what to do below it, and a sum at the end."""
    environment = patient.environment | {"SIDECAR_STATE_DIR": ""}
    code, out, err = await run("check", **environment)

    assert (code, err) == (EX_WARNINGS, "")
    lines = out.splitlines()
    assert lines[0] == "ok       settings: all are valid"
    assert lines[1:3] == [
        "warning  state directory: SIDECAR_STATE_DIR is not set",
        "         → Set it: a restart forgets flood waits.",
    ]
    assert lines[-1] == "10 ok, 1 warning, 0 failed"


async def test_a_program_reads_json(patient: Patient) -> None:
    """With --json there is one line, and nothing of it is secret."""
    code, out, err = await run("check", "--json", **patient.environment)
    assert (code, err, out.count("\n")) == (0, "", 1)
    told = json.loads(out)
    assert told["ok"] is True
    assert told["findings"][0] == {"name": "settings", "status": "ok", "what": "all are valid", "todo": ""}
    assert patient.session.string not in out
    assert API_HASH not in out


async def test_bad_settings_end_it(patient: Patient) -> None:
    """Each fault of the settings is a finding; nothing else can be judged then."""
    code, found = await patient.check(SIDECAR_PING_INTERVAL="often")
    assert code == EX_FAILURES
    assert list(found) == ["settings"]
    assert found["settings"][1].startswith("SIDECAR_PING_INTERVAL: ")


async def test_missing_and_broken_credentials(patient: Patient) -> None:
    """What is missing or unusable is told by name."""
    code, found = await patient.check(SESSION_STRING="1abc")
    assert code == EX_FAILURES
    assert found["credentials"][:2] == (
        "failed",
        "SESSION_STRING has 4 characters; a Telethon StringSession has 353 (IPv4) or 369 (IPv6)",
    )
    assert "telethon-sidecar login" in found["credentials"][2]
    assert "connection" not in found


async def test_a_secrets_directory(patient: Patient, tmp_path: Path) -> None:
    """Files that everybody may read are a warning; a directory that is not there is a failure."""
    secret = MountedSecret(tmp_path / "secret")
    secret.swap(api_id="1", api_hash=API_HASH, session_string=patient.session.string)
    for name in ("API_ID", "API_HASH", "SESSION_STRING"):
        del patient.environment[name]
    code, found = await patient.check(SIDECAR_SECRETS_DIR=str(secret.directory))
    assert (code, found["secrets directory"][0]) == (0, "ok")

    (secret.directory / "api_hash").resolve().chmod(0o644)
    code, found = await patient.check(SIDECAR_SECRETS_DIR=str(secret.directory))
    assert (code, found["secrets directory"][0]) == (EX_WARNINGS, "warning")
    assert "api_hash" in found["secrets directory"][1]

    code, found = await patient.check(SIDECAR_SECRETS_DIR=str(tmp_path / "nowhere"))
    assert (code, found["secrets directory"][:2]) == (EX_FAILURES, ("failed", f"{tmp_path / 'nowhere'} is not there"))


async def test_a_state_directory_that_is_not_there(patient: Patient, tmp_path: Path) -> None:
    """It is found before the first flood wait is lost."""
    code, found = await patient.check(SIDECAR_STATE_DIR=str(tmp_path / "nowhere"))
    assert (code, found["state directory"][0]) == (EX_FAILURES, "failed")


async def test_a_port_in_use(patient: Patient) -> None:
    """By something that is no daemon of ours."""
    async with somebody_else() as port:
        code, found = await patient.check(SIDECAR_PORT=str(port))
    assert code == EX_FAILURES
    assert found["ops port"] == (
        "failed",
        f"127.0.0.1:{port} is in use",
        "Stop what listens there, or change SIDECAR_PORT.",
    )


async def test_a_session_of_a_family_that_is_not_there(patient: Patient) -> None:
    """The address family follows the session; one without a route is told, and how to get another."""
    # A link-local address without a scope has no route anywhere.
    finding = checks.address_family(SessionFacts(dc=2, host="fe80::1", port=443, fingerprint="0badcafe"))
    assert finding.status is Status.FAILED
    assert finding.what.startswith("no route over IPv6: ")
    assert finding.todo == "Give this machine IPv6, or log in again without --ipv6."


async def test_a_dead_data_centre(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's own does not answer, another one does; or neither does: egress is blocked."""
    await patient.dc.stop_listening()
    facts = SessionFacts(dc=2, host="127.0.0.1", port=patient.dc.port, fingerprint="0badcafe")
    async with DataCentre(host="127.0.0.2") as other:
        monkeypatch.setitem(checks.OTHERS, False, ((4, other.host, other.port),))
        dead = await checks.reach(facts)
    blocked = await checks.reach(facts)

    assert dead.what == "data centre 2 cannot be reached (connection refused), but data centre 4 can"
    assert blocked.what == ("neither data centre 2 (connection refused) nor 4 (connection refused) can be reached")
    assert blocked.todo.startswith("Egress is blocked")


async def test_a_refused_session(patient: Patient) -> None:
    """Its reason and remedy are those of the daemon."""
    patient.session.revoke("SESSION_REVOKED")
    code, found = await patient.check()
    assert code == EX_FAILURES
    assert found["account"][0] == "failed"
    assert found["account"][1].endswith("(SessionRevokedError) (revoked)")
    assert found["account"][2].startswith("Log in again")


async def test_silence(patient: Patient) -> None:
    """A data centre that accepts and never answers fails within the connect timeout."""
    patient.dc.levers.silent_accept = True
    code, found = await patient.check()
    assert code == EX_FAILURES
    assert found["network"][0] == "ok"
    assert found["connection"][1] == "no answer within 2.5 s"


@pytest.mark.parametrize(("skew", "status", "code"), [(10.4, "warning", EX_WARNINGS), (-100.0, "failed", EX_FAILURES)])
async def test_a_clock_that_is_wrong(patient: Patient, skew: float, status: str, code: int) -> None:
    """It still connects, and says by how much the clocks differ."""
    patient.dc.levers.clock_skew = skew
    ended, found = await patient.check()
    assert (ended, found["clock"][0]) == (code, status)
    assert ("ahead of" if skew > 0 else "behind") in found["clock"][1]


async def test_a_flood_wait_that_is_not_over(patient: Patient) -> None:
    """It does not connect into a wait that the daemon has written down, unless it is told to."""
    wall = time.time()
    fingerprint = (await patient.check())[1]["session"][1][-8:]
    held = {"version": 1, "holds": {fingerprint: {"asked": wall, "until": wall + 300, "reason": "flood_wait"}}}
    (patient.state / "held_back.json").write_text(json.dumps(held))
    before = patient.dc.accepted
    code, found = await patient.check()
    assert code == EX_WARNINGS
    assert found["flood wait"][0] == "warning"
    assert found["connection"][:2] == ("warning", f"not tried: {found['flood wait'][1]}")
    assert patient.dc.accepted == before + 1  # the TCP check, which says nothing

    assert (await patient.check(force=True))[1]["connection"][0] == "ok"


async def test_a_daemon_that_is_frozen(patient: Patient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It does not say which session it holds, so it may be this one: nothing is connected beside it."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    async with Daemon(tmp_path, **patient.environment) as daemon:
        await daemon.logged("telegram_connected")
        daemon.send(signal.SIGSTOP)
        before = patient.dc.requests["users.getUsers"]
        code, found = await patient.check()
        assert (code, found["daemon"][0], found["connection"][0]) == (EX_WARNINGS, "warning", "warning")
        assert "does not answer" in found["daemon"][1]
        assert patient.dc.requests["users.getUsers"] == before
        assert patient.session.worst_overlap == 0


async def test_a_flood_wait_that_it_meets_itself(patient: Patient) -> None:
    """It is written down, as the daemon would: the next check does not ask into it."""
    patient.dc.fail("users.getUsers", code=420, message="FLOOD_WAIT_300")
    assert (await patient.check())[0] == EX_FAILURES
    assert (await patient.check())[1]["flood wait"][0] == "warning"


async def test_a_daemon_that_holds_the_session(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A second connection with its session can kill it, so it is asked instead; another session is no reason."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    async with Daemon(tmp_path, **patient.environment) as daemon:
        await daemon.logged("telegram_connected")
        code, found = await patient.check()
        assert (code, found["connection"][0]) == (EX_WARNINGS, "warning")
        assert found["connection"][1].startswith(
            f"not tried: the daemon at 127.0.0.1:{patient.environment['SIDECAR_PORT']}"
        )
        assert found["daemon"][1].partition(": ")[2].startswith("Connected: Telegram answered ")
        assert patient.session.worst_overlap == 0
        other = patient.dc.create_session(username="other")
        code, found = await patient.check(SESSION_STRING=other.string)
        assert (code, found["connection"][0]) == (0, "ok")


@pytest.mark.parametrize(
    ("member", "group", "status", "what"),
    [
        pytest.param(Member(creator=True), {}, "ok", "'News': creator; may post", id="creator"),
        pytest.param(
            Member.editor(delete=False),
            {},
            "ok",
            "'News': administrator: post_messages, edit_messages; may post",
            id="admin",
        ),
        pytest.param(
            Member.editor(post=False, edit=False),
            {},
            "failed",
            "'News': administrator: delete_messages; may not post",
            id="admin-without-the-right",
        ),
        pytest.param(Member(), {}, "failed", "'News': member; may not post", id="reader"),
        pytest.param(Member(left=True), {}, "failed", "'News': not a member; may not post", id="left"),
        pytest.param(Member(), {"megagroup": True}, "ok", "'News': member; may post", id="group"),
        pytest.param(Member.muted(), {"megagroup": True}, "failed", "'News': member; may not post", id="muted"),
        pytest.param(
            Member(),
            {"megagroup": True, "nobody_writes": True},
            "failed",
            "'News': member; may not post",
            id="muted-group",
        ),
    ],
)
async def test_the_channel(patient: Patient, member: Member, group: dict[str, Any], status: str, what: str) -> None:
    """Whether the account may post is told with why."""
    members = {patient.session.account.user_id: member}
    patient.dc.chats.add_channel("news", title="News", members=members, **group)
    code, found = await patient.check(CHANNEL_URL="https://t.me/news")
    assert (code, *found["channel"][:2]) == (0 if status == "ok" else EX_FAILURES, status, what)


@pytest.mark.parametrize(
    ("name", "what"),
    [("@nobody", "@nobody cannot be found"), ("-1001234567890", "-1001234567890 cannot be found")],
)
async def test_no_channel(patient: Patient, name: str, what: str) -> None:
    """A name that nobody has, and an id that the account has never met."""
    code, found = await patient.check(CHANNEL_URL=name)
    assert (code, found["channel"][0]) == (EX_FAILURES, "failed")
    assert found["channel"][1].startswith(what)


@pytest.mark.parametrize("kind", [Microsocks, Tinyproxy])
async def test_a_proxy(patient: Patient, tmp_path: Path, kind: type[RealProxy]) -> None:
    """It is reached, and leads to Telegram; with another password it does not; ended, it cannot be reached."""
    async with kind(tmp_path, locked=True) as proxy:
        code, found = await patient.check(SIDECAR_PROXY=proxy.url)
        assert (code, found["proxy"][:2]) == (0, ("ok", f"the {proxy.scheme} proxy at {proxy.address} can be reached"))
        assert "network" not in found
        code, found = await patient.check(SIDECAR_PROXY=proxy.url_for(USER, "another"))
        assert (code, found["proxy"][0], found["connection"][0]) == (EX_FAILURES, "ok", "failed")
        assert found["connection"][1].endswith("(proxy_unauthorized)")
        assert "another" not in str(found)
    code, found = await patient.check(SIDECAR_PROXY=proxy.url)
    assert (code, found["proxy"][0]) == (EX_FAILURES, "failed")
    assert found["proxy"][1] == f"the {proxy.scheme} proxy at {proxy.address} cannot be reached (connection refused)"


async def test_a_proxy_that_hangs(patient: Patient, tmp_path: Path) -> None:
    """It accepts, and leads nowhere."""
    async with Microsocks(tmp_path, locked=False) as proxy:
        proxy.freeze()
        code, found = await patient.check(SIDECAR_PROXY=proxy.url)
    assert (code, found["proxy"][0], found["connection"][0]) == (EX_FAILURES, "ok", "failed")
