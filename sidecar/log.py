"""The log: one pipeline for our events and for what Telethon, aiohttp and asyncio have to say.

Rules of this file: it is a view. `EventLog` turns events into lines and decides nothing; `set_up` is called once, by
the command, and never by the library face (a library does not configure its host's logging).
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO, assert_never

import structlog

from sidecar.advice import REMEDIES
from sidecar.link import Reason
from sidecar.state import (
    AttemptFailed,
    AttemptStarted,
    Checked,
    Connected,
    ConnectionLost,
    CredentialsChanged,
    CredentialsMissing,
    Disconnected,
    Disconnecting,
    FloodWaited,
    Held,
    PingAnswered,
    Postponed,
    SessionRefused,
    Stopping,
)

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

    from sidecar.link import LinkError
    from sidecar.redact import Redactor
    from sidecar.settings import Settings
    from sidecar.state import Event, Snapshot


_TOLD_BY_EVENTS = (
    "Automatic reconnection failed",  # at level ERROR after every loss, about the reconnecting that we switched off
    "Attempt %d at connecting failed",
    "Server closed the connection",
)
"""How Telethon's lines begin that say again, without the reason, what an event of ours says."""


class _Fields(dict[str, Any]):
    """An event's fields. A host program whose formatter knows nothing of structlog gets them as readable text."""

    def __str__(self) -> str:
        rest = dict(self)
        event, trace = rest.pop("event", ""), rest.pop("exception", None)
        # Ours are StrEnums, whose repr says more than a reader wants.
        shown = {key: str(value) if isinstance(value, str) else value for key, value in rest.items()}
        line = " ".join([str(event), *(f"{key}={value!r}" for key, value in shown.items())])
        return f"{line}\n{trace}" if trace else line


def _readable(_logger: object, _name: str, event: EventDict) -> EventDict:
    return _Fields(event)


def logger() -> structlog.stdlib.BoundLogger:
    """Return our logger. It feeds the standard logger `sidecar`, so a host program sees it as any other library's."""
    bound: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger("sidecar"),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            _readable,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
    )
    return bound


class _Handler(logging.StreamHandler[TextIO]):
    """A handler that shows no arguments of a record that it cannot format, as the standard one would."""

    def __init__(self, stream: TextIO, redactor: Redactor) -> None:
        super().__init__(stream)
        self._redactor = redactor

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        line = {
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "level": "error",
            "event": "log_record_unreadable",
            "logger": record.name,
            "line": record.lineno,
        }
        # The stream itself may be what failed; whoever logs must not hear of it.
        with suppress(Exception):
            self.stream.write(self._redactor(json.dumps(line)) + self.terminator)
            self.flush()


def set_up(settings: Settings, redactor: Redactor, stream: TextIO | None = None) -> None:
    """Send the log of the whole process to a stream (standard output, unless told otherwise)."""
    stream = stream or sys.stdout
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor]
    if settings.log_format == "json":
        last = [
            structlog.processors.format_exc_info,
            _in_order,
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        # Plain tracebacks, whatever is installed: prettier ones show variables, and wrap a secret out of recognition.
        traceback_style = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=traceback_style)]
    handler = _Handler(stream, redactor)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *shared,
                *last,
                lambda _logger, _name, line: redactor(str(line)),
            ],
        )
    )
    handler.addFilter(_harmless_telethon)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    # Telethon tells every step at level info, and of what our events tell it knows less.
    if root.level > logging.DEBUG:
        logging.getLogger("telethon").setLevel(max(root.level, logging.WARNING))
    logging.captureWarnings(capture=True)


def _in_order(_logger: object, _name: str, event: EventDict) -> EventDict:
    first: EventDict = {key: event.pop(key) for key in ("timestamp", "level", "event")}
    return {**first, **event}


def _harmless_telethon(record: logging.LogRecord) -> bool:
    """Keep answers of Telegram out of Telethon's records: they hold names, phone numbers and messages.

    Telethon logs objects and raw bytes that it does not understand, and quotes them in exceptions. Numbers and text
    (its own words, addresses) stay; everything else is named by its type, and a traceback loses its last line.
    """
    if not record.name.startswith("telethon"):
        return True
    record.msg = _harmless(record.msg)
    if str(record.msg).startswith(_TOLD_BY_EVENTS):
        return False
    args = record.args or ()
    # A dictionary that is the only argument comes without its tuple.
    record.args = tuple(map(_harmless, args if isinstance(args, tuple) else (args,)))
    if record.exc_info and record.exc_info[0]:
        kind, _, trace = record.exc_info
        record.exc_info = None
        record.msg = f"{_message(record)}\n{''.join(traceback.format_tb(trace))}{kind.__name__}"
        record.args = ()
    return True


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - arguments can fail in any way
        return str(record.msg)  # a filter must not raise: it runs inside whoever logs


def _harmless(told: object) -> Any:
    return told if told is None or isinstance(told, int | float | str | OSError) else f"<{type(told).__name__}>"


class EventLog:
    """The view of events as log lines."""

    def __init__(self, log: structlog.stdlib.BoundLogger) -> None:
        self._log = log
        self._started = False

    def __call__(self, event: Event, snapshot: Snapshot) -> None:
        """Write the lines of one event."""
        log = self._log
        match event:
            case AttemptStarted(attempt, session):
                log.info("telegram_connecting", attempt=attempt, session=session)
            case Connected(identity, endpoint, seconds, after):
                log.info(
                    "telegram_connected",
                    user_id=identity.user_id,
                    username=identity.username,
                    dc=endpoint.dc,
                    seconds=round(seconds, 3),
                    after=after,
                )
            case AttemptFailed(attempt, error, retry_in):
                log.warning(
                    "telegram_connection_failed",
                    attempt=attempt,
                    reason=error.reason,
                    error=error.detail,
                    retry_in=round(retry_in, 3),
                    **_traceback(error),
                )
            case ConnectionLost(error, retry_in):
                log.warning(
                    "telegram_connection_lost",
                    reason=error.reason,
                    error=error.detail,
                    retry_in=round(retry_in, 3),
                    **_traceback(error),
                )
            case SessionRefused(error):
                log.error(
                    "telegram_session_refused",
                    reason=error.reason,
                    error=error.detail,
                    remedy=REMEDIES[error.reason],
                )
            case FloodWaited(seconds):
                log.warning("telegram_flood_wait", seconds=round(seconds))
            case Postponed(reason, seconds):
                if reason in {Reason.FLOOD_WAIT, Reason.TRANSPORT_FLOOD}:  # else nobody asked for it
                    log.warning("telegram_flood_wait", seconds=round(seconds))
            case CredentialsMissing(problems):
                log.error("telegram_unconfigured", problems=[str(problem) for problem in problems])
            case CredentialsChanged():
                log.info("credentials_changed")
            case Checked(result, seconds):
                log.debug("telegram_watchdog_check", result=result, seconds=round(seconds, 3))
            case PingAnswered(seconds):
                log.debug("telegram_ping_answered", seconds=round(seconds, 3))
            case Disconnecting():
                log.info("telegram_disconnecting")
            case Disconnected(seconds):
                log.info("telegram_disconnected", seconds=round(seconds, 3))
            case Stopping():
                log.info("service_shutting_down")
            case Held():
                pass
            case _:
                assert_never(event)
        if snapshot.first_outcome and not self._started:
            self._started = True
            if isinstance(event, Connected):
                log.info("telegram_startup_complete")
            else:
                log.warning("telegram_startup_failed", state=snapshot.state, why=snapshot.detail)


def _traceback(error: LinkError) -> dict[str, Any]:
    return {"exc_info": error} if error.reason is Reason.UNEXPECTED else {}
