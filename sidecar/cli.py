"""The command line: which command was meant, and what it takes.

Rules of this file: what a command does lives in `commands`, and is imported when the command is chosen, so that
`--help`, `--version` and the probes answer at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from sidecar import __version__
from sidecar.commands.console import EX_SOFTWARE, EX_USAGE, PROGRAM, complain
from sidecar.signals import break_off_on_signals, leave_on_signals

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = (
    "Exit codes: 0 in good order; 1 the answer is no (wait, healthcheck, login), or a warning (check); 2 a failed "
    "check; 64 wrong usage; 69 an address is in use; 70 internal fault; 78 bad configuration."
)


class _Command(NamedTuple):
    """Where a command lives: its module, the function that adds its arguments, the one that runs it; and its help."""

    module: str
    arguments: str
    function: str
    summary: str


_COMMANDS = {
    "run": _Command("serve", "add_settings", "run", "run the daemon (also without a command)"),
    "demo": _Command(
        "serve", "add_demo_arguments", "demo", "run the daemon against a simulated Telegram that plays faults"
    ),
    "login": _Command("login", "add_arguments", "login", "make a session string, by phone, QR code or bot token"),
    "check": _Command("check", "add_arguments", "check", "find out what keeps this machine from Telegram"),
    "wait": _Command("probe", "add_wait_arguments", "wait", "wait until a running daemon is ready"),
    "healthcheck": _Command("probe", "add_healthcheck_arguments", "healthcheck", "ask a running daemon once"),
}

_DAEMONS = ("run", "demo")
"""The commands that are to be stopped by a signal, and for which that is a good end."""


class _Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviated flags and leaves with our exit code."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, epilog=_EPILOG, **options)

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EX_USAGE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name, and return its exit code."""
    leave_on_signals()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments and arguments[0] in _COMMANDS and arguments[0] not in _DAEMONS:
        break_off_on_signals()
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in {"-h", "--help", "--version"}):
        arguments.insert(0, "run")
    parser = _parser(arguments[0])
    if arguments[0] not in _COMMANDS and not arguments[0].startswith("-"):
        parser.error(f"no such command; there are {', '.join(_COMMANDS)}")
    chosen, unknown = parser.parse_known_args(arguments)
    if unknown:
        # Only names are repeated: who mistook a credential for a flag must not find its value in a log.
        names = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        told = f"no such flag: {', '.join(names)}" if names else "a word that is no flag"
        chosen.parser.error(f"{told}; see {PROGRAM} {chosen.command} --help (secrets are never flags)")
    try:
        code: int = chosen.function(chosen)
    except BrokenPipeError:  # whoever read what we say has gone; Python must not complain of it at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:  # noqa: BLE001 - this is the last place that can tell
        *_, last = traceback.extract_tb(error.__traceback__)
        # Not its text, nor what it was given: they may hold a secret.
        complain(f"{PROGRAM}: internal fault: {type(error).__name__} in {last.name}, {last.filename}:{last.lineno}")
        return EX_SOFTWARE
    return code


def _parser(wanted: str) -> argparse.ArgumentParser:
    """Make the parser. Only the command that is wanted has arguments, so that no other one is imported."""
    parser = _Parser(prog=PROGRAM, description="Keeps one Telegram session connected, and tells the truth about it.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, command in _COMMANDS.items():
        own = commands.add_parser(
            name, help=command.summary, description=f"{command.summary[0].upper()}{command.summary[1:]}."
        )
        if name == wanted:
            module = import_module(f"sidecar.commands.{command.module}")
            getattr(module, command.arguments)(own)
            own.set_defaults(function=getattr(module, command.function), parser=own)
    return parser
