"""Plays every fault against all contenders, and records what each said and what was true.

A *cell* is one fault: a simulator of its own, and one process of each contender against it. All cells run at the same
time, for they mostly wait; the moments at which they strike are spread.

Rules of this file: it plays and records. What the record means is for `notice`, `recover` and `truth`.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.far import Far, simulator
from bench.players import ALL, NAIVE, OURS, PROBE_TIMEOUT, Player, playing
from bench.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

PROVEN_SECONDS = 70.0
"""From connected to struck: by then ours has answered one check after the first (60 s, 10 % later at most), and the
next is due at a random moment."""

APART_SECONDS = 8.0
"""Between the strikes of two cells, so that what takes milliseconds is not measured while others are busy too: the
close look at one is over when the next is struck."""

CLOSE_LOOK_SECONDS = 7.0
"""After a strike, and after a fault's end, for which the contenders are asked more often: what is lost may be back
within a tenth of a second."""

CLOSE_LOOK_EVERY = 0.02
AT_A_TIME = 2
"""Cells that are being started at once: each is four processes, and the last is not to wait for a minute."""

LATE_SECONDS = 1.0
"""By which a "no" may come late, on a busy machine, and still be about the connection that was lost."""

CONNECTED_WITHIN = 120.0
"""Seconds that all must say within that they are connected, before a strike: one late answer on a busy machine is no
fault."""

_GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it are spread evenly between whole numbers: the moments between two probes at which cells strike."""


@dataclass(frozen=True)
class Fault:
    """Something that befalls a connection.

    Attributes:
        name: in tables.
        strike: makes it happen, and returns the moment.
        lasts: seconds until it is mended; 0 if it is over in the instant in which it strikes.
        mend: ends it, and returns the moment.
        watch: seconds that are recorded after that.
        fatal: whether a person must replace the session.
        silent: whether nothing tells of it: it is found only by asking.
    """

    name: str
    strike: Callable[[Far], Awaitable[float]]
    lasts: float = 0.0
    mend: Callable[[Far], Awaitable[float]] | None = None
    watch: float = 70.0
    fatal: bool = False
    silent: bool = False


def _strike(command: str) -> Callable[[Far], Awaitable[float]]:
    async def strike(far: Far) -> float:
        return float((await far.do(command))["began"])

    return strike


def _mend(command: str) -> Callable[[Far], Awaitable[float]]:
    async def mend(far: Far) -> float:
        return float((await far.do(command))["done"])

    return mend


def _outage(seconds: float) -> Fault:
    return Fault(f"outage of {seconds:g} s", _strike("outage on"), seconds, _mend("outage off"))


FAULTS = (
    Fault("closed (FIN)", _strike("close"), watch=20),
    Fault("reset (RST)", _strike("reset"), watch=20),
    Fault("black hole: this connection", _strike("silence"), watch=150, silent=True),
    Fault("black hole: the server, for 150 s", _strike("black_hole on"), 150, _mend("black_hole off"), silent=True),
    Fault("server frozen (SIGSTOP), for 150 s", Far.freeze, 150, Far.thaw, silent=True),
    Fault("session revoked", _strike("revoke"), 90, watch=20, fatal=True),
    Fault("session duplicated", _strike("duplicate"), 90, watch=20, fatal=True),
    _outage(1),
    _outage(10),
    _outage(60),
)


@dataclass(frozen=True)
class Played:
    """What one contender said under one fault, and what was true. Times in seconds of the monotonic clock.

    Attributes:
        struck, mended: when the fault began, and when a new connection would be answered again: at once, where it ends
            with the strike; with a new session, where it is fatal.
        until: when the record ends.
        says: when the contender said that it is connected.
        truth: when it had a connection that was answered.
    """

    fault: Fault
    kind: str
    struck: float
    mended: float
    until: float
    says: Timeline
    truth: Timeline

    @property
    def noticed(self) -> float | None:
        """Seconds from the strike until it no longer said that it is connected; None if it said so all the time."""
        moment = self.says.first(False, after=self.struck, before=self.struck + self.dead + LATE_SECONDS)
        return None if moment is None else moment - self.struck

    @property
    def dead(self) -> float:
        """Seconds from the strike until there was an answered connection again, or to the end of the record."""
        up = self.truth.first(True, after=self._down, before=self.until)
        return (self.until if up is None else up) - self.struck

    @property
    def recovered(self) -> float | None:
        """Seconds until it said so, and it was true, from when a new connection would be answered and it knew of it."""
        return self._connected_since(max(self.mended, self.struck + (self.noticed or 0.0)))

    @property
    def back(self) -> float | None:
        """The same, from when a new connection would be answered, whether it knew of it or not."""
        return self._connected_since(self.mended)

    def _connected_since(self, begin: float) -> float | None:
        moment = self.says.and_also(self.truth).first(True, after=max(begin, self._down), before=self.until)
        return None if moment is None else moment - begin

    @property
    def _down(self) -> float:
        """When the strike took effect, which the simulator sees only when it looks."""
        down = self.truth.first(False, after=self.struck, before=self.until)
        return self.struck if down is None else down

    @property
    def false_seconds(self) -> float:
        """Seconds in which it said that it is connected, and was not."""
        return self.says.but_not(self.truth).seconds(self.struck, self.until)


def by_fault(record: Iterable[Played]) -> list[tuple[Fault, dict[str, list[Played]]]]:
    """Sort a record by fault and contender."""
    sorted_out: dict[Fault, dict[str, list[Played]]] = {}
    for played in record:
        sorted_out.setdefault(played.fault, {}).setdefault(played.kind, []).append(played)
    return list(sorted_out.items())


async def play(*, repeats: int, quick: bool) -> list[Played]:
    """Play every fault so many times, all at once, and return the records."""
    faults = [_shortened(fault) for fault in FAULTS] if quick else list(FAULTS)
    cells = [fault for fault in faults for _ in range(repeats)]
    order = sorted(range(len(cells)), key=lambda number: -cells[number].lasts - cells[number].watch)
    warm, apart = (3.0, 1.0) if quick else (PROVEN_SECONDS, APART_SECONDS)
    starting, ready, all_ready = asyncio.Semaphore(AT_A_TIME), [0], asyncio.Event()

    async def one(number: int, fault: Fault) -> list[Played]:
        async with AsyncExitStack() as stack:
            async with starting:
                far = await stack.enter_async_context(simulator([kind.name for kind in ALL]))
                players = []
                for kind in ALL:
                    player = await stack.enter_async_context(playing(kind, far.sessions[kind.name]))
                    await player.until(every=0.2)
                    players.append(player)
            ready[0] += 1
            if ready[0] == len(cells):
                all_ready.set()
            await all_ready.wait()
            await asyncio.sleep(warm + apart * order.index(number))  # the longest first
            return await _cell(fault, far, players, phase=number * _GOLDEN % 1)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number, fault)) for number, fault in enumerate(cells)]
    return [played for task in tasks for played in task.result()]


def _shortened(fault: Fault) -> Fault:
    return replace(fault, lasts=fault.lasts / 10, watch=fault.watch / 5)


async def _cell(fault: Fault, far: Far, players: list[Player], phase: float) -> list[Played]:
    look_closely_until = [0.0]
    said: dict[str, list[tuple[float, bool]]] = {player.kind.name: [] for player in players}
    async with asyncio.TaskGroup() as group:
        watches = [group.create_task(_watch(player, said[player.kind.name], look_closely_until)) for player in players]
        await asyncio.sleep(PROBE_TIMEOUT + phase * NAIVE.every)  # everybody has said something by now
        look_closely_until[0] = time.monotonic() + CLOSE_LOOK_SECONDS + 1
        await asyncio.sleep(1)
        async with asyncio.timeout(CONNECTED_WITHIN):
            while not all(changes[-1][1] for changes in said.values()):
                await asyncio.sleep(1)
        struck = mended = await fault.strike(far)
        if fault.mend:
            await asyncio.sleep(fault.lasts)
            mended = await fault.mend(far)
        elif fault.fatal:
            await asyncio.sleep(fault.lasts)
            mended = await _replace_session(far, players)
        look_closely_until[0] = time.monotonic() + CLOSE_LOOK_SECONDS
        await asyncio.sleep(fault.watch)
        for watch in watches:
            watch.cancel()
    until, truth = time.monotonic(), await far.truth()
    return [
        Played(fault, name, struck, mended, until, Timeline(tuple(changes)), truth[name])
        for name, changes in said.items()
    ]


async def _replace_session(far: Far, players: list[Player]) -> float:
    """Do what a person does: ours takes the new session from its Secret; the others would have to be restarted."""
    for player in players:
        if player.kind is OURS:
            player.mount((await far.do(f"replace {player.kind.name}"))["session"])
    return time.monotonic()


async def _watch(player: Player, said: list[tuple[float, bool]], closely_until: list[float]) -> None:
    while True:
        value = await player.says()
        if not said or said[-1][1] != value:
            said.append((time.monotonic(), value))
        closely = time.monotonic() < closely_until[0] and player.kind.every < 1
        await asyncio.sleep(CLOSE_LOOK_EVERY if closely else player.kind.every)
