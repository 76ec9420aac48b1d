"""The faults that can be switched on, each one field.

Rules of this file: data only, and every default is healthy. A lever is read at the moment of use, so a change
acts at once on live connections too, unless its description says that it concerns new ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass
class Levers:
    """What is wrong with the data centre at the moment."""

    black_hole: bool = False
    """Packets are read and counted, and nothing ever comes back: no answer, no error, no FIN of our own
    accord. Answers that fall into the hole are lost for good."""

    stop_reading: bool = False
    """Sockets are not read, so the kernel's buffers fill until the client cannot write. Like a frozen
    process, the server does nothing of its own accord either."""

    silent_accept: bool = False
    """A connection accepted while this is on is a black hole for the rest of its life."""

    answer_pings_only: bool = False
    """RPCs are counted but neither executed nor answered; pings and service messages work."""

    ignore_pings: bool = False
    """Pings are counted but not answered (a disconnect delay still counts); RPCs work."""

    latency: float = 0.0
    """Seconds of loop time between a packet and its answer. Answers never overtake each other."""

    accept_then_close: bool = False
    """A new connection gets a FIN before anything else."""

    transport_error: int | None = None
    """The first packet of a new connection is answered by this transport error (404, 429), then by a FIN."""

    clock_skew: float = 0.0
    """Seconds by which the server's clock is ahead of the injected one."""

    migrate_to: int | None = None
    """users.getUsers answers 303 USER_MIGRATE_n with this data centre."""

    lose_answers: int = 0
    """So many of the next RPCs are executed but not answered. Counts down."""

    lose_updates: int = 0
    """So many of the next updates that would be pushed never arrive, so that a client finds a gap. Counts down."""

    refuse_repeats: bool = False
    """Every repeated random_id is answered by 500 RANDOM_ID_DUPLICATE, not only while its first call is in flight."""

    garbage_on_accept: bytes = b""
    """Sent on a new connection before anything else."""

    _watchers: list[Callable[[], None]] = field(default_factory=list, init=False, repr=False, compare=False)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        for watcher in self.__dict__.get("_watchers", ()):
            watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher()` after every change, for what cannot wait for its next use."""
        self._watchers.append(watcher)

    def reset(self) -> None:
        """Put every lever back to healthy."""
        for lever in fields(self):
            if lever.init:
                setattr(self, lever.name, lever.default)

    @property
    def frozen(self) -> bool:
        """True while the server must not act of its own accord: a FIN could not leave a black hole."""
        return self.black_hole or self.stop_reading
