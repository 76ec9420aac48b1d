"""What `check` finds out without Telegram: session, files, ports, and how far the network reaches.

A finding is one line: what was looked at, how it is, and what to do. Nothing here prints, and nothing raises for what
it finds.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import stat
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sidecar.address import host_port
from sidecar.advice import REMEDIES
from sidecar.commands.probe import ANSWER_SECONDS, address, ask, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sidecar.holdback import Hold
    from sidecar.proxy import Proxy
    from sidecar.session import SessionFacts
    from sidecar.settings import Settings

REACH_SECONDS = 5.0
"""How long a TCP connection may take; what takes longer is dropped on the way."""

OTHERS = {
    False: ((1, "149.154.175.50", 443), (4, "149.154.167.91", 443)),
    True: ((1, "2001:b28:f23d:f001::a", 443), (4, "2001:67c:4e8:f004::a", 443)),
}
"""Data centres to compare with, over IPv4 and IPv6 (`True`); from help.getConfig, as my.telegram.org shows it."""

_SESSION_METRIC = re.compile(r'^telegram_session_info\{session="([0-9a-f]{8})"\} 1', re.MULTILINE)


class Status(StrEnum):
    """How something is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: of what was looked at.
        status: how it is.
        what: what was found, free of secrets.
        todo: what a person can do; nothing if all is well.
    """

    name: str
    status: Status
    what: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """What listens at the address of a daemon's ops listener.

    Attributes:
        where: the address.
        session: fingerprint of the session that it holds; None if it does not say, as a daemon that is stuck.
        why: how it is.
    """

    where: str
    session: str | None
    why: str


def session_string(facts: SessionFacts) -> Finding:
    """Tell what the session says of itself; never its key."""
    family = "IPv6" if facts.ipv6 else "IPv4"
    where = host_port(facts.host, facts.port)
    return Finding(
        "session", Status.OK, f"data centre {facts.dc} at {where} over {family}, fingerprint {facts.fingerprint}"
    )


def address_family(facts: SessionFacts) -> Finding:
    """Tell whether this machine has a route to the session's address at all. No packet is sent."""
    family = "IPv6" if facts.ipv6 else "IPv4"
    with socket.socket(socket.AF_INET6 if facts.ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((facts.host, facts.port))
        except OSError as error:
            return Finding(
                "address family",
                Status.FAILED,
                f"no route over {family}: {error.strerror}",
                f"Give this machine {family}, or log in again {'without' if facts.ipv6 else 'with'} --ipv6.",
            )
    return Finding("address family", Status.OK, f"there is a route over {family}")


def secrets_directory(directory: Path, files: tuple[str, ...]) -> Iterator[Finding]:
    """Tell whether the secret files are there, and who may read them."""
    name = "secrets directory"
    if not os.access(directory, os.R_OK | os.X_OK):
        there = directory.exists()
        what = f"{directory} cannot be read" if there else f"{directory} is not there"
        yield Finding(name, Status.FAILED, what, "Mount the Secret there, readable for the user of this process.")
        return
    found = [file for file in files if (directory / file).is_file()]
    public = [file for file in found if (directory / file).stat().st_mode & stat.S_IROTH]
    if public:
        yield Finding(
            name,
            Status.WARNING,
            f"every user of this machine may read {', '.join(public)} in {directory}",
            "chmod o-r; in Kubernetes defaultMode: 0440, with fsGroup.",
        )
    else:
        yield Finding(name, Status.OK, f"{directory} holds {', '.join(found) or 'none of its files'}")


def state_directory(directory: Path | None) -> Finding:
    """Tell whether a flood wait would outlive a restart."""
    name = "state directory"
    if directory is None:
        return Finding(name, Status.WARNING, "SIDECAR_STATE_DIR is not set", "Set it: a restart forgets flood waits.")
    if not os.access(directory, os.W_OK | os.X_OK):
        return Finding(name, Status.FAILED, f"{directory} cannot be written to", "Mount a writable emptyDir there.")
    return Finding(name, Status.OK, f"{directory} can be written to")


def flood_wait(hold: Hold, now: float) -> Finding:
    """Tell whether an attempt is held back: by a flood wait, or by what Telegram may still hold."""
    left = hold.until - now
    if left > 0:
        what = f"no attempt is allowed for another {left:.0f} s ({hold.reason})"
        return Finding("flood wait", Status.WARNING, what, REMEDIES[hold.reason])
    return Finding("flood wait", Status.OK, "none is remembered")


def running_daemon(settings: Settings) -> Running | None:
    """Look for a daemon at the ops address of these settings."""
    host, port = address(settings.host, str(settings.port or 1))
    where = host_port(host, port)
    status, metrics = fetch(host, port, "/metrics", timeout=ANSWER_SECONDS)
    if status is None:
        try:
            socket.create_connection((host, port), timeout=ANSWER_SECONDS).close()
        except (OSError, UnicodeError):
            return None
        return Running(where, None, "it accepts connections and does not answer: a daemon that is stuck, perhaps")
    found = _SESSION_METRIC.search(metrics)
    return Running(where, found[1], ask(host, port, "/readyz", timeout=ANSWER_SECONDS).why) if found else None


def port_is_free(name: str, host: str, port: int, setting: str) -> Finding:
    """Tell whether a listener could bind there."""
    where = host_port(host, port)
    try:
        info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(info[0], socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(info[4])
    except UnicodeError:
        return Finding(name, Status.FAILED, f"{where} is no address", f"Change {setting}.")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return Finding(name, Status.FAILED, f"{where} is in use", f"Stop what listens there, or change {setting}.")
        return Finding(name, Status.FAILED, f"{where} cannot be bound: {error.strerror}", f"Change {setting}.")
    return Finding(name, Status.OK, f"{where} is free")


async def reach(facts: SessionFacts) -> Finding:
    """Try TCP to the session's data centre, and if that fails to another: it tells blocked egress from a dead one."""
    if not (own := await connects(facts.host, facts.port)):
        return Finding("network", Status.OK, f"data centre {facts.dc} can be reached")
    number, host, port = next(other for other in OTHERS[facts.ipv6] if other[1] != facts.host)
    if not (other := await connects(host, port)):
        return Finding(
            "network",
            Status.FAILED,
            f"data centre {facts.dc} cannot be reached ({own}), but data centre {number} can",
            "Wait, if it is Telegram's fault; else look for what blocks this address.",
        )
    return Finding(
        "network",
        Status.FAILED,
        f"neither data centre {facts.dc} ({own}) nor {number} ({other}) can be reached",
        "Egress is blocked: check NetworkPolicy, firewall and routes, or set SIDECAR_PROXY.",
    )


async def proxy(proxy: Proxy) -> Finding:
    """Try TCP to the proxy; what it makes of us shows when we connect through it."""
    if why := await connects(proxy.host, proxy.port):
        what = f"the {proxy.scheme} proxy at {proxy.address} cannot be reached ({why})"
        return Finding("proxy", Status.FAILED, what, "Check SIDECAR_PROXY, and the way to it.")
    return Finding("proxy", Status.OK, f"the {proxy.scheme} proxy at {proxy.address} can be reached")


async def connects(host: str, port: int) -> str:
    """Try TCP; return why it fails, or nothing."""
    try:
        async with asyncio.timeout(REACH_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return f"no answer within {REACH_SECONDS:g} s"
    except OSError as error:
        # asyncio wraps the system's own words into a sentence that repeats the address.
        return os.strerror(error.errno).lower() if error.errno else type(error).__name__
    writer.close()
    return ""
