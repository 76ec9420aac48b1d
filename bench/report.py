"""Makes docs/benchmarks.md of sections. `page` is pure string building; the pictures are drawn by `plots`."""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figure import NOTHING
from bench.players import PYTHON
from bench.processes import ROOT, output
from sidecar import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.figure import Figure, Section

HEADER = ("figure", "aim", "ours", "(a)", "(b)", "ratio")

_ASK = """
import json, platform
from importlib.metadata import version
print(json.dumps({"Python": platform.python_version(), **{name: version(name) for name in %r}}))
"""
PACKAGES = ("Telethon", "aiohttp", "prometheus_client")

_PREAMBLE = """\
<!-- Written by `make bench`. Do not edit. -->

# Benchmarks

What the sidecar costs and gains, compared with two common ways to do without it:

* **(a)** a Telethon client with default settings that asks get_me once a minute in a loop, sets a gauge, and serves
  prometheus_client's own HTTP server;
* **(b)** a Telethon client with default settings, and a health handler that answers `is_connected()` and get_me.

Both are in [bench/contenders.py](../bench/contenders.py). All three talk real MTProto to the
[simulator](../sidecar/simulator/__init__.py) in another process of the same machine, and meet the same fault at the
same moment. Ours has its default settings, but for free ports and a directory for its Secret.

Believe the ratios; the absolute times of a shared machine are noise. Where nothing else is said, more than 1 is in our
favour. A line without an aim informs. An aim that is missed says so; [why, and what was tried](benchmarks-notes.md).
"""


@dataclass(frozen=True)
class Circumstances:
    """What the numbers depend on.

    Attributes:
        command: what was typed.
        date: when it began, in UTC.
        load: what the machine had to do before, as load average of a minute.
        machine: processor, memory, system.
        versions: of ours and of what the contenders run with.
        commit: what was measured.
    """

    command: str
    date: str
    load: float
    machine: str
    versions: str
    commit: str


async def circumstances(command: str) -> Circumstances:
    """Look at this machine."""
    cpu = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = cpu[1] if cpu else platform.machine()
    kernel = ".".join(platform.release().split(".")[:2])
    versions = {"telethon-sidecar": __version__, **json.loads(await output([PYTHON, "-c", _ASK % (PACKAGES,)]))}
    return Circumstances(
        command=command,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        load=os.getloadavg()[0],
        machine=f"{name}, {os.cpu_count()} processors, {memory:.0f} GiB, {platform.system()} {kernel}",
        versions=", ".join(f"{package} {number}" for package, number in versions.items()),
        commit=await _commit(),
    )


async def _commit() -> str:
    try:
        return (await output(["git", "-C", str(ROOT), "describe", "--always", "--dirty"])).strip()
    except (FileNotFoundError, RuntimeError):
        return "unknown"


def page(
    sections: Mapping[str, Section],
    pictures: Mapping[str, str],
    about: Circumstances,
    *,
    minutes: float,
    missing: Sequence[str] = (),
) -> str:
    """Return the page: what it was measured on, then a table and a picture for each part.

    Args:
        sections: by the part that measured them.
        pictures: paths of pictures as the page must name them, by part.
        about: what the numbers depend on.
        minutes: how long it took.
        missing: parts that were not measured, or not yet.
    """
    missed = [figure.name for section in sections.values() for figure in section.figures if figure.met is False]
    parts = [
        _PREAMBLE,
        f"* command: `{about.command}`, {minutes:.0f} minutes, at commit {about.commit}",
        f"* date: {about.date}",
        f"* machine: {about.machine}; load before: {about.load:.2f}",
        f"* versions: {about.versions}",
        f"* aims missed: {'; '.join(missed) or 'none'}",
    ]
    if missing:
        parts.append(f"* not measured in this run: {', '.join(missing)}")
    for part, section in sections.items():
        parts += ["", f"## {section.title}", "", table(section.figures), "", section.notes.rstrip()]
        if part in pictures:
            parts += ["", f"![{section.title}]({pictures[part]})"]
    return "\n".join(parts) + "\n"


def table(figures: Sequence[Figure]) -> str:
    """Return a Markdown table."""
    rows = [HEADER, ("---",) * len(HEADER), *(_row(figure) for figure in figures)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def _row(figure: Figure) -> tuple[str, ...]:
    aim = figure.aim or NOTHING
    if figure.met is not None:
        aim += ": met" if figure.met else ": **missed**"
    return (figure.name, aim, figure.ours, figure.loop, figure.naive, figure.ratio)
