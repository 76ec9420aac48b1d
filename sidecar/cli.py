"""The commands. The only file that prints, and the only one that knows exit codes.

Rules of this file: what a command does lives elsewhere and is imported when the command is chosen, so that `--help`
and `--version` answer at once.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from sidecar import __version__
from sidecar.signals import leave_on_signals, stop_on_signals

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence

    from sidecar.settings import Settings

    Service = Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]]

EX_OK = 0
EX_USAGE = 64
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_CONFIG = 78
"""Exit codes, numbered as in the BSD's sysexits.h."""

_PROGRAM = "telethon-sidecar"
_RUN = "run the daemon (also without a command)"
_DEMO = "run the daemon against a simulated Telegram that plays faults"
_EPILOG = (
    "Exit codes: 0 stopped in good order; 64 wrong usage; 69 an address is in use; 70 internal fault; "
    "78 bad configuration."
)


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
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in {"-h", "--help", "--version"}):
        arguments.insert(0, "run")
    parser = _parser()
    if arguments[0] not in _COMMANDS and not arguments[0].startswith("-"):
        parser.error(f"no such command; there are {', '.join(_COMMANDS)}")
    known, unknown = parser.parse_known_args(arguments)
    if unknown:
        # Only names are repeated: who mistook a credential for a flag must not find its value in a log.
        names = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        told = f"no such flag: {', '.join(names)}" if names else "a word that is no flag"
        parser.error(f"{told}; see {_PROGRAM} {known.command or ''} --help (secrets are never flags)")
    chosen = vars(known)
    flags = {name.removeprefix("set_"): value for name, value in chosen.items() if name.startswith("set_") and value}
    return _COMMANDS[chosen["command"]](flags)


def _run(flags: dict[str, str]) -> int:
    from sidecar.app import run  # noqa: PLC0415 - Telethon takes its time

    return _serve(run, flags)


def _demo(flags: dict[str, str]) -> int:
    from sidecar.settings import DEMO_PACE  # noqa: PLC0415
    from sidecar.simulator.demo import demo  # noqa: PLC0415 - only the demo imports the simulator

    return _serve(lambda settings, stop: demo(settings, stop, _say), DEMO_PACE | flags, only_flags=True)


_COMMANDS: dict[str, Callable[[dict[str, str]], int]] = {"run": _run, "demo": _demo}


def _serve(service: Service, flags: dict[str, str], *, only_flags: bool = False) -> int:
    """Run a service to its end and turn that end into an exit code."""
    import asyncio  # noqa: PLC0415 - as above

    from sidecar.http.server import ListenerError  # noqa: PLC0415
    from sidecar.log import logger  # noqa: PLC0415
    from sidecar.settings import SettingsError, load_settings  # noqa: PLC0415

    try:
        settings = load_settings(flags, only_flags=only_flags)
        asyncio.run(_until_stopped(service, settings))
    except SettingsError as error:
        for fault in error.faults:
            _say(fault, to=sys.stderr)
        return EX_CONFIG
    except ListenerError as error:
        variables = "" if only_flags else " (SIDECAR_HOST, SIDECAR_PORT)"
        _say(f"{_PROGRAM}: {error}; choose another with --host and --port{variables}", to=sys.stderr)
        return EX_UNAVAILABLE if error.in_use else EX_CONFIG
    except Exception:  # noqa: BLE001 - this is the last place that can tell
        logger().critical("internal_fault", exc_info=True)
        return EX_SOFTWARE
    return EX_OK


async def _until_stopped(service: Service, settings: Settings) -> None:
    from asyncio import Event  # noqa: PLC0415 - as above

    stop = Event()
    with stop_on_signals(stop):
        await service(settings, stop)


def _parser() -> argparse.ArgumentParser:
    from sidecar.settings import DEMO_FLAGS, DEMO_PACE, Settings, has_flag  # noqa: PLC0415 - pydantic takes its time

    parser = _Parser(prog=_PROGRAM, description="Keeps one Telegram session connected, and tells the truth about it.")
    parser.add_argument("--version", action="version", version=f"{_PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    run = commands.add_parser("run", help=_RUN, description=_RUN[0].upper() + _RUN[1:] + ".")
    _add_flags(run, filter(has_flag, Settings.model_fields), {}, from_environment=True)
    demo = commands.add_parser("demo", help=_DEMO, description=_DEMO[0].upper() + _DEMO[1:] + ".")
    _add_flags(demo, DEMO_FLAGS, DEMO_PACE, from_environment=False)
    return parser


def _add_flags(
    parser: argparse.ArgumentParser, names: Iterable[str], defaults: Mapping[str, str], *, from_environment: bool
) -> None:
    from sidecar.settings import Settings, environment_name  # noqa: PLC0415 - as above

    for name in names:
        info = Settings.model_fields[name]
        default = defaults.get(name, info.default)
        words = [f"{info.description} Accepted: {info.title}."]
        words += [f"Default: {default}."] if default is not None else []
        words += [f"Environment: {environment_name(name)}."] if from_environment else []
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, dest=f"set_{name}", metavar="VALUE", help=" ".join(words).replace("%", "%%"))


def _say(text: str, *, to: Any = None) -> None:
    print(text, file=to or sys.stdout, flush=True)
