"""What a part of the benchmark hands back: figures for the table, and numbers for the plots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTHING = "–"  # noqa: RUF001 - a dash, for "does not apply"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table, in words.

    Attributes:
        name: what was measured.
        aim: what it should be; empty where the line only informs.
        ours, loop, naive: what the sidecar and the contenders (a) and (b) did.
        ratio: how many times as well as (a) we do, or what the aim compares.
        met: whether the aim is met; None without an aim, or where it was not measured.
    """

    name: str
    aim: str = ""
    ours: str
    loop: str = NOTHING
    naive: str = NOTHING
    ratio: str = NOTHING
    met: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Section:
    """The figures of one group.

    Attributes:
        title: a heading.
        figures: the lines.
        notes: what a reader must know to trust them: a list in Markdown.
        data: numbers, as JSON has them, by name: what the plots show, and nothing where none does.
    """

    title: str
    figures: list[Figure]
    notes: str = ""
    data: dict[str, Any] = field(default_factory=dict)


def seconds(value: float) -> str:
    """Write a duration with about two significant digits."""
    if value < 0.1:
        return f"{1000 * value:.0f} ms"
    return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"


def span(values: Sequence[float]) -> str:
    """Write durations: one, or the least and the greatest."""
    least, greatest = seconds(min(values)), seconds(max(values))
    return least if least == greatest else f"{least} to {greatest}"


def times(ratio: float) -> str:
    """Write a ratio with two significant digits; one that is too small to mean more than "hardly any" says so."""
    return "< 0.01 x" if ratio < 0.01 else f"{float(f'{ratio:.2g}'):g} x"
