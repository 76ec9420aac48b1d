"""Every fault, bounded: what the keeper does about each is exact, and no fault ever makes it hold two connections."""

from __future__ import annotations

import asyncio
import functools
import random
import runpy
import struct
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telethon.errors import UnauthorizedError
from telethon.errors.rpcerrorlist import rpc_errors_dict

from sidecar.simulator import DataCentre
from sidecar.state import State
from tests.fake_time import in_quiet_fake_time
from tests.faults.cases import CASES
from tests.faults.observe import Row, heal, play
from tests.rig import Rig

ROOT = Path(__file__).resolve().parents[2]
BOUND = 160.0
"""Seconds within which a healthy Telegram is connected again, whatever came before: two minutes for -404 and -429, the
15 s of an attempt that was already lost, half of the longest delay, and 4 s to read new credentials."""

SETTLED = 20.0
"""Seconds after which no answer is on its way any more that was given before the faults ended."""


@functools.cache
def observed(case_number: int) -> Row:
    """Play a case, once for all tests that look at it."""
    return play(CASES[case_number])


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_fault(number: int) -> None:
    """The keeper does what is written beside the case, in that time, with that many connections."""
    assert observed(number) == CASES[number].row


def test_cases_are_told_apart() -> None:
    """No two cases have one name, and the page names every variant of every fault."""
    assert len({case.name for case in CASES}) == len(CASES)
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").replace("\\|", "|")
    named = {tuple(cell.strip("| ") for cell in line.split(" | ")[:2]) for line in page.splitlines() if " | " in line}
    for case in CASES:
        lines = [fault for fault, when in named if when == case.when and fault.startswith(case.fault)]
        told = [case.variant in line if case.variant else line == case.fault or "plain" in line for line in lines]
        assert any(told), case.name


def test_every_401_that_telethon_knows_is_a_case() -> None:
    """A name that a newer Telethon adds is missed here."""
    known = {name for name, kind in rpc_errors_dict.items() if issubclass(kind, UnauthorizedError)}
    assert known <= {case.variant.strip("`") for case in CASES if case.fault == "401"}


def test_no_fault_causes_two_connections_on_one_key() -> None:
    """Over all cases the worst overlaps add up to nothing."""
    assert sum(observed(number).overlap for number in range(len(CASES))) == 0


def test_the_page_is_what_a_run_shows() -> None:
    """docs/reliability.md has the rows of this very run."""
    render: Any = runpy.run_path(str(ROOT / "tools" / "reliability.py"))["page"]
    rows = [observed(number) for number in range(len(CASES))]
    assert (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8") == render(list(zip(CASES, rows, strict=True)))


def test_a_frame_that_is_too_long_is_not_buffered() -> None:
    """Eight megabytes behind an oversized length prefix leave less than one of them in memory."""

    async def buffered() -> int:
        async with DataCentre() as dc:
            with TemporaryDirectory() as directory:
                rig = Rig(dc, Path(directory) / "secrets")
                await rig.connected()
                client = await rig.manager.get_client()
                reader = client._sender._connection._reader
                dc.send_all(struct.pack("<ii", 0x7FFFFFFF, 0) + bytes(8 << 20))
                await rig.until(State.WAITING)
                await rig.stop()
                return len(reader._buffer)

    assert in_quiet_fake_time(buffered, noop_cycles=42) < 1 << 20


# --------------------------------------------------------------------------------------- sequences that nobody planned

LEVERS = {
    "black_hole": True,
    "stop_reading": True,
    "silent_accept": True,
    "answer_pings_only": True,
    "ignore_pings": True,
    "latency": 4.0,
    "accept_then_close": True,
    "transport_error": 404,
    "clock_skew": 100.0,
    "migrate_to": 4,
    "lose_answers": 2,
    "garbage_on_accept": b"\xff" * 64,
}
BLOWS = ["close_all", "reset_all", "send_truncated", "force_bad_salt"]
FLOODS = ["FLOOD_WAIT_3", "FLOOD_WAIT_100"]

CREDENTIALS = ["same session", "other session", "none"]
PAUSES = [0.0, 0.3, 2.0, 7.0, 20.0, 61.0]

Step = tuple[str, str]
Script = list[tuple[Step, float]]
EVERY_STEP: list[Step] = [
    *(("lever", name) for name in LEVERS),
    *(("blow", name) for name in BLOWS),
    *(("flood", name) for name in FLOODS),
    *(("credentials", what) for what in CREDENTIALS),
    *(("heal", ""), ("revoke", ""), ("restart", "")),
]
SCRIPTS = st.lists(st.tuples(st.sampled_from(EVERY_STEP), st.sampled_from(PAUSES)), min_size=1, max_size=8)


class Life:
    """One session and the keepers that hold it, one after another, while things happen to it."""

    def __init__(self, dc: DataCentre, directory: Path) -> None:
        self.dc = dc
        self.directory = directory
        self._hashes = 0
        self._vanished = False
        self.rig = self._begin()

    def _begin(self) -> Rig:
        rig = Rig(self.dc, self.directory / f"secrets_{len(self.dc.sessions)}")
        if hasattr(self, "rig"):
            rig.session = self.rig.session
        rig.mount(rig.session)
        rig.start(from_files=True)
        return rig

    async def suffer(self, kind: str, what: str) -> None:
        """Let one thing happen."""
        match kind:
            case "lever":
                setattr(self.dc.levers, what, LEVERS[what])
            case "blow":
                getattr(self.dc, what)()
            case "flood":
                self.dc.fail("users.getUsers", code=420, message=what)
            case "heal":
                await heal(self.rig)
            case "revoke":
                self.rig.session.revoke()
            case "credentials":
                self.change(what)
            case "restart":
                await self.rig.stop()
                self.rig, self._vanished = self._begin(), False

    def change(self, what: str) -> None:
        """Put other credentials in the Secret."""
        self._vanished = what == "none"
        if self._vanished:
            self.rig.mount(session_string="")
            return
        if what == "other session":
            self.rig.session = self.dc.create_session()
        self._hashes += 1
        self.rig.mount(self.rig.session, api_hash=f"{self._hashes:032x}")

    async def recover(self) -> None:
        """End all faults, and demand a connection within the bound."""
        await heal(self.rig)
        if self._vanished:
            self.change("same session")
        await asyncio.sleep(SETTLED)
        if self.rig.snapshot.state is State.REFUSED:
            self.change("other session")
        await asyncio.sleep(BOUND)
        assert self.rig.snapshot.state is State.CONNECTED, self.rig.snapshot
        assert self.rig.session.connections == 1


@pytest.mark.slow
@settings(max_examples=40, derandomize=True)
@given(script=SCRIPTS)
def test_no_sequence_of_faults_causes_two_connections_or_lasts(script: Script) -> None:
    """Faults, other credentials and restarts in any order: never two connections, no late event, and back in time."""
    play_script(script)


@pytest.mark.parametrize("seed", range(4))
def test_every_step_occurs_among_others(seed: int) -> None:
    """Every lever, blow, change and restart, shuffled into scripts of four: what chance alone leaves out."""
    dice = random.Random(seed)  # noqa: S311 - a seed repeats a run
    steps = dice.sample(EVERY_STEP, len(EVERY_STEP))
    for first in range(0, len(steps), 4):
        play_script([(step, dice.choice(PAUSES)) for step in steps[first : first + 4]])


def play_script(script: Script) -> None:
    """Let the steps happen to a keeper, each followed by a pause, and demand that it recovers."""

    async def live() -> None:
        with TemporaryDirectory() as directory:
            async with DataCentre() as dc:
                life = Life(dc, Path(directory))
                try:
                    for (kind, what), pause in script:
                        await life.suffer(kind, what)
                        await asyncio.sleep(pause)
                    await life.recover()
                finally:
                    await life.rig.stop()  # demands, too, that no event came late
                assert [session.worst_overlap for session in dc.sessions.values()] == [0] * len(dc.sessions)
                assert dc.violations == []

    in_quiet_fake_time(live, noop_cycles=20)
