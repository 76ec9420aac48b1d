"""What it costs to be connected: memory and processor when idle, and the start."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from statistics import median
from typing import TYPE_CHECKING

from bench.far import simulator
from bench.figure import NOTHING, Figure, Section, seconds, span, times
from bench.players import LOOP, NAIVE, OURS, PLAIN, playing
from bench.processes import cpu_seconds, own_bytes, resident_bytes

if TYPE_CHECKING:
    from bench.far import Far
    from bench.players import Kind, Player

MEMORY_RATIO, CPU_SHARE, LIVEZ_SECONDS, START_RATIO = 1.5, 0.003, 0.5, 1.3
KINDS = (OURS, LOOP, NAIVE, PLAIN)

_NOTES = """\
* *Plain* is a Telethon client that is connected and does nothing: no HTTP, no metrics, no get_me.
* Memory is the resident set (RSS); *own* is what is shared with no other process (USS): what one more costs. The ratios
  are ours / plain and ours / (a).
* Processor time is user and system, over one minute in which nobody asks anything; Linux counts it in steps of 10 ms,
  0.02% of that minute. Ours has pinged some 20 times, and asked get_me once. The ratio is (a) / ours.
* Starts take turns, one after the other; the median of {rounds} is given, and in brackets the least and the greatest.
  Python's bytecode is cached. The ratio is ours / (a).
"""


async def measure(*, quick: bool) -> Section:
    """Start all, in turns; then let all be idle, at the same time."""
    rounds = 2 if quick else 9
    async with simulator([kind.name for kind in KINDS]) as far:
        starts = await _starts(far, rounds)
        idle = await _idle(far, settle=2.0 if quick else 15.0, lasts=5.0 if quick else 60.0)
    return section(starts, idle)


async def _starts(far: Far, rounds: int) -> dict[str, list[float]]:
    told: dict[str, list[float]] = {"livez": [], "ours": [], "loop": [], "naive": []}
    for _ in range(rounds + 1):  # the first fills the caches, and does not count
        for kind in (OURS, LOOP, NAIVE):
            async with playing(kind, far.sessions[kind.name]) as player:
                if kind is OURS:
                    while (await player.get("/livez"))[0] != 200:
                        await asyncio.sleep(0.001)
                    told["livez"].append(time.monotonic() - player.began)
                told[kind.name].append(await player.until() - player.began)
    return {name: values[1:] for name, values in told.items()}


async def _idle(far: Far, settle: float, lasts: float) -> dict[str, dict[str, float]]:
    async with AsyncExitStack() as stack:
        players: list[tuple[Kind, Player]] = []
        for kind in KINDS:
            player = await stack.enter_async_context(playing(kind, far.sessions[kind.name]))
            players.append((kind, player))
            if kind is not PLAIN:
                await player.until()
        await asyncio.sleep(settle)
        before = {kind.name: cpu_seconds(player.pid) for kind, player in players}
        began = time.monotonic()
        await asyncio.sleep(lasts)
        elapsed = time.monotonic() - began
        return {
            kind.name: {
                "cpu": (cpu_seconds(player.pid) - before[kind.name]) / elapsed,
                "rss": resident_bytes(player.pid),
                "uss": own_bytes(player.pid),
            }
            for kind, player in players
        }


def section(starts: dict[str, list[float]], idle: dict[str, dict[str, float]]) -> Section:
    """Return the figures.

    Args:
        starts: seconds from start to connected by kind, and of ours to /livez.
        idle: the share of a core ("cpu"), resident ("rss") and own ("uss") bytes of each kind.
    """
    return Section(
        title="What it costs",
        figures=[_memory(idle), _cpu(idle), *_start(starts)],
        notes=_NOTES.format(rounds=len(starts["ours"])),
    )


def _memory(idle: dict[str, dict[str, float]]) -> Figure:
    ratio = idle["ours"]["rss"] / idle["plain"]["rss"]

    def told(kind: str) -> str:
        return f"{idle[kind]['rss'] / 2**20:.0f} MiB (own {idle[kind]['uss'] / 2**20:.0f})"

    return Figure(
        name="memory, connected and idle",
        aim=f"≤ {MEMORY_RATIO} x plain",
        ours=told("ours"),
        loop=told("loop"),
        naive=told("naive"),
        ratio=f"{ratio:.2f} x plain ({told('plain')}), {idle['ours']['rss'] / idle['loop']['rss']:.2f} x (a)",
        met=ratio <= MEMORY_RATIO,
    )


def _cpu(idle: dict[str, dict[str, float]]) -> Figure:
    share = {kind: values["cpu"] for kind, values in idle.items()}
    return Figure(
        name="CPU, connected and idle, of a core",
        aim=f"≤ {CPU_SHARE:.1%}",
        ours=f"{share['ours']:.2%}",
        loop=f"{share['loop']:.2%}",
        naive=f"{share['naive']:.2%}",
        ratio=f"{times(share['loop'] / share['ours']) if share['ours'] else NOTHING}; plain: {share['plain']:.2%}",
        met=share["ours"] <= CPU_SHARE,
    )


def _start(starts: dict[str, list[float]]) -> list[Figure]:
    middle = {name: median(values) for name, values in starts.items()}
    ratio = middle["ours"] / middle["loop"]
    return [
        Figure(
            name="start to /livez 200",
            aim=f"≤ {LIVEZ_SECONDS} s",
            ours=_middle(starts["livez"]),
            met=middle["livez"] <= LIVEZ_SECONDS,
        ),
        Figure(
            name="start to connected",
            aim=f"≤ {START_RATIO} x (a)",
            ours=_middle(starts["ours"]),
            loop=_middle(starts["loop"]),
            naive=_middle(starts["naive"]),
            ratio=f"{ratio:.2f} x (a)",
            met=ratio <= START_RATIO,
        ),
    ]


def _middle(values: list[float]) -> str:
    return f"{seconds(median(values))} ({span(values)})"
