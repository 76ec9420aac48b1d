"""`run` and `demo`: the daemon, against Telegram or against a simulated one, until it is told to stop."""

from __future__ import annotations

from argparse import SUPPRESS
from typing import TYPE_CHECKING, Any

from sidecar.commands.console import (
    EX_CONFIG,
    EX_OK,
    EX_SOFTWARE,
    EX_UNAVAILABLE,
    PROGRAM,
    complain,
    say,
)
from sidecar.settings import (
    DEMO_FLAGS,
    DEMO_PACE,
    Settings,
    SettingsError,
    environment_name,
    has_flag,
    load_service_manager,
    load_settings,
)
from sidecar.signals import stop_on_signals

if TYPE_CHECKING:
    import argparse
    import asyncio
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    Service = Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]]


def add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of what a demo may be told."""
    _add_flags(parser, DEMO_FLAGS, DEMO_PACE, from_environment=False)


def add_settings(parser: argparse.ArgumentParser, *, shown: bool = True) -> None:
    """Add a flag for every setting that may stand on a command line; shown in the help, or only taken."""
    _add_flags(parser, filter(has_flag, Settings.model_fields), {}, from_environment=True, shown=shown)


def settings_from(chosen: argparse.Namespace) -> dict[str, str]:
    """Return the settings that were given as flags."""
    return {
        name.removeprefix("set_"): value for name, value in vars(chosen).items() if name.startswith("set_") and value
    }


def run(chosen: argparse.Namespace) -> int:
    """Run the daemon."""
    from sidecar.app import run as service  # noqa: PLC0415 - bad settings are told before Telethon is imported

    return serve(
        lambda settings, stop: service(settings, stop, service_manager=load_service_manager()), settings_from(chosen)
    )


def demo(chosen: argparse.Namespace) -> int:
    """Run the daemon against the simulator."""
    from sidecar.simulator.demo import demo as service  # noqa: PLC0415 - only the demo imports the simulator

    return serve(
        lambda settings, stop: service(settings, stop, say), DEMO_PACE | settings_from(chosen), only_flags=True
    )


def serve(service: Service, given: dict[str, str], *, only_flags: bool = False) -> int:
    """Run a service to its end and turn that end into an exit code."""
    import asyncio  # noqa: PLC0415 - as above

    from sidecar.http.server import ListenerError  # noqa: PLC0415
    from sidecar.log import logger  # noqa: PLC0415

    try:
        settings = load_settings(given, only_flags=only_flags)
        asyncio.run(_until_stopped(service, settings))
    except SettingsError as error:
        for fault in error.faults:
            complain(fault)
        return EX_CONFIG
    except ListenerError as error:
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in error.settings)
        variables = "" if only_flags else f" ({', '.join(map(environment_name, error.settings))})"
        complain(f"{PROGRAM}: {error}; choose another with {flags}{variables}")
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


def _add_flags(
    parser: argparse.ArgumentParser,
    names: Iterable[str],
    defaults: Mapping[str, str],
    *,
    from_environment: bool,
    shown: bool = True,
) -> None:
    for name in names:
        info = Settings.model_fields[name]
        default = defaults.get(name, info.default)
        words = [f"{info.description} Accepted: {info.title}."]
        words += [f"Default: {default}."] if default is not None else []
        words += [f"Environment: {environment_name(name)}."] if from_environment else []
        flag = f"--{name.replace('_', '-')}"
        text = " ".join(words).replace("%", "%%") if shown else SUPPRESS
        parser.add_argument(flag, dest=f"set_{name}", metavar="VALUE", help=text)
