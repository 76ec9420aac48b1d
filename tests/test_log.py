"""The log: our events as lines, other people's records in the same shape, and nothing secret in either."""

import io
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from telethon import errors, types

from sidecar.link import Endpoint, Identity, LinkLost, LinkRefused, Reason
from sidecar.log import EventLog, logger, set_up
from sidecar.redact import Redactor
from sidecar.settings import Settings
from sidecar.state import (
    AttemptFailed,
    AttemptStarted,
    Checked,
    CheckResult,
    Connected,
    ConnectionLost,
    CredentialsChanged,
    CredentialsMissing,
    Disconnected,
    Disconnecting,
    Event,
    FloodWaited,
    Held,
    PingAnswered,
    Postponed,
    Problem,
    SessionRefused,
    Snapshot,
    State,
    Stopping,
)

SECRET = "s3cr3t-" * 50  # as long as a session string, so that anything that wraps lines would cut it

ANN = Identity(user_id=7, is_bot=False, username="ann", first_name="Ann", last_name="Lee", phone="491701234567")
RESET = LinkLost(Reason.RESET, "the connection was reset")
REVOKED = LinkRefused(Reason.REVOKED, "the session was ended by its owner")
LOG_IN = "Log in again and replace the session string; only one in a variable or .env needs a restart then."
STARTED_BEFORE = Snapshot(state=State.STARTING, since=0.0, due=0.0)
AFTERWARDS = Snapshot(state=State.WAITING, since=0.0, due=0.0, detail="why", first_outcome=True)

Start = Callable[..., io.StringIO]


@pytest.fixture
def start() -> Iterator[Start]:
    """Sets the log of the process up, and gives the stream; afterwards everything is as it was."""
    root, theirs = logging.getLogger(), logging.getLogger("telethon")
    before = root.handlers[:], root.level, theirs.level

    def begin(*, level: str = "debug", kind: str = "json", secrets: tuple[str, ...] = ()) -> io.StringIO:
        redactor, stream = Redactor(), io.StringIO()
        redactor.learn(secrets)
        set_up(Settings(log_level=level, log_format=kind), redactor, stream)
        return stream

    yield begin
    logging.captureWarnings(capture=False)
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    theirs.setLevel(before[2])


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Read the lines back, without their timestamps."""
    read: list[dict[str, Any]] = [json.loads(line) for line in stream.getvalue().splitlines()]
    for line in read:
        del line["timestamp"]
    return read


def fail(error: Exception) -> None:
    """Raise an exception; both are variables that a curious traceback would show."""
    raise error


# --------------------------------------------------------------------------------------------------- shape of a line


def test_a_line_is_one_json_object(start: Start) -> None:
    """A line begins with timestamp (UTC), level and event; the fields follow in the order in which they were given."""
    stream = start()
    logger().info("something_happened", zulu=1, alpha="two\nlines")
    assert stream.getvalue().count("\n") == 1
    line = json.loads(stream.getvalue())
    assert list(line) == ["timestamp", "level", "event", "zulu", "alpha"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert line == {"level": "info", "event": "something_happened", "zulu": 1, "alpha": "two\nlines"}


def test_other_peoples_records_have_the_same_shape(start: Start) -> None:
    """Records of the standard library's loggers, with their arguments, become lines that name their logger."""
    stream = start()
    logging.getLogger("aiohttp.server").warning("Unusual request from %s", "10.0.0.1")
    assert lines(stream) == [{"level": "warning", "event": "Unusual request from 10.0.0.1", "logger": "aiohttp.server"}]


def test_warnings_become_lines(start: Start) -> None:
    """What Python warns of goes the same way, and not to stderr."""
    stream = start()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("careful", UserWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    (line,) = lines(stream)
    assert (line["level"], line["logger"]) == ("warning", "py.warnings")
    assert "UserWarning: careful" in line["event"]


@pytest.mark.parametrize("kind", ["json", "console"])
def test_a_record_that_cannot_be_formatted(start: Start, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    """Of a record whose arguments do not fit, one line tells where it came from; nothing shows the arguments."""
    stream = start(kind=kind)
    logging.getLogger("aiohttp.x").handle(
        logging.LogRecord("aiohttp.x", logging.WARNING, "x.py", 12, "bad %d", (SECRET,), None)
    )
    assert stream.getvalue().count("\n") == 1
    line = json.loads(stream.getvalue())
    line.pop("timestamp", None)
    assert line == {"level": "error", "event": "log_record_unreadable", "logger": "aiohttp.x", "line": 12}
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("level", "told"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_the_level_is_the_least_that_is_told(start: Start, level: str, told: list[str]) -> None:
    """Lines below the level of the settings are left out."""
    stream = start(level=level)
    for one in ("debug", "info", "warning", "error"):
        getattr(logger(), one)("event")
    assert [line["level"] for line in lines(stream)] == told


def test_what_is_no_json_is_told_as_text(start: Start) -> None:
    """A field that JSON does not know becomes its text."""
    stream = start()
    logger().info("event", error=ValueError("text"))
    assert lines(stream) == [{"level": "info", "event": "event", "error": "text"}]


def test_the_console_format_is_for_people(start: Start) -> None:
    """The other format is a plain line with time, level, event and fields; without colours where there is no screen."""
    stream = start(kind="console")
    logger().warning("something_happened", field=1)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \[warning  \] something_happened +field=1\n", stream.getvalue()
    )


def test_a_host_program_sees_it_as_any_other_library(caplog: pytest.LogCaptureFixture) -> None:
    """Where nobody set the log up, our lines are records of the standard logger `sidecar`, for people to read."""
    caplog.set_level(logging.INFO, "sidecar")
    logger().info("something_happened", number=1, text="a b")
    logger().debug("nobody_asked")
    assert caplog.record_tuples == [("sidecar", logging.INFO, "something_happened number=1 text='a b'")]


# -------------------------------------------------------------------------------------------------------- our events


@pytest.mark.parametrize(
    ("event", "line"),
    [
        pytest.param(
            AttemptStarted(3, "0badcafe"),
            {"level": "info", "event": "telegram_connecting", "attempt": 3, "session": "0badcafe"},
            id="connecting",
        ),
        pytest.param(
            Connected(ANN, Endpoint(4, 0.1), 0.12345, Reason.RESET),
            {
                "level": "info",
                "event": "telegram_connected",
                "user_id": 7,
                "username": "ann",
                "dc": 4,
                "seconds": 0.123,
                "after": "reset",
            },
            id="connected",
        ),
        pytest.param(
            AttemptFailed(2, RESET, 1.23456),
            {
                "level": "warning",
                "event": "telegram_connection_failed",
                "attempt": 2,
                "reason": "reset",
                "error": "the connection was reset",
                "retry_in": 1.235,
            },
            id="attempt-failed",
        ),
        pytest.param(
            ConnectionLost(RESET, 0.05),
            {
                "level": "warning",
                "event": "telegram_connection_lost",
                "reason": "reset",
                "error": "the connection was reset",
                "retry_in": 0.05,
            },
            id="connection-lost",
        ),
        pytest.param(
            SessionRefused(REVOKED, established=True),
            {
                "level": "error",
                "event": "telegram_session_refused",
                "reason": "revoked",
                "error": "the session was ended by its owner",
                "remedy": LOG_IN,
            },
            id="refused",
        ),
        pytest.param(
            FloodWaited(349.0),
            {"level": "warning", "event": "telegram_flood_wait", "seconds": 349},
            id="flood-wait",
        ),
        pytest.param(
            Postponed(Reason.FLOOD_WAIT, 12.6),
            {"level": "warning", "event": "telegram_flood_wait", "seconds": 13},
            id="postponed",
        ),
        pytest.param(
            CredentialsMissing((Problem("API_ID", "is missing"), Problem("API_HASH", "is odd"))),
            {
                "level": "error",
                "event": "telegram_unconfigured",
                "problems": ["API_ID is missing", "API_HASH is odd"],
            },
            id="unconfigured",
        ),
        pytest.param(CredentialsChanged(), {"level": "info", "event": "credentials_changed"}, id="changed"),
        pytest.param(
            Checked(CheckResult.OK, 0.12345, ANN),
            {"level": "debug", "event": "telegram_watchdog_check", "result": "ok", "seconds": 0.123},
            id="checked",
        ),
        pytest.param(
            PingAnswered(0.12345),
            {"level": "debug", "event": "telegram_ping_answered", "seconds": 0.123},
            id="ping",
        ),
        pytest.param(Disconnecting(), {"level": "info", "event": "telegram_disconnecting"}, id="disconnecting"),
        pytest.param(
            Disconnected(0.01),
            {"level": "info", "event": "telegram_disconnected", "seconds": 0.01},
            id="disconnected",
        ),
        pytest.param(Stopping(), {"level": "info", "event": "service_shutting_down"}, id="stopping"),
    ],
)
def test_each_event_is_one_line(start: Start, event: Event, line: dict[str, Any]) -> None:
    """Each event is one line with these fields and no others; no phone number and no name."""
    stream = start()
    EventLog(logger())(event, STARTED_BEFORE)
    assert lines(stream) == [line]


def test_a_sign_of_life_is_no_line(start: Start) -> None:
    """A keeper that waits does not fill the log with it."""
    stream = start()
    EventLog(logger())(Held(), STARTED_BEFORE)
    assert lines(stream) == []


def test_a_good_start_is_told_once(start: Start) -> None:
    """The first connection completes the start; later ones do not."""
    stream, log = start(level="info"), EventLog(logger())
    for _ in range(2):
        log(Connected(ANN, Endpoint(4, 0.1), 0.1, None), AFTERWARDS)
    assert [line["event"] for line in lines(stream)] == [
        "telegram_connected",
        "telegram_startup_complete",
        "telegram_connected",
    ]


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(AttemptFailed(1, RESET, 1.0), id="failed"),
        pytest.param(SessionRefused(REVOKED, established=False), id="refused"),
        pytest.param(CredentialsMissing((Problem("API_ID", "is missing"),)), id="unconfigured"),
        pytest.param(Postponed(Reason.FLOOD_WAIT, 12.0), id="postponed"),
    ],
)
def test_a_bad_start_is_told_once(start: Start, event: Event) -> None:
    """If the first outcome is a bad one, that is told with the state and why; a later success is no start any more."""
    stream, log = start(level="info"), EventLog(logger())
    log(event, AFTERWARDS)
    log(Connected(ANN, Endpoint(4, 0.1), 0.1, None), AFTERWARDS)
    _, startup, connected = lines(stream)
    assert startup == {"level": "warning", "event": "telegram_startup_failed", "state": "waiting", "why": "why"}
    assert connected["event"] == "telegram_connected"


@pytest.mark.parametrize("kind", [AttemptFailed, ConnectionLost])
def test_the_unexpected_has_a_traceback(start: Start, kind: type[Event]) -> None:
    """An error that nobody expected is told with the traceback of its cause."""
    error = LinkLost(Reason.UNEXPECTED, "ZeroDivisionError, which nobody expected")
    try:
        _ = 1 // 0
    except ZeroDivisionError as cause:
        error.__cause__ = cause
    stream = start()
    EventLog(logger())(
        AttemptFailed(1, error, 1.0) if kind is AttemptFailed else ConnectionLost(error, 1.0), STARTED_BEFORE
    )
    (line,) = lines(stream)
    assert "_ = 1 // 0\n" in line["exception"]
    assert "ZeroDivisionError: integer division or modulo by zero" in line["exception"]


# ------------------------------------------------------------------------------------------------ Telethon's records


CONTENT = "what-somebody-wrote"


@pytest.mark.parametrize(
    ("message", "arguments", "shown"),
    [
        pytest.param("%d bytes from %s", (3, "host"), "3 bytes from host", id="numbers-and-text"),
        pytest.param(
            "Connection failed: %s", (OSError(111, "refused"),), "Connection failed: [Errno 111] refused", id="os"
        ),
        pytest.param("got %r", (CONTENT.encode(),), "got '<bytes>'", id="bytes"),
        pytest.param(
            "got %s", (types.InputPhoneContact(1, CONTENT, CONTENT, CONTENT),), "got <InputPhoneContact>", id="tl"
        ),
        pytest.param(
            "got %s", (errors.TypeNotFoundError(0x1234, CONTENT.encode()),), "got <TypeNotFoundError>", id="error"
        ),
        pytest.param(
            "Type %08x not found, data %r", (0x1234, b"x"), "Type 00001234 not found, data '<bytes>'", id="hex"
        ),
        pytest.param("got %s", ({"text": CONTENT},), "got <dict>", id="a-dictionary-alone"),
        pytest.param("got %s", ([CONTENT],), "got <list>", id="list"),
        pytest.param("100% sure", (), "100% sure", id="no-arguments"),
        pytest.param(
            errors.TypeNotFoundError(1, CONTENT.encode()), (), "<TypeNotFoundError>", id="an-error-as-message"
        ),
    ],
)
def test_telethons_records_show_no_content(start: Start, message: Any, arguments: tuple[Any, ...], shown: str) -> None:
    """Of what Telethon logs, numbers, its words and the system's errors stay; all else is named by its type."""
    stream = start()
    logging.getLogger("telethon.network.mtprotosender").warning(message, *arguments)
    assert lines(stream) == [{"level": "warning", "event": shown, "logger": "telethon.network.mtprotosender"}]


@pytest.mark.parametrize("kind", ["json", "console"])
def test_telethons_tracebacks_show_no_content(start: Start, kind: str) -> None:
    """A traceback of Telethon's keeps where it happened and the error's type, but not the error's text."""
    stream = start(kind=kind)
    try:
        fail(errors.TypeNotFoundError(0x1234, CONTENT.encode()))
    except errors.TypeNotFoundError:
        logging.getLogger("telethon.x").exception("Unhandled error in %s, 100%% sure", "loop")
    text = stream.getvalue()
    assert CONTENT not in text
    assert "Unhandled error in loop, 100% sure" in text
    assert "in test_telethons_tracebacks_show_no_content" in text
    assert "TypeNotFoundError" in text


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        pytest.param("bad %d", (None,), id="type"),
        pytest.param("bad %d", (float("nan"),), id="value"),
        pytest.param("bad %d", (1, 2), id="too-many"),
        pytest.param("bad %d %d", (1,), id="too-few"),
        pytest.param("bad %(name)s", (1,), id="names"),
    ],
)
def test_the_filter_never_raises(start: Start, message: str, arguments: tuple[Any, ...]) -> None:
    """A traceback of Telethon's whose message does not fit its arguments is told with the message as it stands."""
    stream = start()
    try:
        fail(ValueError(CONTENT))
    except ValueError:
        logging.getLogger("telethon.x").exception(message, *arguments)
    (line,) = lines(stream)
    assert line["event"].startswith(f"{message}\n  File ")
    assert line["event"].endswith("\nValueError")
    assert CONTENT not in stream.getvalue()


@pytest.mark.parametrize(
    "message",
    [
        "Automatic reconnection failed %d time(s)",
        "Attempt %d at connecting failed: no reason",
        "Server closed the connection: %d bytes read",
    ],
)
def test_the_noise_is_dropped(start: Start, message: str) -> None:
    """What Telethon says of a loss, which an event of ours tells with its reason, is not told again."""
    stream = start()
    logging.getLogger("telethon.network.mtprotosender").error(message, 0)
    assert lines(stream) == []


@pytest.mark.parametrize(
    ("level", "told"), [("debug", ["info", "warning"]), ("info", ["warning"]), ("warning", ["warning"]), ("error", [])]
)
def test_telethon_is_quiet_unless_debugged(start: Start, level: str, told: list[str]) -> None:
    """Telethon's own information is told at level debug alone; its warnings as everybody's."""
    stream = start(level=level)
    logging.getLogger("telethon.x").info("Connecting…")
    logging.getLogger("telethon.x").warning("Server sent a very new message")
    assert [line["level"] for line in lines(stream)] == told


# ---------------------------------------------------------------------------------------------------------- redaction


def plant(where: str) -> None:
    """Log a secret, in one of the places where one may turn up."""
    theirs = logging.getLogger("aiohttp.client")
    match where:
        case "event":
            logger().info(f"event with {SECRET}")
        case "field":
            logger().info("event", field=SECRET, deep={"list": [SECRET]})
        case "message":
            theirs.error(f"message with {SECRET}")
        case "argument":
            theirs.error("message with %s and %r", SECRET, [SECRET])
        case "telethon":
            logging.getLogger("telethon.x").warning("text with %s", SECRET)
        case _:
            try:
                fail(ValueError(SECRET))
            except ValueError:
                (logger() if where == "our-exception" else theirs).exception("it failed")


@pytest.mark.parametrize("kind", ["json", "console"])
@pytest.mark.parametrize(
    "where", ["event", "field", "message", "argument", "telethon", "our-exception", "their-exception"]
)
def test_a_planted_secret_is_blacked_out(start: Start, where: str, kind: str) -> None:
    """Wherever a secret turns up in a record, not a word of it is in the line."""
    stream = start(kind=kind, secrets=(SECRET,))
    plant(where)
    assert "[redacted]" in stream.getvalue()
    assert "s3cr3t" not in stream.getvalue()


@budget(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(secret=st.text(min_size=8, max_size=40).filter(lambda text: text == text.strip()), text=st.text(max_size=20))
def test_any_secret_is_blacked_out(start: Start, secret: str, text: str) -> None:
    """Whatever characters a secret is made of, it is in no field of a line, and the line stays JSON."""
    planted = f"pl4nt{secret}"
    stream = start(secrets=(planted,))
    logger().info("event", field=text + planted + text, error=ValueError(planted))
    (line,) = lines(stream)
    assert line == {"level": "info", "event": "event", "field": f"{text}[redacted]{text}", "error": "[redacted]"}
