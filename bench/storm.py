"""What a contender does to a server that accepts every connection and closes it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from bench.far import Far, simulator
from bench.faults import PROVEN_SECONDS
from bench.figure import NOTHING, Figure, Section, times
from bench.players import LOOP, NAIVE, OURS, Player, playing
from bench.processes import cpu_seconds

KINDS = (OURS, OURS, OURS, LOOP, NAIVE)
AIM_ATTEMPTS = 15

_NOTES = """\
* Three of ours, (a) and (b), each against a simulator of its own, in the same minute. (a) and (b) are held back only by
  the processors, which they share here.
* The ratios are (a) / ours, the worst of ours.
"""


async def measure(*, quick: bool) -> Section:
    """Let all be connected and proven, then accept and close for a minute, at all of them at the same time."""
    proven, minute = (1.0, 6.0) if quick else (PROVEN_SECONDS, 60.0)
    async with AsyncExitStack() as stack:
        fars, players = [], []
        for kind in KINDS:
            far = await stack.enter_async_context(simulator([kind.name]))
            player = await stack.enter_async_context(playing(kind, far.sessions[kind.name]))
            await player.until()
            fars.append(far)
            players.append(player)
        await asyncio.sleep(proven)
        before = await _count(fars, players)
        for far in fars:
            await far.do("accept_then_close on")
        for far in fars:
            await far.do("close")
        await asyncio.sleep(minute)
        after = await _count(fars, players)
    changes = [(late[0] - early[0], late[1] - early[1]) for early, late in zip(before, after, strict=True)]
    return section([attempts for attempts, _ in changes], [spent / minute for _, spent in changes])


async def _count(fars: list[Far], players: list[Player]) -> list[tuple[int, float]]:
    """Return the connections and the seconds of processor time up to now, of each."""
    return [
        ((await far.do("counts"))["accepted"], cpu_seconds(player.pid))
        for far, player in zip(fars, players, strict=True)
    ]


def section(attempts: list[int], cpu: list[float]) -> Section:
    """Return the figures.

    Args:
        attempts: connections that each of `KINDS` made in a minute.
        cpu: the share of a core that each of them took.
    """
    *ours, loop, naive = attempts
    *our_cpu, loop_cpu, naive_cpu = cpu
    return Section(
        title="A server that accepts and closes",
        figures=[
            Figure(
                name="connection attempts in the first minute of accept-then-close",
                aim=f"≤ {AIM_ATTEMPTS}",
                ours=", ".join(map(str, ours)),
                loop=str(loop),
                naive=str(naive),
                ratio=times(loop / max(ours)) if max(ours) else NOTHING,
                met=0 < max(ours) <= AIM_ATTEMPTS,
            ),
            Figure(
                name="CPU meanwhile, of a core",
                ours=f"{max(our_cpu):.1%}",
                loop=f"{loop_cpu:.0%}",
                naive=f"{naive_cpu:.0%}",
                ratio=times(loop_cpu / max(our_cpu)) if max(our_cpu) else NOTHING,
            ),
        ],
        notes=_NOTES,
        data={"ours": ours, "loop": [loop], "naive": [naive]},
    )
