"""Many daemons on one machine: what each costs, and how they come back after the server was away."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from statistics import median
from typing import TYPE_CHECKING

from bench.far import simulator
from bench.figure import Figure, Section, span
from bench.players import LOOP, OURS, playing
from bench.processes import cpu_seconds, own_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.players import Kind, Player

WINDOW_SECONDS = 30.0
"""SIDECAR_BACKOFF_MAX: after a minute without a server, every daemon waits up to this long between two attempts."""

SPREAD, LINEAR, CROWD = 0.8, 1.2, 0.2
"""The spread that is wanted, of the window; by how much the last daemon may cost more than the first; and the share of
the fleet that may come within one second, where even chances would bring about a tenth."""

AT_A_TIME = 4
"""Processes that are being started at once."""

RETURNS = 3
"""Times that the server goes away and comes back: the last of fifty even chances is late by luck."""

LOOK_SECONDS = 0.02

_NOTES = """\
* {size} daemons and one simulator on this machine, and {size} of (a) for the return, all against one server, that
  refuses connections for {outage:g} s, {returns} times; what is judged is the median of these. Processor time of each
  daemon is over {rest:g} s in which nobody asks anything.
* Telethon tries every second, and gives up after some 35 s; the loop of (a) then connects again at its next turn, so
  its return is spread by when each of them was started.
"""


async def measure(*, quick: bool) -> Section:
    """Start a fleet in steps and look at its cost; then take the server away for a minute, and watch the return."""
    steps = (2, 4) if quick else (10, 25, 50)
    rest, outage, watched = (2.0, 3.0, 5.0) if quick else (20.0, 60.0, 65.0)
    names = {kind: [f"{kind.name}-{number}" for number in range(steps[-1])] for kind in (OURS, LOOP)}
    async with AsyncExitStack() as stack:
        far = await stack.enter_async_context(simulator([*names[OURS], *names[LOOP]], look_every=LOOK_SECONDS))

        async def start(kind: Kind, wanted: Sequence[str]) -> list[Player]:
            turns = asyncio.Semaphore(AT_A_TIME)

            async def one(name: str) -> Player:
                async with turns:
                    player = await stack.enter_async_context(playing(kind, far.sessions[name]))
                    await player.until(every=0.1)
                    return player

            return list(await asyncio.gather(*(one(name) for name in wanted)))

        fleet: list[Player] = []
        costs = []
        for size in steps:
            fleet += await start(OURS, names[OURS][len(fleet) : size])
            await asyncio.sleep(rest / 4)
            costs.append(await _cost(fleet, rest))
        await start(LOOP, names[LOOP])
        since: dict[str, list[list[float]]] = {kind.name: [] for kind in names}
        for _ in range(RETURNS):
            await far.do("outage on")
            await asyncio.sleep(outage)
            returned = (await far.do("outage off"))["done"]
            await asyncio.sleep(watched)
            truth = await far.truth()
            for kind, named in names.items():
                back = (truth[name].first(True, after=returned, before=returned + watched) for name in named)
                since[kind.name].append(sorted(when - returned for when in back if when))
        overlaps = (await far.do("counts"))["overlaps"]
    worst = {kind.name: max(overlaps[name] for name in names[kind]) for kind in names}
    return section(
        costs,
        since,
        worst,
        size=steps[-1],
        notes=_NOTES.format(size=steps[-1], outage=outage, rest=rest, returns=RETURNS),
    )


async def _cost(fleet: Sequence[Player], lasts: float) -> dict[str, float]:
    began, before = time.monotonic(), sum(cpu_seconds(one.pid) for one in fleet)
    await asyncio.sleep(lasts)
    elapsed = time.monotonic() - began
    return {
        "size": len(fleet),
        "cpu": (sum(cpu_seconds(one.pid) for one in fleet) - before) / elapsed / len(fleet),
        "uss": sum(own_bytes(one.pid) for one in fleet) / len(fleet),
    }


def section(
    costs: list[dict[str, float]],
    since: dict[str, list[list[float]]],
    overlaps: dict[str, int],
    *,
    size: int,
    notes: str,
) -> Section:
    """Return the figures.

    Args:
        costs: what each daemon of a fleet of a size took of a core ("cpu") and of memory ("uss").
        since: when each daemon of a kind was back, in order, after each return: seconds after the server was.
        overlaps: the most connections that any session of a kind had at a time, beyond one.
        size: how many there are of each kind.
        notes: what a reader must know.
    """
    first, last = costs[0], costs[-1]
    ratio = max(last["uss"] / first["uss"], last["cpu"] / max(first["cpu"], 1e-4))
    ours, loop = since["ours"], since["loop"]
    spreads = [(moments[-1] - moments[0]) / WINDOW_SECONDS if moments else 0.0 for moments in ours]
    whole = all(len(moments) == size for moments in ours)
    crowds = {kind: [_crowd(moments) for moments in returns] for kind, returns in since.items()}
    return Section(
        title="A fleet",
        figures=[
            Figure(
                name="cost of each of so many daemons",
                aim=f"linear: ≤ {LINEAR} x",
                ours="; ".join(
                    f"{cost['size']:.0f}: {cost['uss'] / 2**20:.0f} MiB own, {cost['cpu']:.2%} of a core"
                    for cost in costs
                ),
                ratio=f"{ratio:.2f} x from {first['size']:.0f} to {last['size']:.0f}",
                met=ratio <= LINEAR,
            ),
            Figure(
                name=f"{size} reconnect after the server restarts: first to last",
                aim=f"spread ≥ {SPREAD:.0%} of {WINDOW_SECONDS:g} s",
                ours=_told(ours, size),
                loop=_told(loop, size),
                ratio=f"{', '.join(f'{spread:.1%}' for spread in spreads)} of the window",
                met=whole and median(spreads) >= SPREAD,
            ),
            Figure(
                name="... most of them within one second",
                aim=f"no herd: ≤ {CROWD * size:.0f}",
                ours=", ".join(map(str, crowds["ours"])),
                loop=", ".join(map(str, crowds["loop"])),
                met=whole and median(crowds["ours"]) <= CROWD * size,
            ),
            Figure(
                name="... most connections of one session at a time, beyond one",
                aim="0",
                ours=str(overlaps["ours"]),
                loop=str(overlaps["loop"]),
                met=overlaps["ours"] == 0,
            ),
        ],
        notes=notes,
        data=since | {"size": size},
    )


def _crowd(moments: list[float]) -> int:
    """Return the most that come within one second."""
    return max((sum(0 <= other - one < 1 for other in moments) for one in moments), default=0)


def _told(returns: list[list[float]], size: int) -> str:
    return "; ".join(
        f"{span(moments)} ({len(moments)} of {size})" if moments else f"none of {size}" for moments in returns
    )
