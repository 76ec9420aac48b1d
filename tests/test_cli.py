"""The command line: arguments, what is printed where, and exit codes."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sidecar
from sidecar.cli import main
from sidecar.commands import probe
from sidecar.commands.serve import serve
from sidecar.settings import DEMO_FLAGS, Settings, has_flag

ROOT = Path(sidecar.__file__).parents[1]
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    """A command sets up the log and the signals of its process; put the test's own back."""
    root, theirs = logging.getLogger(), logging.getLogger("telethon")
    log = root.handlers[:], root.level, theirs.level
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = log[0]
    root.setLevel(log[1])
    theirs.setLevel(log[2])
    for number, handler in handlers.items():
        signal.signal(number, handler)


def leave(*arguments: str) -> int | str | None:
    """Run a command that leaves by itself, and return its exit code."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return left.value.code


# ------------------------------------------------------------------------------------------------- help and version


def test_version(capsys: Captured) -> None:
    """`--version` prints name and version, and nothing else."""
    assert leave("--version") == 0
    assert capsys.readouterr() == (f"telethon-sidecar {sidecar.__version__}\n", "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_commands_and_exit_codes(capsys: Captured, flag: str) -> None:
    """The help goes to standard output and says what there is, and what each exit code means."""
    assert leave(flag) == 0
    out, err = capsys.readouterr()
    text = " ".join(out.split())
    assert err == ""
    for words in ("run the daemon (also without a command)", "run the daemon against a simulated Telegram"):
        assert words in text
    for words in ("0 in good order", "64 wrong usage", "69 an address", "70 internal", "78 bad configuration"):
        assert words in text


@pytest.mark.parametrize(
    ("command", "fields"), [("run", [name for name in Settings.model_fields if has_flag(name)]), ("demo", DEMO_FLAGS)]
)
def test_each_command_has_its_flags(capsys: Captured, command: str, fields: list[str]) -> None:
    """`run` has a flag for every setting, `demo` for what a demo may be told; credentials and secrets have none."""
    assert leave(command, "--help") == 0
    offered = {word for word in capsys.readouterr().out.split() if word.startswith("--")}
    assert offered == {"--help", *(f"--{name.replace('_', '-')}" for name in fields)}
    assert not offered & {"--api-id", "--api-hash", "--session-string", "--api-token", "--proxy"}


def test_help_tells_default_and_environment(capsys: Captured) -> None:
    """Each flag's help ends with what is accepted, the default and the name in the environment."""
    leave("run", "--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "0 to 65535; 0 takes any free port. Default: 9877. Environment: SIDECAR_PORT." in text
    assert "give or take 10 %." in text


def test_help_of_the_demo_tells_its_own_defaults(capsys: Captured) -> None:
    """The demo reads no environment, so its help names none, and its defaults are its own."""
    leave("demo", "--help")
    text = " ".join(capsys.readouterr().out.split())
    assert (
        "json: one JSON object a line; console: lines for people. Accepted: json or console. Default: console." in text
    )
    assert "Accepted: 0 to 65535; 0 takes any free port. Default: 9877." in text
    assert "Environment:" not in text


# ---------------------------------------------------------------------------------------------------- wrong usage: 64


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["walk"], id="unknown-command"),
        pytest.param(["--nothing", "1"], id="unknown-flag"),
        pytest.param(["run", "--nothing", "1"], id="unknown-flag-of-run"),
        pytest.param(["run", "extra"], id="argument-too-many"),
        pytest.param(["run", "--port"], id="value-missing"),
        pytest.param(["run", "--api-hash", "x"], id="credential"),
        pytest.param(["run", "--proxy", "x"], id="secret"),
        pytest.param(["demo", "--ping-timeout", "1"], id="flag-of-run-alone"),
    ],
)
def test_wrong_usage(capsys: Captured, arguments: list[str]) -> None:
    """Wrong usage ends with 64, and says so on stderr alone."""
    assert leave(*arguments) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: telethon-sidecar")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["run", "--api-hash", "pl4nted"], id="value-after"),
        pytest.param(["run", "--session-string=pl4nted"], id="value-within"),
        pytest.param(["pl4nted"], id="command"),
        pytest.param(["run", "pl4nted"], id="word"),
    ],
)
def test_wrong_usage_repeats_no_value(capsys: Captured, arguments: list[str]) -> None:
    """Who mistakes a credential for an argument must not find it in a log."""
    assert leave(*arguments) == 64
    assert "pl4nted" not in capsys.readouterr().err


def test_flags_are_not_abbreviated(capsys: Captured) -> None:
    """An abbreviation would change its meaning with the next release's flags."""
    assert leave("run", "--por", "0") == 64
    assert "no such flag: --por" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------- bad configuration: 78


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["run", "--port", "x"], id="run"),
        pytest.param(["--port", "x"], id="flags-alone"),
        pytest.param(["--port=x"], id="one-word"),
    ],
)
def test_a_malformed_flag(capsys: Captured, arguments: list[str]) -> None:
    """A malformed flag ends with 78 and one line on stderr, under the name of its setting; `run` may be left out."""
    assert main(arguments) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("SIDECAR_PORT: ")


def test_every_fault_has_a_line(capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without arguments it runs; each fault in the environment and in `.env` has its line, and no secret is told."""
    (tmp_path / ".env").write_text("API_HASH=pl4nted\nSIDECAR_PROXY=ftp://u:pl4nted@h:1\n")
    monkeypatch.setenv("SIDECAR_UNKNOWN", "1")
    monkeypatch.setenv("API_ID", "x")
    assert main([]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(":")[0] for line in err.splitlines()] == [
        "SIDECAR_UNKNOWN",
        "API_ID",
        "API_HASH",
        "SIDECAR_PROXY",
    ]
    assert "pl4nted" not in err


def test_a_good_flag_overrides_a_bad_variable(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """The command line has the last word: what it overrides is not even judged."""
    monkeypatch.setenv("SIDECAR_PORT", "x")
    monkeypatch.setenv("SIDECAR_LOG_LEVEL", "y")
    assert main(["--port", "0"]) == 78
    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()] == ["SIDECAR_LOG_LEVEL"]


def test_a_host_that_is_not_ours(capsys: Captured) -> None:
    """An address that cannot be bound is bad configuration."""
    assert main(["--host", "192.0.2.1", "--port", "0"]) == 78
    assert capsys.readouterr().err.startswith("telethon-sidecar: cannot listen on 192.0.2.1:0: ")


# ------------------------------------------------------------------------------------------------- the other exit codes


def test_an_address_in_use(capsys: Captured) -> None:
    """If somebody else listens there, it ends with 69, and says what to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 69
    err = capsys.readouterr().err
    assert err.startswith(f"telethon-sidecar: cannot listen on 127.0.0.1:{port}: ")
    assert "SIDECAR_PORT" in err


def test_an_internal_fault(caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours ends with 70, and its traceback is logged."""

    async def fail(_: Settings, __: asyncio.Event) -> None:
        raise ZeroDivisionError

    assert serve(fail, {}) == 70
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert record.getMessage().startswith("internal_fault\nTraceback (most recent call last):\n")
    assert record.getMessage().endswith("\nZeroDivisionError")


def test_an_internal_fault_of_a_command(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken for the answer no: 70, where it happened, and nothing of what it was given."""

    def fail(_: object) -> int:
        raise ZeroDivisionError("pl4nted")

    monkeypatch.setattr(probe, "healthcheck", fail)
    assert main(["healthcheck"]) == 70
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("telethon-sidecar: internal fault: ZeroDivisionError in fail, ")
    assert "pl4nted" not in err


def test_a_reader_that_is_gone() -> None:
    """`check | head` ends as every command of a pipeline does, without a traceback."""
    program = "import os, sys; from sidecar.cli import main; os.close(0); sys.exit(main(['check']))"
    done = subprocess.run(  # noqa: S602 - our own words
        f'{sys.executable} -c "{program}" | true',
        shell=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr


def test_a_good_end() -> None:
    """A service that returns has ended in good order, and was given the settings."""
    given: list[str] = []

    async def service(settings: Settings, stop: asyncio.Event) -> None:
        assert not stop.is_set()
        given.append(settings.environment)

    assert serve(service, {"environment": "test"}) == 0
    assert given == ["test"]


# --------------------------------------------------------------------------------------------------- as a real process


def python(*arguments: str) -> tuple[int, str, str]:
    """Run Python in a process of its own; return exit code, standard output and standard error."""
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "out", "err"),
    [
        pytest.param(["--version"], 0, f"telethon-sidecar {sidecar.__version__}\n", "", id="version"),
        pytest.param(
            ["run", "--secrets-dir", "here"],
            78,
            "",
            "SIDECAR_SECRETS_DIR: not an absolute path; accepted: an absolute path\n",
            id="bad-configuration",
        ),
    ],
)
def test_as_a_module(arguments: list[str], code: int, out: str, err: str) -> None:
    """`python -m sidecar` is the command, and its exit code that of the process."""
    assert python("-m", "sidecar", *arguments) == (code, out, err)


def test_a_broken_line_of_the_env_file(tmp_path: Path) -> None:
    """A line of `.env` that sets nothing ends with 78, and is told once, by us, and by no library."""
    (tmp_path / ".env").write_text("ENVIRONMENT=test\nSESSION_STRING pl4nted\n")
    told = ".env: line 2 sets nothing; accepted: NAME=value, a comment, an empty line\n"
    assert python("-m", "sidecar") == (78, "", told)


IN_A_CALLBACK = """
import signal, weakref
from sidecar.signals import leave_on_signals
leave_on_signals()
class X: pass
x = X()
r = weakref.ref(x, lambda _: signal.raise_signal(signal.{signal}))
del x
print("still alive")
"""
BEFORE_THE_PARSER = """
import signal, sidecar.cli
sidecar.cli._parser = lambda _: signal.raise_signal(signal.{signal})
sidecar.cli.main([])
print("still alive")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "program", [pytest.param(IN_A_CALLBACK, id="callback"), pytest.param(BEFORE_THE_PARSER, id="before-the-parser")]
)
def test_a_stop_signal_before_anything_runs(program: str, number: signal.Signals) -> None:
    """A stop signal ends the process in good order from the first instruction on, even where Python swallows raises."""
    assert python("-c", program.format(signal=number.name)) == (0, "", "")


def test_a_hangup_before_anything_runs() -> None:
    """SIGHUP, which asks for new credentials, kills nobody who has none yet."""
    assert python("-c", IN_A_CALLBACK.format(signal="SIGHUP")) == (0, "still alive\n", "")
