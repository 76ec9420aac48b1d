"""How long a contender takes to be connected again, once it could be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.faults import by_fault
from bench.figure import NOTHING, Figure, Section, span, times

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.faults import Fault, Played

AT_ONCE_SECONDS, AFTER_OUTAGE_SECONDS = 0.25, 30.0

_NOTES = """\
* From the moment in which a new connection would be answered (or in which the contender noticed, if that was later)
  until it says that it is connected, and is. Least and greatest are given. The simulator looks every 5 ms at what is,
  so 0 ms is anything below.
* The ratio, the worst time of (a) by the worst of ours, counts from when a new connection would be answered, for both:
  who does not notice does not recover either.
* Telethon dials at once, and then every second; ours waits up to 0.1 s after a connection that had proven itself, and
  up to 30 s in a long outage, so that a fleet does not come back as a herd.
* After a revoked or duplicated session, ours takes the new one from its secret file; the others have to be restarted by
  a person.
"""


def section(record: Sequence[Played]) -> Section:
    """Return the figures of a record."""
    figures = []
    for fault, played in by_fault(record):
        ours, loop = ([one.back for one in played[kind] if one.back is not None] for kind in ("ours", "loop"))
        known = [one.recovered for one in played["ours"] if one.recovered is not None]
        all_back = len(known) == len(played["ours"])
        aim = None if fault.fatal else _aim(fault)
        comparable = all_back and len(loop) == len(played["loop"]) and max(ours) > 0
        figures.append(
            Figure(
                name=f"time to recover: {fault.name}",
                aim="" if aim is None else f"≤ {aim:g} s",
                ours=_told(fault, played["ours"]),
                loop=_told(fault, played["loop"]),
                naive=_told(fault, played["naive"]),
                ratio=times(max(loop) / max(ours)) if comparable else NOTHING,
                met=None if aim is None else all_back and max(known) <= aim,
            )
        )
    return Section(title="Time to recover", figures=figures, notes=_NOTES)


def _aim(fault: Fault) -> float:
    return AFTER_OUTAGE_SECONDS if fault.lasts else AT_ONCE_SECONDS


def _told(fault: Fault, played: Sequence[Played]) -> str:
    known = [one.recovered for one in played if one.recovered is not None]
    if len(known) == len(played):
        return span(known)
    watched = max(one.until - one.mended for one in played)
    never = "restart by hand" if fault.fatal else f"not within {watched:.0f} s"
    return f"{span(known)}; {never}" if known else never
