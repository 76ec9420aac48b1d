"""`check`: a doctor. A line for every thing that must be well, and what to do where it is not."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from sidecar.advice import REMEDIES
from sidecar.commands import checks
from sidecar.commands.checks import Finding, Status
from sidecar.commands.console import EX_OK, say, say_json
from sidecar.commands.serve import add_settings, settings_from
from sidecar.credentials import CREDENTIAL_FILES, CredentialSource, Unusable
from sidecar.holdback import HoldBack
from sidecar.link import LinkError
from sidecar.log import logger
from sidecar.manager import SHORTEST_ORPHAN_SECONDS
from sidecar.proxy import read_proxy
from sidecar.settings import SettingsError, load_settings
from sidecar.statefile import StateFile
from sidecar.telegram import NoChannel, dial, look_up

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from sidecar.credentials import Credentials
    from sidecar.settings import Settings

EX_WARNINGS = 1
EX_FAILURES = 2

CLOCK_WARNING, CLOCK_FAILURE = 5.0, 30.0
"""Seconds of difference to Telegram's clock: the first is a node whose clock is not kept; at the second Telethon drops
answers once the difference changes."""

_SOURCES = {
    "API_ID": "Take it from my.telegram.org.",
    "API_HASH": "Take it from my.telegram.org.",
    "SESSION_STRING": "Make one with telethon-sidecar login.",
}
"""Where a credential comes from."""

_SIGNS = {Status.OK: "ok     ", Status.WARNING: "warning", Status.FAILED: "failed "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `check` takes: its own, and all settings."""
    parser.add_argument("--json", action="store_true", help="Print one line of JSON with all findings.")
    parser.add_argument(
        "--force",
        action="store_true",
        help="Connect though a running daemon holds the session, or Telegram said to wait.",
    )
    add_settings(parser, shown=False)
    parser.epilog = f"Takes the flags of run, too. {parser.epilog}"


def check(chosen: argparse.Namespace) -> int:
    """Look at everything, and sum it up in the exit code."""
    for name in ("telethon", "sidecar", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what they would say is said as a finding
    found: list[Finding] = []

    async def look() -> None:
        async for finding in examine(settings_from(chosen), force=chosen.force):
            found.append(finding)
            if not chosen.json:
                say("\n".join(_lines(finding)))

    asyncio.run(look())
    worst, code = [finding.status for finding in found], exit_code(found)
    if chosen.json:
        say_json({"ok": code == EX_OK, "findings": [_as_dict(finding) for finding in found]})
    else:
        warnings = worst.count(Status.WARNING)
        plural = "" if warnings == 1 else "s"
        say(f"{worst.count(Status.OK)} ok, {warnings} warning{plural}, {worst.count(Status.FAILED)} failed")
    return code


def exit_code(found: list[Finding]) -> int:
    """Sum the findings up: 0 all well, 1 warnings, 2 failures."""
    worst = {finding.status for finding in found}
    return EX_FAILURES if Status.FAILED in worst else EX_WARNINGS if Status.WARNING in worst else EX_OK


def _lines(finding: Finding) -> list[str]:
    first = f"{_SIGNS[finding.status]}  {finding.name}: {finding.what}"
    return [first, f"         → {finding.todo}"] if finding.todo else [first]


def _as_dict(finding: Finding) -> dict[str, str]:
    return {"name": finding.name, "status": finding.status, "what": finding.what, "todo": finding.todo}


async def examine(flags: dict[str, str], *, force: bool) -> AsyncIterator[Finding]:
    """Look at one thing after another, each as far as those before it allow."""
    try:
        settings = load_settings(flags)
    except SettingsError as error:
        for fault in error.faults:
            yield Finding("settings", Status.FAILED, fault, "Correct it; docs/settings.md lists all.")
        return
    yield Finding("settings", Status.OK, "all are valid")
    if settings.secrets_dir:
        for finding in checks.secrets_directory(settings.secrets_dir, CREDENTIAL_FILES):
            yield finding
    yield checks.state_directory(settings.state_dir)
    running = await asyncio.to_thread(checks.running_daemon, settings)
    if running and running.session is None:
        todo = "Stop it, or look why it is stuck: kubectl logs, /livez."
        yield Finding("daemon", Status.WARNING, f"at {running.where}: {running.why}", todo)
    elif running:
        yield Finding("daemon", Status.OK, f"one runs at {running.where}: {running.why}")
    else:
        yield checks.port_is_free("ops port", settings.host, settings.port, "SIDECAR_PORT")
        if settings.api_socket is None:
            yield checks.port_is_free("api port", settings.api_host, settings.api_port, "SIDECAR_API_PORT")
    source = CredentialSource(settings)
    if source.hidden:
        hidden = f"the environment or .env hides {', '.join(source.hidden)} in the secrets directory"
        yield Finding(
            "credentials", Status.WARNING, hidden, "Remove the variables: the files are the ones that are watched."
        )
    credentials = source.current
    if isinstance(credentials, Unusable):
        for problem in credentials.problems:
            if problem.name == "SIDECAR_SECRETS_DIR":
                continue  # it has its own line
            yield Finding("credentials", Status.FAILED, str(problem), _SOURCES.get(problem.name, "Correct it."))
        return
    yield checks.session_string(credentials.facts)
    if credentials.proxy:
        yield await checks.proxy(read_proxy(credentials.proxy.get_secret_value()))
    else:
        yield checks.address_family(credentials.facts)
        yield await checks.reach(credentials.facts)

    now = asyncio.get_running_loop().time()
    store = StateFile(settings.state_dir, logger(), wall=time.time) if settings.state_dir else None
    held = HoldBack(store, now=now)
    waiting = checks.flood_wait(held.of(credentials.facts.fingerprint), now)
    yield waiting
    if running and running.session in {credentials.facts.fingerprint, None} and not force:
        what = f"not tried: the daemon at {running.where} holds this session, and a second connection can kill it"
        yield Finding(
            "connection", Status.WARNING, what, "Ask that daemon; or stop it; or --force, at the session's risk."
        )
    elif waiting.status is not Status.OK and not force:
        yield Finding(
            "connection", Status.WARNING, f"not tried: {waiting.what}", "Wait; --force connects in spite of it."
        )
    else:
        async for finding in _connect(settings, credentials, None if running else held):  # the file is the daemon's
            yield finding


async def _connect(settings: Settings, credentials: Credentials, held: HoldBack | None) -> AsyncIterator[Finding]:
    """Connect, ask who we are, and look the channel up."""
    began, clock = time.monotonic(), time.monotonic
    name = "connection"
    async with dial(
        credentials, close_timeout=settings.shutdown_timeout, disconnect_delay=SHORTEST_ORPHAN_SECONDS
    ) as link:
        try:
            async with asyncio.timeout(settings.connect_timeout):
                endpoint = await link.open()
                yield Finding(name, Status.OK, f"data centre {endpoint.dc} answers, after {clock() - began:.2f} s")
                yield _clock(endpoint.clock_offset)
                name, began = "account", clock()
                me = await link.check()
            who = f"@{me.username}" if me.username else "no user name"
            kind = "bot" if me.is_bot else "user"
            yield Finding(name, Status.OK, f"{kind} {me.user_id} ({who}), told in {clock() - began:.2f} s")
            if settings.channel_url:
                name = "channel"
                async with asyncio.timeout(settings.connect_timeout):
                    yield await _channel(link.client, settings.channel_url)
        except LinkError as error:
            if held:
                held.take(credentials.facts.fingerprint, error, now=asyncio.get_running_loop().time())
            yield Finding(name, Status.FAILED, f"{error.detail} ({error.reason})", REMEDIES[error.reason])
        except TimeoutError:
            yield Finding(
                name, Status.FAILED, f"no answer within {settings.connect_timeout:g} s", "Check the way to Telegram."
            )


def _clock(offset: float) -> Finding:
    what = f"Telegram's is {abs(offset):.1f} s {'ahead of' if offset > 0 else 'behind'} ours"
    status = (
        Status.OK if abs(offset) < CLOCK_WARNING else Status.WARNING if abs(offset) < CLOCK_FAILURE else Status.FAILED
    )
    return Finding("clock", status, what, "" if status is Status.OK else "Keep the node's clock by NTP.")


async def _channel(client: object, name: str) -> Finding:
    try:
        channel = await look_up(client, name)
    except NoChannel as error:
        return Finding("channel", Status.FAILED, str(error), "CHANNEL_URL is what the application works with.")
    what = f"{channel.title!r}: {channel.role}"
    if channel.may_post:
        return Finding("channel", Status.OK, f"{what}; may post")
    return Finding(
        "channel", Status.FAILED, f"{what}; may not post", "Make the account an administrator that may post."
    )
