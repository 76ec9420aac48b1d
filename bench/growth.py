"""Whether anything grows with the number of checks and reconnects: in fake time, so that years take minutes.

    python -m bench.growth ours|loop CHECKS RECONNECTS    prints what it counted, as JSON

Ours is the real keeper with its metrics and log; (a) is its own loop and gauge. Both talk real TCP to the simulator in
the same event loop, whose clock jumps to whatever is due next.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY
from telethon import TelegramClient
from telethon.sessions import StringSession

from bench.contenders import LOOP_SECONDS, ask_for_ever
from bench.figure import Figure, Section
from bench.processes import output
from sidecar.simulator import DataCentre
from tests.fake_time import in_fake_time
from tests.rig import API_HASH, Rig
from tests.soak import log_to_nowhere

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from sidecar.simulator import Session

COUNTS = 11
"""Counts of each phase; the first, when the warm-up is over, and the last are compared."""

WARM_UP = COUNTS - 1
"""The warm-up of a phase is one in so many of its checks or reconnects, as many as come between two counts: then caches
are full, garbage that waits for its collector has been as much as it will be, and what still grows is a leak."""

RESIDENT_NOISE, BLOCKS_OF_CACHES, BLOCKS_EACH = 1.0, 400, 0.02
"""What passes for 0: MiB of the resident set, which the allocator keeps or gives back; blocks of Python's allocator,
which caches take now and then; and as many more for each check or reconnect."""

QUICK_CHECKS = {"ping_interval": 60.0, "watchdog_interval": 4.0, "watchdog_timeout": 3.0}
"""Ours checks often here, and pings as seldom as Telethon does: what comes between two checks only costs time."""

KINDS = ("ours", "loop")

_NOTES = f"""\
* After a warm-up of one tenth as many. A block is one of Python's allocator; the smallest object needs one. Up to
  {RESIDENT_NOISE:g} MiB, and {BLOCKS_OF_CACHES} blocks with {BLOCKS_EACH:g} for each check or reconnect, pass for 0.
  Client and simulator share the process, so what the simulator holds counts too.
* In fake time, and in the benchmark's own Python environment. Ours is the keeper with its metrics and log, without the
  listeners, which `pytest tests/test_hostile_http.py` measures; `make soak` plays all other faults in the same way.
"""


async def measure(*, quick: bool) -> Section:
    """Run both in processes of their own, at the same time."""
    checks, reconnects = (1_000, 100) if quick else (100_000, 10_000)
    told = dict(zip(KINDS, await asyncio.gather(*(_process(kind, checks, reconnects) for kind in KINDS)), strict=True))
    return section(told)


def section(told: dict[str, dict[str, list[dict[str, float]]]]) -> Section:
    """Return the figures.

    Args:
        told: what was counted, in order, by kind and phase.
    """
    figures = []
    for phase in ("checks", "reconnects"):
        grown = {kind: _growth(told[kind][phase]) for kind in KINDS}
        ours = grown["ours"]
        figures.append(
            Figure(
                name=f"growth over {ours['done']:.0f} {phase}: memory; blocks; tasks; series",
                aim="0",
                ours=_told(ours),
                loop=_told(grown["loop"]),
                met=ours["rss"] <= RESIDENT_NOISE
                and ours["blocks"] <= BLOCKS_OF_CACHES + BLOCKS_EACH * ours["done"]
                and ours["tasks"] <= 0
                and ours["series"] <= 0,
            )
        )
    return Section(title="Growth", figures=figures, notes=_NOTES, data=told)


def _growth(counts: list[dict[str, float]]) -> dict[str, float]:
    return {name: counts[-1][name] - counts[0][name] for name in counts[0]}


def _told(grown: dict[str, float]) -> str:
    return f"{grown['rss']:+.1f} MiB; {grown['blocks']:+.0f}; {grown['tasks']:+.0f}; {grown['series']:+.0f}"


async def _process(kind: str, checks: int, reconnects: int) -> dict[str, Any]:
    words = [sys.executable, "-m", "bench.growth", kind, str(checks), str(reconnects)]
    told: dict[str, Any] = json.loads(await output(words))
    return told


# ------------------------------------------------------------------------------------------------- in the process


class Run:
    """One keeper of a session, whichever, and how to count what it holds.

    Whoever watches it must forget again and again: a heap that once grew does not shrink.
    """

    def __init__(
        self, dc: DataCentre, session: Session, registry: CollectorRegistry, forget: Callable[[], None]
    ) -> None:
        self._dc = dc
        self._session = session
        self._registry = registry
        self._forget = forget

    def count(self, done: int) -> dict[str, float]:
        """Collect the garbage, then count."""
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return {
            "done": done,
            "rss": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
            "blocks": sys.getallocatedblocks(),
            "tasks": len(asyncio.all_tasks()),
            "series": sum(len(family.samples) for family in self._registry.collect()),
        }

    async def checks(self, wanted: int, counted: int = COUNTS) -> list[dict[str, float]]:
        """Let time pass until so many checks were answered."""

        def answered() -> int:
            return self._dc.requests["users.getUsers"]

        before, counts = answered(), []
        for part in range(counted):
            while answered() - before < part * wanted // (counted - 1):
                await asyncio.sleep(LOOP_SECONDS)
                self._forget()
            counts.append(self.count(answered() - before))
        return counts

    async def reconnects(self, wanted: int, counted: int = COUNTS) -> list[dict[str, float]]:
        """Close the connection so many times, each time it is back."""
        counts, done = [], 0
        for part in range(counted):
            while done < part * wanted // (counted - 1):
                accepted = self._dc.accepted
                self._dc.close_all()
                while self._dc.accepted == accepted or not self._session.answered:
                    await asyncio.sleep(1)
                self._forget()
                done += 1
            counts.append(self.count(done))
        return counts


async def _ours(checks: int, reconnects: int, directory: Path) -> dict[str, Any]:
    async with DataCentre(rng=random.Random(1)) as dc:  # noqa: S311 - keys of a simulator
        rig = Rig(dc, directory / "secrets")
        await rig.connected(**QUICK_CHECKS)
        try:
            # What the rig remembers of events is not in question.
            return await _both(Run(dc, rig.session, rig.registry, rig.events.clear), checks, reconnects)
        finally:
            await rig.stop()


async def _loop(checks: int, reconnects: int, _: Path) -> dict[str, Any]:
    async with DataCentre(rng=random.Random(1)) as dc:  # noqa: S311
        session = dc.create_session()
        client = TelegramClient(StringSession(session.string), 1, API_HASH)
        asking = asyncio.create_task(ask_for_ever(client))
        try:
            return await _both(Run(dc, session, REGISTRY, lambda: None), checks, reconnects)
        finally:
            asking.cancel()
            await client.disconnect()


async def _both(run: Run, checks: int, reconnects: int) -> dict[str, Any]:
    counts = {}
    for phase, wanted in ((run.checks, checks), (run.reconnects, reconnects)):
        await phase(wanted // WARM_UP, counted=2)  # at its ends: a count collects the garbage that is to pile up
        counts[phase.__name__] = await phase(wanted)
    return counts


def _main(kind: str, checks: int, reconnects: int) -> None:
    logging.getLogger("telethon").setLevel(logging.CRITICAL)
    run = {"ours": _ours, "loop": _loop}[kind]
    with TemporaryDirectory() as directory, log_to_nowhere():
        print(json.dumps(in_fake_time(lambda: run(checks, reconnects, Path(directory)))))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
