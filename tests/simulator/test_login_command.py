"""The command `login`, driven as a person would: in a terminal, against a data centre that can be logged in to."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pexpect
import pytest
import segno
from telethon import TelegramClient
from telethon.sessions import StringSession

from sidecar.session import read_session
from sidecar.simulator import DataCentre
from sidecar.simulator.login import LogIn
from tests.proxies import USER, Microsocks

ROOT = Path(__file__).parents[2]
API_HASH = "0123456789abcdef" * 2
slow = pytest.mark.slow

PATIENCE = 20
"""Seconds after which a test gives up on the next line."""

Dialogue = Callable[["pexpect.spawn[str]"], None]


class Done(NamedTuple):
    """How the command ended.

    Attributes:
        code: its exit code.
        screen: everything that the person saw.
        out: its standard output alone.
    """

    code: int
    screen: str
    out: str


class Desk(NamedTuple):
    """A machine with the command, and a Telegram to log in to."""

    login: LogIn
    directory: Path

    async def run(
        self, dialogue: Dialogue, *arguments: str, known: bool = True, out: Path | None = None, proxy: str = ""
    ) -> Done:
        """Run the command in a terminal; its standard output goes to a file, as `> session_string` would have it."""
        out, pem = out or self.directory / "out", self.directory / "telegram.pem"
        pem.write_text(self.login.pem)
        dc = self.login.dc
        words = [sys.executable, "-m", "tests.simulator.trust", dc.host, str(dc.port), str(pem), "login", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
        if proxy:
            environment["SIDECAR_PROXY"] = proxy
        if known:
            environment |= {"API_ID": "1", "API_HASH": API_HASH}

        def drive() -> tuple[int, str]:
            command = " ".join(f"'{word}'" for word in words)
            child = pexpect.spawn(
                "/bin/sh",
                ["-c", f"exec {command} > '{out}'"],
                env=environment,
                cwd=str(self.directory),
                encoding="utf-8",
                timeout=PATIENCE,
                echo=True,
            )
            seen: list[str] = []
            child.logfile_read = _Tape(seen)
            try:
                dialogue(child)
                child.expect(pexpect.EOF)
            finally:
                child.close(force=True)
            return child.exitstatus if child.exitstatus is not None else -(child.signalstatus or 0), "".join(seen)

        code, screen = await asyncio.to_thread(drive)
        return Done(code, screen, out.read_text() if out.is_file() else "")


class _Tape:
    """Keeps what the terminal shows."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def write(self, text: str) -> None:
        self._seen.append(text)

    def flush(self) -> None:
        """Nothing waits here."""


@pytest.fixture
def desk(login: LogIn, tmp_path: Path) -> Desk:
    """A machine with the command."""
    return Desk(login, tmp_path)


def answers(*pairs: tuple[str, str]) -> Dialogue:
    """Answer each question, in order."""

    def dialogue(child: pexpect.spawn[str]) -> None:
        for question, answer in pairs:
            child.expect_exact(f"{question}: ")
            child.sendline(answer)

    return dialogue


async def works(dc: DataCentre, string: str) -> str:
    """Return whose session it is, by asking with it."""
    client = TelegramClient(StringSession(string), 1, API_HASH, connection_retries=0, auto_reconnect=False)
    await client.connect()
    try:
        me = await client.get_me()
        return str(me.username)
    finally:
        await client.disconnect()


PHONE, CODE, PASSWORD = "Phone number, with country code", "Code", "Password"
TOKEN = "Token of the bot, from @BotFather"


@slow
async def test_by_phone(desk: Desk, dc: DataCentre) -> None:
    """The session string alone is on standard output, and it works; who it is stands on the screen."""
    done = await desk.run(answers((PHONE, "+1 555 0101"), (CODE, "24680")))

    assert done.code == 0
    assert done.out.count("\n") == 1
    assert read_session(done.out.strip()).dc == 2
    assert "Logged in as user @plain (id 11), data centre 2." in done.screen
    assert done.out.strip() not in done.screen
    assert await works(dc, done.out.strip()) == "plain"


@slow
async def test_the_api_credentials_are_asked_for(desk: Desk) -> None:
    """If nothing has them; the hash is not shown as it is typed."""
    done = await desk.run(
        answers(("API_ID", "1"), ("API_HASH", API_HASH), (PHONE, "15550101"), (CODE, "24680")), known=False
    )
    assert done.code == 0
    assert API_HASH not in done.screen


async def test_by_phone_and_password(desk: Desk, dc: DataCentre) -> None:
    """The password is hidden; a wrong one may be mended."""
    done = await desk.run(
        answers((PHONE, "15550102"), (CODE, "13579"), (PASSWORD, "wrong horse"), (PASSWORD, "correct horse"))
    )
    assert done.code == 0
    assert "That password is wrong; 2 tries are left." in done.screen
    assert "horse" not in done.screen
    assert await works(dc, done.out.strip()) == "careful"


@slow
async def test_a_wrong_code_may_be_mended(desk: Desk) -> None:
    """The line says how many tries are left."""
    done = await desk.run(answers((PHONE, "15550101"), (CODE, "11111"), (CODE, ""), (CODE, "24680")))
    assert done.code == 0
    assert "That code is wrong; 2 tries are left." in done.screen
    assert "That code is wrong; one try is left." in done.screen


@slow
@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        pytest.param(
            [(PHONE, "15550101"), (CODE, "1"), (CODE, "2"), (CODE, "3")], "Three codes were not right.", id="codes"
        ),
        pytest.param(
            [(PHONE, "15550102"), (CODE, "13579"), (PASSWORD, "a"), (PASSWORD, "b"), (PASSWORD, "c")],
            "Three passwords were not right.",
            id="passwords",
        ),
        pytest.param([(PHONE, "15559999")], "Telegram does not know this phone number", id="unknown-number"),
        pytest.param([(PHONE, "15550103")], "This phone number is banned", id="banned-number"),
        pytest.param([(PHONE, "hello")], "That is no phone number", id="no-number"),
        pytest.param([(PHONE, "\x04")], "The input ended", id="end-of-input"),
    ],
)
async def test_what_fails_leaves_nothing_logged_in(desk: Desk, pairs: list[tuple[str, str]], told: str) -> None:
    """A clear line, exit code 1, no session string, and no session at Telegram's."""
    done = await desk.run(answers(*pairs))
    assert (done.code, done.out) == (1, "")
    assert told in done.screen
    assert "Traceback" not in done.screen
    assert desk.login.logged_in == []


async def test_a_flood_wait(desk: Desk, dc: DataCentre) -> None:
    """It is not slept through in silence: the person is told how long."""
    dc.fail("auth.sendCode", code=420, message="FLOOD_WAIT_300")
    done = await desk.run(answers((PHONE, "15550101")))
    assert (done.code, done.out) == (1, "")
    assert "Telegram asks to hold back for 300 s" in done.screen


@slow
async def test_nobody_there(desk: Desk, dc: DataCentre) -> None:
    """An address that does not answer is named."""
    await dc.stop_listening()
    done = await desk.run(answers())
    assert (done.code, done.out) == (1, "")
    assert f"Telegram cannot be reached at data centre 2 ({dc.host}:{dc.port})" in done.screen


async def test_by_bot_token(desk: Desk, dc: DataCentre) -> None:
    """The token is hidden; a wrong one may be mended."""
    done = await desk.run(answers((TOKEN, "22:old"), (TOKEN, "21:good")), "--bot")
    assert done.code == 0
    assert "Telegram does not know that token; 2 tries are left." in done.screen
    assert "21:good" not in done.screen
    assert await works(dc, done.out.strip()) == "good_bot"


async def shown_code(desk: Desk, nth: int) -> str:
    """Return the link in the n-th QR code that Telegram hands out, once it has."""
    async with asyncio.timeout(PATIENCE):
        while len(desk.login.tokens._tokens) < nth:  # noqa: ASYNC110 - another process makes it come
            await asyncio.sleep(0.05)
    token = list(desk.login.tokens._tokens)[nth - 1]
    return f"tg://login?token={base64.urlsafe_b64encode(token).decode().rstrip('=')}"


def drawn(link: str) -> list[str]:
    """Draw a QR code, to compare with what stands on the screen."""
    picture = io.StringIO()
    segno.make(link, micro=False).terminal(out=picture, compact=True, border=2)
    return picture.getvalue().splitlines()


@slow
async def test_by_qr_code(desk: Desk, dc: DataCentre) -> None:
    """The code on the screen is the one that Telegram gave; once it is scanned, the session is made."""

    async def scan() -> str:
        link = await shown_code(desk, 1)
        desk.login.scan(link, "15550101")
        return link

    scanning = asyncio.create_task(scan())
    done = await desk.run(answers(), "--qr")
    link = await scanning

    assert done.code == 0
    assert set(drawn(link)) <= set(done.screen.replace("\r", "").splitlines())
    assert await works(dc, done.out.strip()) == "plain"


async def test_a_qr_code_that_expires(desk: Desk, dc: DataCentre) -> None:
    """Another one is drawn, and that one works, with a password after it."""
    desk.login.tokens._seconds = 3

    async def scan() -> None:
        link = await shown_code(desk, 2)
        desk.login.scan(link, "15550102")

    scanning = asyncio.create_task(scan())
    done = await desk.run(answers((PASSWORD, "correct horse")), "--qr")
    await scanning

    assert done.code == 0
    assert "That code has expired; scan this one." in done.screen
    assert await works(dc, done.out.strip()) == "careful"


async def test_into_a_file(desk: Desk, dc: DataCentre) -> None:
    """The file is new, and readable by its owner alone."""
    file = desk.directory / "session_string"
    done = await desk.run(answers((PHONE, "15550101"), (CODE, "24680")), "--out", str(file))

    assert (done.code, done.out) == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert await works(dc, file.read_text().strip()) == "plain"


@slow
async def test_a_file_that_is_there_stays(desk: Desk) -> None:
    """It may be the session in use. Nobody is asked anything before that is known."""
    file = desk.directory / "session_string"
    file.write_text("precious")
    done = await desk.run(answers(), "--out", str(file))

    assert (done.code, done.out) == (78, "")
    assert f"--out: cannot write {file}: File exists; nothing is logged in" in done.screen
    assert file.read_text() == "precious"
    assert desk.login.dc.accepted == 0


@slow
async def test_a_failed_log_in_leaves_no_file(desk: Desk) -> None:
    """Neither an empty one nor half of one."""
    file = desk.directory / "session_string"
    assert (await desk.run(answers((PHONE, "15559999")), "--out", str(file))).code == 1
    assert not file.exists()


async def test_as_a_secret(desk: Desk, dc: DataCentre) -> None:
    """A manifest with the three files that the daemon reads."""
    done = await desk.run(answers((PHONE, "15550101"), (CODE, "24680")), "--secret", "my-app-telegram")

    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[:5] == ["apiVersion: v1", "kind: Secret", "metadata:", "  name: my-app-telegram", "stringData:"]
    data = {name: json.loads(value) for name, value in (line.strip().split(": ", 1) for line in lines[5:])}
    assert data.keys() == {"api_id", "api_hash", "session_string"}
    assert (data["api_id"], data["api_hash"]) == ("1", API_HASH)
    assert await works(dc, data["session_string"]) == "plain"


@slow
async def test_a_name_that_kubernetes_does_not_take(desk: Desk) -> None:
    """It is told before anything is asked."""
    done = await desk.run(answers(), "--secret", "My App")
    assert (done.code, done.out) == (64, "")
    assert "--secret: not a name of a Secret" in done.screen


@pytest.mark.parametrize(
    "before",
    [
        pytest.param([], id="at-the-number"),
        pytest.param([(PHONE, "15550101")], id="at-the-code"),
        pytest.param([(PHONE, "15550102"), (CODE, "13579")], id="at-the-password"),
    ],
)
async def test_ctrl_c(desk: Desk, before: list[tuple[str, str]]) -> None:
    """It ends at once, says that nothing is left, and nothing is; the terminal shows again what is typed."""
    last = [PHONE, CODE, PASSWORD][len(before)]

    def dialogue(child: pexpect.spawn[str]) -> None:
        answers(*before)(child)
        child.expect_exact(f"{last}: ")
        child.sendintr()

    done = await desk.run(dialogue)
    assert (done.code, done.out) == (130, "")
    assert "broken off; nothing is left logged in." in done.screen
    assert "Traceback" not in done.screen
    assert desk.login.logged_in == []


async def test_an_output_that_is_full(desk: Desk) -> None:
    """A session that cannot be written down is logged out again."""
    done = await desk.run(answers((PHONE, "15550101"), (CODE, "24680")), out=Path("/dev/full"))
    assert done.code == 1
    assert "The session cannot be written: No space left on device." in done.screen
    assert desk.login.logged_in == []


@slow
async def test_through_a_proxy(desk: Desk, dc: DataCentre) -> None:
    """Who needs a proxy needs it to log in, too; one that does not let us through is named."""
    async with Microsocks(desk.directory, locked=True) as proxy:
        done = await desk.run(answers((PHONE, "15550101"), (CODE, "24680")), proxy=proxy.url)
        assert done.code == 0
        assert await works(dc, done.out.strip()) == "plain"
        done = await desk.run(answers(), proxy=proxy.url_for(USER, "another"))
        assert (done.code, done.out) == (1, "")
        assert f"the proxy {proxy.address} does not accept user and password" in done.screen


@slow
async def test_a_scan_that_was_not_heard_of(desk: Desk, dc: DataCentre) -> None:
    """The update can be lost, or come too early: when the code has expired, Telegram is asked again, and says so."""

    async def scan() -> None:
        link = await shown_code(desk, 1)
        desk.login.scanned[desk.login.tokens.accept(link)] = desk.login.people["15550101"]

    scanning = asyncio.create_task(scan())
    done = await desk.run(answers(), "--qr")
    await scanning
    assert done.code == 0
    assert await works(dc, done.out.strip()) == "plain"


@slow
async def test_a_log_out_that_fails_is_told(desk: Desk, dc: DataCentre) -> None:
    """Nothing is claimed that is not known."""
    dc.fail("auth.logOut", code=420, message="FLOOD_WAIT_30")
    done = await desk.run(answers((PHONE, "15550101"), (CODE, "24680")), out=Path("/dev/full"))
    assert done.code == 1
    assert "The session cannot be written: No space left on device. It may still be logged in" in done.screen


async def piped(desk: Desk, shell: str, *arguments: str) -> tuple[int, str, str]:
    """Run the command in a shell, without a terminal; `{login}` stands for it."""
    pem = desk.directory / "telegram.pem"
    pem.write_text(desk.login.pem)
    dc = desk.login.dc
    words = [sys.executable, "-m", "tests.simulator.trust", dc.host, str(dc.port), str(pem), "login", *arguments]
    process = await asyncio.create_subprocess_shell(
        shell.replace("{login}", " ".join(words)),
        env={**os.environ, "PYTHONPATH": str(ROOT), "API_ID": "1", "API_HASH": API_HASH},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@slow
async def test_answers_by_a_pipe(desk: Desk, dc: DataCentre) -> None:
    """Several lines may come at once, and the pipe may stay open."""
    code, out, err = await piped(desk, "(printf '15550101\\n24680\\n'; sleep 6) | {login}")
    assert code == 0, err
    assert await works(dc, out.strip()) == "plain"


@slow
@pytest.mark.parametrize("closed", ["<&-", ">&-"])
async def test_without_standard_streams(desk: Desk, closed: str) -> None:
    """Whoever could not get the session is told before one is made."""
    code, out, err = await piped(desk, f"{{login}} {closed}")
    assert (code, out) == (64, "")
    assert "login needs standard input, output and error" in err
    assert desk.login.dc.accepted == 0


@slow
async def test_an_empty_name_of_a_secret(desk: Desk) -> None:
    """What an unset variable of a shell leaves is no name, and not the same as no flag."""
    code, out, err = await piped(desk, "{login} --secret ''")
    assert (code, out) == (64, "")
    assert "--secret: not a name of a Secret" in err
