"""For how long a contender says "connected" while it is not."""

from __future__ import annotations

from statistics import mean
from typing import TYPE_CHECKING

from bench.faults import by_fault
from bench.figure import NOTHING, Figure, Section, seconds, times

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.faults import Played

AIM_RATIO = 10
KINDS = ("ours", "loop", "naive")

_NOTES = """\
* The time, from the strike to the end of the record, in which the contender's last word was that it is connected,
  while there was no *answered connection*: no TCP connection, open on both sides, that has used the session's key and
  on which the simulator would have answered the session's next request. The simulator looks every 5 ms. The mean of the
  repeats.
* The ratios are (a) / ours and (b) / ours. What a lasting fault costs (a) grows with how long it lasts.
* These ten faults stand for the [fault matrix](reliability.md), which is played in fake time, and against ours alone.
* *Of a connection* are all but the revoked and the duplicated session. Those two are found by get_me alone, and how
  soon is a matter of how often one dares to ask: (b) asks six times as often as the others.
"""


def section(record: Sequence[Played]) -> Section:
    """Return the figures of a record."""
    data = {
        fault.name: {kind: mean(one.false_seconds for one in played[kind]) for kind in KINDS}
        for fault, played in by_fault(record)
    }
    figures = [_line(f'false "connected": {name}', falsely) for name, falsely in data.items()]
    silent = [fault.name for fault, _ in by_fault(record) if not fault.fatal]
    connection = {kind: sum(data[name][kind] for name in silent) for kind in KINDS}
    everything = {kind: sum(falsely[kind] for falsely in data.values()) for kind in KINDS}
    figures.append(_line('false "connected", sum of the faults of a connection', connection))
    figures.append(_line('false "connected", sum of all', everything, aim=AIM_RATIO))
    return Section(
        title='False "connected" seconds',
        figures=figures,
        notes=_NOTES,
        data=data,
    )


def _line(name: str, falsely: dict[str, float], aim: float | None = None) -> Figure:
    ratios = [falsely[kind] / falsely["ours"] for kind in ("loop", "naive")] if falsely["ours"] else []
    return Figure(
        name=name,
        aim=f"{aim:g} x fewer than both" if aim else "",
        ours=seconds(falsely["ours"]),
        loop=seconds(falsely["loop"]),
        naive=seconds(falsely["naive"]),
        ratio=", ".join(times(ratio) for ratio in ratios) or NOTHING,
        met=all(falsely[kind] >= aim * falsely["ours"] for kind in ("loop", "naive")) if aim else None,
    )
