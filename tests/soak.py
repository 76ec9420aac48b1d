"""The soak: thousands of faults and a simulated month, after which nothing may have grown.

    python -m tests.soak --cycles 5000 --days 30

Everything is real but the peer and the time: the manager, Telethon, TCP on loopback, the log pipeline, the metrics.
What is counted is counted after a full garbage collection, when the warm-up is over and at every tenth of the way.
What is compared is the middle and the end: by then every cache is full, so that what still grows is a leak.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import random
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from telethon import TelegramClient
from telethon.network import MTProtoSender

from sidecar.log import set_up
from sidecar.redact import Redactor
from sidecar.settings import Settings
from sidecar.simulator import DataCentre
from sidecar.state import State
from tests.fake_time import in_fake_time
from tests.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from sidecar.simulator import Session

DAY = 86_400
ACCOUNTS = 4
"""Sessions that credentials changes go around."""

QUIET_WARM_UP = 4_000.0
"""Seconds: longer than every history that Telethon and the simulator keep of a connection takes to be full."""

LONGEST_CYCLE = 1_000.0
"""Seconds of loop time in which a fault is over, come what may: the waits that faults ask for, and then some."""

ALLOWED_BLOCKS = 400
BLOCKS_PER_CYCLE, BLOCKS_PER_DAY = 0.1, 100.0
"""Blocks of Python's allocator by which the second half may grow: what caches do, and far less than one a cycle, or one
a check (of which a day has 1440)."""

ALLOWED_RSS = 8 << 20
"""Bytes by which the resident memory may grow: what the block count cannot see, such as buffers."""


class Census(NamedTuple):
    """What must not grow, counted."""

    blocks: int
    rss: int
    tasks: int
    descriptors: int
    loggers: int
    handlers: int
    series: int
    clients: int
    senders: int
    connections: int


def count(rig: Rig) -> Census:
    """Collect the garbage, then count."""
    for session in rig.dc.sessions.values():
        session._dialogues.clear()  # what the simulator remembers of former connections, bounded, is not in question
    gc.collect()
    known = [one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    kinds = Counter(map(type, gc.get_objects()))
    return Census(
        blocks=sys.getallocatedblocks(),
        rss=int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        tasks=len(asyncio.all_tasks()),
        descriptors=len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - names only, and no objects that count
        loggers=len(logging.root.manager.loggerDict),
        handlers=sum(len(one.handlers) for one in [logging.root, *known]),
        series=sum(len(family.samples) for family in rig.registry.collect()),
        clients=_instances(kinds, TelegramClient),
        senders=_instances(kinds, MTProtoSender),
        connections=rig.dc.live,
    )


def _instances(kinds: Counter[type], wanted: type) -> int:
    return sum(found for kind, found in kinds.items() if wanted in kind.__mro__)


class Outcome(NamedTuple):
    """What a soak did, and what it counted."""

    cycles: dict[str, int]
    connections: int
    worst_overlap: int
    pings: int
    fault_counts: list[Census]
    month_counts: list[Census]
    fault_seconds: float
    day_seconds: float
    days: float
    simulated_seconds: float

    def growth(self) -> list[str]:
        """Name everything that grew in the second half of either phase."""
        cycles = sum(self.cycles.values())
        return [
            *_growth("faults", self.fault_counts, ALLOWED_BLOCKS + BLOCKS_PER_CYCLE * cycles / 2),
            *_growth("quiet", self.month_counts, ALLOWED_BLOCKS + BLOCKS_PER_DAY * self.days / 2),
        ]


def _growth(phase: str, counts: list[Census], allowed_blocks: float) -> list[str]:
    middle, last = counts[len(counts) // 2], counts[-1]
    allowed = {"blocks": allowed_blocks, "rss": ALLOWED_RSS}
    return [
        f"{phase}: {name} from {before} to {after}"
        for name, before, after in zip(Census._fields, middle, last, strict=True)
        if after - before > allowed.get(name, 0)
    ]


class Soak:
    """One keeper, and the faults that befall it in a seeded order."""

    def __init__(self, rig: Rig, dc: DataCentre, rng: random.Random) -> None:
        self._rig = rig
        self._dc = dc
        self._rng = rng
        self._sessions = [rig.session, *(dc.create_session() for _ in range(ACCOUNTS - 1))]
        self._turn = 0
        self.faults: dict[str, Callable[[], Awaitable[None]]] = {
            "FIN": self._at_once(dc.close_all),
            "RST": self._at_once(dc.reset_all),
            "black hole": self._lever("black_hole", True),
            "stop reading": self._lever("stop_reading", True),
            "pings only": self._lever("answer_pings_only", True),
            "no pongs": self._lever("ignore_pings", True),
            "-404": self._at_once(lambda: dc.send_transport_error(404)),
            "-429": self._at_once(lambda: dc.send_transport_error(429)),
            "garbage": self._at_once(lambda: dc.send_all(rng.randbytes(256))),
            "truncated frame": self._at_once(dc.send_truncated),
            "flood wait": self._answered(420, "FLOOD_WAIT_7"),
            "500": self._answered(500, "INTERNAL"),
            "salt": self._salt,
            "accept then close": self._dialled_again_into("accept_then_close", True),
            "silent accept": self._dialled_again_into("silent_accept", True),
            "-429 at the door": self._dialled_again_into("transport_error", 429),
            "down": self._down,
            "credentials": self._other_credentials,
            "revoked": self._revoked,
        }

    async def cycle(self, name: str) -> None:
        """Let one fault happen, wait until it is over, and let some time go by."""
        try:
            async with asyncio.timeout(LONGEST_CYCLE):
                await self.faults[name]()
                self._dc.levers.reset()
                self._dc.clear_failures()
                await self._rig.until(State.CONNECTED)
        except TimeoutError:
            raise AssertionError(f"{name}: not over after {LONGEST_CYCLE:g} s: {self._rig.snapshot}") from None
        # Sometimes long enough for the connection to prove itself.
        await asyncio.sleep(self._rng.uniform(0, 90))
        await self._rig.until(State.CONNECTED)
        self._rig.events.clear()

    async def _left(self) -> None:
        await self._rig.manager.journal.until(lambda snapshot: snapshot.state is not State.CONNECTED)

    def _at_once(self, fault: Callable[[], None]) -> Callable[[], Awaitable[None]]:
        async def happen() -> None:
            fault()
            await self._left()

        return happen

    def _lever(self, name: str, value: object) -> Callable[[], Awaitable[None]]:
        return self._at_once(lambda: setattr(self._dc.levers, name, value))

    def _answered(self, code: int, message: str) -> Callable[[], Awaitable[None]]:
        async def happen() -> None:
            failure = self._dc.fail("users.getUsers", code=code, message=message)
            while failure.times:  # noqa: ASYNC110 - nobody sets an event
                await asyncio.sleep(1)

        return happen

    def _dialled_again_into(self, name: str, value: object) -> Callable[[], Awaitable[None]]:
        async def happen() -> None:
            setattr(self._dc.levers, name, value)
            self._dc.close_all()
            await self._left()
            await asyncio.sleep(self._rng.uniform(0, 60))

        return happen

    async def _salt(self) -> None:
        self._dc.force_bad_salt()
        await asyncio.sleep(5)

    async def _down(self) -> None:
        await self._dc.stop_listening()
        self._dc.close_all()
        await asyncio.sleep(self._rng.uniform(0, 300))
        await self._dc.start_listening()

    async def _other_credentials(self) -> None:
        self._mount_another()
        await self._left()

    async def _revoked(self) -> None:
        revoked = self._sessions[self._turn]
        revoked.revoke()
        await self._rig.until(State.REFUSED)
        self._mount_another()
        await self._rig.until(State.CONNECTED)
        revoked.restore()

    def _mount_another(self) -> Session:
        self._turn = (self._turn + 1) % ACCOUNTS
        session = self._sessions[self._turn]
        self._rig.mount(session)
        return session


@contextmanager
def log_to_nowhere() -> Iterator[Redactor]:
    """Set the log of the process up as the daemon does, but have it lead nowhere; afterwards all is as it was."""
    root, theirs = logging.getLogger(), logging.getLogger("telethon")
    before = root.handlers[:], root.level, theirs.level
    redactor = Redactor()
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        set_up(Settings(), redactor, nowhere)
        try:
            yield redactor
        finally:
            logging.captureWarnings(capture=False)
            root.handlers[:] = before[0]
            root.setLevel(before[1])
            theirs.setLevel(before[2])


def soak(*, cycles: int, days: float, seed: int, directory: Path, tell: Callable[[str], None]) -> Outcome:
    """Run a soak: a warm-up, so many fault cycles, then so many quiet days."""
    rng = random.Random(seed)  # noqa: S311 - it chooses faults

    async def main(redactor: Redactor) -> Outcome:
        async with DataCentre(rng=rng) as dc:
            rig = Rig(dc, directory / "secrets")
            rig.mount(rig.session)
            rig.start(from_files=True)
            redactor.learn([rig.session.string, rig.session.account.phone or ""])
            try:
                return await _soak(rig, dc, rng, cycles=cycles, days=days, tell=tell)
            finally:
                await rig.stop()

    with log_to_nowhere() as redactor:
        return in_fake_time(lambda: main(redactor))


async def _soak(
    rig: Rig, dc: DataCentre, rng: random.Random, *, cycles: int, days: float, tell: Callable[[str], None]
) -> Outcome:
    await rig.until(State.CONNECTED)
    run = Soak(rig, dc, rng)
    for name in run.faults:  # the warm-up: every fault once, so that every cache is filled
        await run.cycle(name)
    for name in run.faults:
        await run.cycle(name)
    done: dict[str, int] = dict.fromkeys(run.faults, 0)
    faults, began, started = [count(rig)], time.perf_counter(), rig.now
    tell(f"{0:6} cycles  {faults[-1]}")
    for number in range(1, cycles + 1):
        name = rng.choice(list(run.faults))
        await run.cycle(name)
        done[name] += 1
        if number % max(1, cycles // 10) == 0:
            faults.append(count(rig))
            tell(f"{number:6} cycles  {faults[-1]}")
    fault_seconds = time.perf_counter() - began

    began, pings = time.perf_counter(), rig.pings
    await asyncio.sleep(QUIET_WARM_UP)
    quiet = [count(rig)]
    for tenth in range(1, 11):
        await asyncio.sleep(days * DAY / 10)
        rig.events.clear()
        quiet.append(count(rig))
        tell(f"{days * tenth / 10:6.3g} days    {quiet[-1]}")
    day_seconds = (time.perf_counter() - began) / days
    assert dc.live == 1, "the quiet time ends with a connection"
    return Outcome(
        cycles=done,
        connections=dc.accepted,
        worst_overlap=max(session.worst_overlap for session in dc.sessions.values()),
        pings=rig.pings - pings,
        fault_counts=faults,
        month_counts=quiet,
        fault_seconds=fault_seconds,
        day_seconds=day_seconds,
        days=days,
        simulated_seconds=rig.now - started,
    )


def main() -> int:
    """Run the long soak, tell how it goes, and return 1 if anything grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=5000)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trace", action="store_true", help="say where memory was allocated (slow)")
    options = parser.parse_args()

    def tell(line: str) -> None:
        print(line, flush=True)  # noqa: T201 - a command

    if options.trace:
        tracemalloc.start(8)
    with tempfile.TemporaryDirectory() as directory:
        outcome = soak(
            cycles=options.cycles, days=options.days, seed=options.seed, directory=Path(directory), tell=tell
        )
    tell(f"faults: {outcome.cycles}")
    tell(
        f"{sum(outcome.cycles.values())} cycles in {outcome.fault_seconds:.0f} s, {outcome.connections} connections, "
        f"worst overlap {outcome.worst_overlap}; {options.days:g} quiet days with {outcome.pings} pings, "
        f"{outcome.day_seconds:.1f} s a day; {outcome.simulated_seconds / DAY:.1f} days simulated in all"
    )
    grown = outcome.growth()
    tell("\n".join(["grown:", *grown]) if grown else "nothing grew")
    return 1 if grown or outcome.worst_overlap else 0


if __name__ == "__main__":
    sys.exit(main())
