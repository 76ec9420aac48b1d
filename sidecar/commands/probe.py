"""`wait` and `healthcheck`: ask the ops listener of a daemon, for entry points and images without curl.

Rules of this file: the standard library only (and python-dotenv): it is run every few seconds, and must not wait for
pydantic or Telethon. So it reads the two settings that it needs by itself.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dotenv import dotenv_values

from sidecar.commands.console import EX_CONFIG, EX_NO, EX_OK, EX_USAGE, complain, say, say_json

if TYPE_CHECKING:
    import argparse

PATHS = {"ready": "/readyz", "started": "/startupz", "live": "/livez"}

ANSWER_SECONDS = 3.0
"""How long one answer may take; it comes from memory, so a process that takes longer is stuck or starved."""

PAUSE_SECONDS = 0.2
"""Between two questions of `wait`."""

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", "9877"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": DEFAULT_HOST}  # noqa: S104 - what is bound, not what we bind
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the daemon says, or why it says nothing."""

    ok: bool
    why: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what both commands take."""
    parser.add_argument(
        "--for",
        dest="path",
        choices=PATHS,
        default="ready",
        help="ready: Telegram answers (the default); started: the first attempt is over; live: the process makes "
        "progress.",
    )
    parser.add_argument("--host", help="Where the daemon listens. Default: SIDECAR_HOST, or 127.0.0.1.")
    parser.add_argument("--port", help="Its port. Default: SIDECAR_PORT, or 9877.")
    parser.add_argument("--json", action="store_true", help="Answer with a line of JSON.")


def add_wait_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `wait` takes."""
    add_arguments(parser)
    parser.add_argument(
        "--timeout", default="60s", metavar="TIME", help="How long to wait: 500ms, 60s, 5m, 1h. Default: 60s."
    )


def add_healthcheck_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `healthcheck` takes: whether it is live, because a restart mends nothing else."""
    add_arguments(parser)
    parser.set_defaults(path="live")


def wait(chosen: argparse.Namespace) -> int:
    """Ask until the answer is yes, or the time is over."""
    try:
        host, port = address(chosen.host, chosen.port)
        allowed = seconds(chosen.timeout)
    except ValueError as error:
        complain(str(error))
        return EX_USAGE if str(error).startswith("--") else EX_CONFIG
    end = time.monotonic() + allowed
    while True:
        left = end - time.monotonic()
        answer = ask(host, port, PATHS[chosen.path], timeout=min(ANSWER_SECONDS, max(left, 0.1)))
        if answer.ok or time.monotonic() + PAUSE_SECONDS >= end:
            break
        time.sleep(PAUSE_SECONDS)
    why = answer.why if answer.ok else f"not {chosen.path} within {chosen.timeout}. {answer.why}"
    return _tell(Answer(answer.ok, why), as_json=chosen.json)


def healthcheck(chosen: argparse.Namespace) -> int:
    """Ask once."""
    try:
        host, port = address(chosen.host, chosen.port)
    except ValueError as error:
        complain(str(error))
        return EX_CONFIG
    return _tell(ask(host, port, PATHS[chosen.path], timeout=ANSWER_SECONDS), as_json=chosen.json)


def _tell(answer: Answer, *, as_json: bool) -> int:
    if as_json:
        say_json({"ok": answer.ok, "why": answer.why})
    elif answer.ok:
        say(answer.why)
    else:
        complain(answer.why)
    return EX_OK if answer.ok else EX_NO


def ask(host: str, port: int, path: str, *, timeout: float) -> Answer:
    """Ask a daemon one question. Never raises: no answer is an answer."""
    status, body = fetch(host, port, path, timeout=timeout)
    if status is None:
        return Answer(False, body)
    try:
        return Answer(status == http.HTTPStatus.OK, str(json.loads(body)["why"]))
    except (ValueError, KeyError, TypeError):
        return Answer(False, f"What listens at {host}:{port} is no telethon-sidecar: status {status}, and no reason.")


def fetch(host: str, port: int, path: str, *, timeout: float) -> tuple[int | None, str]:
    """Get one path; return status and body, or None and why there is no answer."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, UnicodeError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return None, f"No answer from {host}:{port}: {reason}. Is the daemon running, and is this its address?"
    finally:
        connection.close()


def address(host: str | None = None, port: str | None = None) -> tuple[str, int]:
    """Find the daemon's ops listener, as the daemon finds it: flags, environment, `.env`, default.

    Raises:
        ValueError: the port is none; the message names the setting and what is accepted.
    """
    try:
        file = dotenv_values(".env")
    except (OSError, UnicodeError):
        raise ValueError(".env: cannot be read; accepted: a UTF-8 text file of NAME=value lines") from None
    known = {**file, **{name: value for name, value in os.environ.items() if value}}
    host = host or known.get("SIDECAR_HOST") or DEFAULT_HOST
    text = port or known.get("SIDECAR_PORT") or DEFAULT_PORT
    if not re.fullmatch(r"[0-9]{1,5}", text.strip()) or not 0 < int(text) <= 65535:  # noqa: PLR2004 - ports end there
        raise ValueError("SIDECAR_PORT: not a port of a running daemon; accepted: 1 to 65535")
    return _EVERYWHERE.get(host.strip(), host.strip()), int(text)


def seconds(text: str) -> float:
    """Read a duration.

    Raises:
        ValueError: it is none; the message says what is accepted.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|)", text.strip())
    if not found:
        raise ValueError("--timeout: not a duration; accepted: a number with ms, s, m or h, such as 60s")
    return float(found[1]) * _UNITS[found[2]]
