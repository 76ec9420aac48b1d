"""How long to wait before the next attempt. Pure functions; the randomness comes in from outside.

The rule, in prose:

* A connection that had *proven itself* (it answered one watchdog check after the first) and is then lost was most
  likely cut by something that is already over: a load balancer, a node, a restart in Telegram's data centre. The
  first retry comes at once, spread over `PROMPT_SECONDS` so that a fleet does not dial in one instant.
* Everything else is "full jitter": uniform between zero and a ceiling that doubles with every attempt. It empties a
  herd fastest for a given load (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
* The count falls back only by proof. A peer that accepts and then drops us is therefore never hammered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PROMPT_SECONDS = 0.1
"""Seconds over which the first retry after a proven connection is spread: short enough to be felt as "at once"."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """The retry policy.

    Attributes:
        base: ceiling of the first delay, in seconds.
        maximum: ceiling of every delay, in seconds.
        random: returns a float in [0, 1).
    """

    base: float
    maximum: float
    random: Callable[[], float]

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row; 0 stands for the loss of a proven connection."""
        return self.random() * self.ceiling(failures)

    def ceiling(self, failures: int) -> float:
        """Return the longest delay, in seconds, that `delay` can give after so many failures in a row."""
        if failures == 0:
            return PROMPT_SECONDS
        # Past 2**60 the product only overflows; the maximum is reached long before.
        return min(self.maximum, self.base * 2.0 ** min(failures - 1, 60))
