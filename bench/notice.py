"""How long a contender goes on saying "connected" after a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contenders import LOOP_SECONDS
from bench.faults import CLOSE_LOOK_EVERY, CLOSE_LOOK_SECONDS, by_fault
from bench.figure import NOTHING, Figure, Section, seconds, span, times
from bench.players import NAIVE, OURS, PROBE_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.faults import Played

AIM_SECONDS = 6.5
"""For silence: a ping every 3 s, 3 s for its answer, and what it takes to see that from outside."""

HIDDEN_SECONDS = 1.5
"""A contender that reconnects within this many seconds need not have said anything."""

_NOTES = f"""\
* From the strike until the contender no longer says that it is connected. Ours and (a) are asked every
  {OURS.every:g} s, and for {CLOSE_LOOK_SECONDS:g} s after a strike every {CLOSE_LOOK_EVERY:g} s. (b) asks Telegram
  whenever it is asked, so it is asked every {NAIVE.every:g} s, as Kubernetes does by default, and stands by its answer
  in between: its times are mostly those of the moment at which it is asked next. No answer within {PROBE_TIMEOUT:g} s
  is a no.
* *Never* means that it went on saying so; in brackets, how long it was dead before it had an answered connection again,
  or the record ended. The ratio, the best time of (a) by the worst of ours, then counts that time: it is a lower bound.
* *Not said* means that it had a new connection within {HIDDEN_SECONDS:g} s, and need not have said anything: no ratio.
* (a) sets no time limit for get_me, as people write it; one of 10 s would let it notice silence at its next turn, after
  up to {LOOP_SECONDS + 10} s.
* A revoked or duplicated session is found by asking get_me alone: ours and (a) ask once a minute, (b) every 10 s, which
  costs Telegram six times as much, and earns flood waits.
"""


def section(record: Sequence[Played]) -> Section:
    """Return the figures of a record."""
    figures, data = [], {}
    repeats = 0
    for fault, played in by_fault(record):
        ours, loop, naive = (played[kind] for kind in ("ours", "loop", "naive"))
        repeats = len(ours)
        worst = max(one.noticed if one.noticed is not None else one.dead for one in ours)
        best_of_loop = min(one.noticed if one.noticed is not None else one.dead for one in loop)
        figures.append(
            Figure(
                name=f"time to notice: {fault.name}",
                aim=f"≤ {AIM_SECONDS} s" if fault.silent else "",
                ours=_told(ours),
                loop=_told(loop),
                naive=_told(naive),
                ratio=f"{'> ' * _never(loop)}{times(best_of_loop / worst)}"
                if best_of_loop > HIDDEN_SECONDS
                else NOTHING,
                met=not _never(ours) and worst <= AIM_SECONDS if fault.silent else None,
            )
        )
        data[fault.name] = {kind: [[one.noticed, one.dead] for one in them] for kind, them in played.items()}
    return Section(
        title="Time to notice",
        figures=figures,
        notes=f"* Each fault is played {repeats} times; least and greatest are given.\n{_NOTES}",
        data=data,
    )


def _never(played: Sequence[Played]) -> bool:
    return any(one.noticed is None for one in played)


def _told(played: Sequence[Played]) -> str:
    noticed = [one.noticed for one in played if one.noticed is not None]
    if len(noticed) == len(played):
        return span(noticed)
    dead = max(one.dead for one in played if one.noticed is None)
    never = f"not said (back in {seconds(dead)})" if dead < HIDDEN_SECONDS else f"never (dead {seconds(dead)})"
    return f"{span(noticed)}; {never}" if noticed else never
