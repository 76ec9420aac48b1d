"""When something was so: the arithmetic of what is said and what is true. Pure; seconds of one monotonic clock."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Timeline:
    """A yes or no that changes.

    Attributes:
        changes: (second, value) in order of time; before the first it is no.
    """

    changes: tuple[tuple[float, bool], ...]

    def at(self, second: float) -> bool:
        """Return the value at a moment."""
        index = bisect_right([when for when, _ in self.changes], second)
        return index > 0 and self.changes[index - 1][1]

    def first(self, value: bool, *, after: float, before: float) -> float | None:
        """Return the first moment of a span at which the value was this; None if it never was."""
        if self.at(after) == value:
            return after
        return next((when for when, is_so in self.changes if after < when <= before and is_so == value), None)

    def seconds(self, begin: float, end: float) -> float:
        """Return for how long it was yes, in a span."""
        cuts = [begin, *(when for when, _ in self.changes if begin < when < end), end]
        return sum(till - since for since, till in pairwise(cuts) if self.at(since))

    def but_not(self, other: Timeline) -> Timeline:
        """Return when this was so and the other was not."""
        return _combined(self, other, lambda this, that: this and not that)

    def and_also(self, other: Timeline) -> Timeline:
        """Return when both were so."""
        return _combined(self, other, lambda this, that: this and that)

    def except_during(self, begin: float, end: float) -> Timeline:
        """Return the same, but no during a span."""
        return self.but_not(Timeline(((begin, True), (end, False))))


def _combined(this: Timeline, that: Timeline, rule: Callable[[bool, bool], bool]) -> Timeline:
    moments = sorted({when for when, _ in (*this.changes, *that.changes)})
    return Timeline(tuple((when, rule(this.at(when), that.at(when))) for when in moments))
