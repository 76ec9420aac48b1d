"""`login`: makes a session string, and puts it where it was asked for: on standard output alone, or in a file."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar.commands.console import EX_CONFIG, EX_NO, EX_OK, EX_USAGE, PROGRAM, complain, say
from sidecar.commands.terminal import Terminal
from sidecar.credentials import parse
from sidecar.proxy import NOT_INSTALLED, installed
from sidecar.settings import SettingsError, environment_name, load_settings
from sidecar.telegram.login import How, LoginFailed, log_in

if TYPE_CHECKING:
    import argparse

    from pydantic import SecretStr

    from sidecar.settings import Settings
    from sidecar.telegram.login import NewSession

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
"""What Kubernetes takes for the name of a Secret (a DNS subdomain, RFC 1123)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `login` takes. No secret is a flag, and no phone number: argv is public."""
    parser.epilog = (
        f"Asks on standard error; the session string alone goes to standard output. API_ID and API_HASH are asked for "
        f"unless the environment or .env has them. {parser.epilog}"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--qr", dest="how", action="store_const", const=How.QR, help="Log in by a QR code.")
    how.add_argument("--bot", dest="how", action="store_const", const=How.BOT, help="Log in as a bot, by its token.")
    parser.set_defaults(how=How.PHONE)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--out", metavar="FILE", help="Write the session string to a new file, readable by you alone.")
    where.add_argument("--secret", metavar="NAME", help="Print the manifest of a Kubernetes Secret with this name.")
    parser.add_argument("--ipv6", action="store_true", help="Make a session that is dialled over IPv6.")


def login(chosen: argparse.Namespace) -> int:
    """Log in."""
    logging.getLogger("telethon").setLevel(logging.CRITICAL)  # what went wrong is said once, by us
    try:
        settings = load_settings()
    except SettingsError as error:
        for fault in error.faults:
            complain(fault)
        return EX_CONFIG
    if chosen.secret is not None and not _NAME.fullmatch(chosen.secret):
        complain("--secret: not a name of a Secret; accepted: small letters, digits, - and .")
        return EX_USAGE
    if settings.proxy and not installed():
        complain(f"SIDECAR_PROXY {NOT_INSTALLED}")
        return EX_CONFIG
    if sys.stdin is None or sys.stderr is None or (sys.stdout is None and not chosen.out):
        complain(f"{PROGRAM}: login needs standard input, output and error; one of them is closed")
        return EX_USAGE
    try:
        file = _new_file(chosen.out)
    except OSError as error:
        complain(f"--out: cannot write {chosen.out}: {error.strerror}; nothing is logged in")
        return EX_CONFIG
    try:
        asyncio.run(_login(chosen, settings, file))
    except LoginFailed as error:
        complain(f"{PROGRAM}: not logged in. {error}")
        return EX_NO
    except _BrokenOff as broken:
        complain(f"\n{PROGRAM}: broken off; nothing is left logged in.")
        return 128 + broken.number
    finally:
        if file:
            file.close()
    return EX_OK


class _BrokenOff(Exception):
    """A stop signal came."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


async def _login(chosen: argparse.Namespace, settings: Settings, file: _NewFile | None) -> None:
    task, loop, broken = asyncio.current_task(), asyncio.get_running_loop(), list[int]()
    assert task  # noqa: S101 - this runs in one

    def break_off(number: int) -> None:
        broken.append(number)
        task.cancel()

    for number in STOPS:
        loop.add_signal_handler(number, break_off, number)
    try:
        person = Terminal()
        api_id = settings.api_id or await _credential(person, "api_id", secret=False)
        api_hash = settings.api_hash or await _credential(person, "api_hash", secret=True)
        async with log_in(chosen.how, api_id, api_hash, person, ipv6=chosen.ipv6, proxy=settings.proxy) as new:
            _hand_out(new, api_id, api_hash, chosen.secret, file)
            for number in STOPS:  # it is done; what comes now must not undo half of it
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)
        person.tell(f"Logged in as {new.name}, data centre {new.dc}.")
        person.tell("The session string is the account. Use it in one place only, and never in two at a time.")
    except asyncio.CancelledError:
        if broken:
            raise _BrokenOff(broken[0]) from None
        raise


async def _credential(person: Terminal, field: str, *, secret: bool) -> Any:
    """Ask for a credential that the settings do not have."""
    try:
        return parse(field, await person.ask(environment_name(field), secret=secret))
    except ValueError as error:
        raise LoginFailed(f"{error}; it comes from my.telegram.org.") from None


def _hand_out(new: NewSession, api_id: int, api_hash: SecretStr, secret: str | None, file: _NewFile | None) -> None:
    string = new.string.get_secret_value()
    try:
        if file:
            file.keep(f"{string}\n")
        elif secret:
            say(_manifest(secret, api_id=str(api_id), api_hash=api_hash.get_secret_value(), session_string=string))
        else:
            say(string)
    except OSError as error:
        raise LoginFailed(f"The session cannot be written: {error.strerror}.") from None


def _manifest(name: str, **values: str) -> str:
    """Write a Secret; a JSON string is a YAML string."""
    lines = [f"  {key}: {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(["apiVersion: v1", "kind: Secret", "metadata:", f"  name: {name}", "stringData:", *lines])


class _NewFile:
    """A file that did not exist, opened before anything is logged in; gone again unless something was kept in it."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._kept = False
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def keep(self, text: str) -> None:
        os.write(self._file, text.encode())
        os.fsync(self._file)
        self._kept = True

    def close(self) -> None:
        os.close(self._file)
        if not self._kept:
            with suppress(OSError):
                self._path.unlink()


def _new_file(path: str | None) -> _NewFile | None:
    return None if path is None else _NewFile(path)
