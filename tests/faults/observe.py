"""Plays one case of the matrix: the real keeper, the real Telethon, real TCP to the simulator; only time is fake.

Rules of this file: it knows no case by name. A case says what strikes, in which state, and when it is over; what the
keeper did about it is read off its own events and off the data centre's own counts, and given back as one `Row`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sidecar.simulator import DataCentre
from sidecar.state import (
    AttemptFailed,
    Checked,
    CheckResult,
    Connected,
    ConnectionLost,
    CredentialsChanged,
    CredentialsMissing,
    Event,
    FloodWaited,
    Postponed,
    SessionRefused,
    Snapshot,
    State,
    Stopping,
)
from tests.fake_time import in_quiet_fake_time
from tests.rig import Rig

PROOF = 60.0
"""A connection has proven itself by its first check, so many seconds after it was verified."""

WATCH = 130.0
"""A fault that nobody notices is watched for so many seconds: more than two checks and forty pings."""

STILL = 60.0
"""A refused session is left alone for so many seconds before a person replaces it."""

RECOVERY = 1000.0
"""Seconds after which a keeper that is not back is given up; none takes so long."""


HAMMERED = 500
"""More messages in one instant than this are a loop without a pause, not a conversation."""


class When(StrEnum):
    """The state that a fault strikes in."""

    START = "starting"
    CONNECTING = "connecting"
    UNPROVEN = "connected, unproven"
    PROVEN = "connected, proven"
    WAITING = "waiting"
    REFUSED = "refused"
    UNCONFIGURED = "unconfigured"


class Ends(Enum):
    """When a fault is over, if not after a number of seconds."""

    AT_ONCE = "it strikes once, and what it changed stays"
    NOTICED = "in the instant in which it is noticed"
    NEW_SESSION = "when a person puts another session in the Secret, a minute after the refusal"
    NEVER = "the keeper itself is ended"


_UNDISTURBED = {
    When.START: "connected",
    When.CONNECTING: "connected",
    When.UNPROVEN: "kept",
    When.PROVEN: "kept",
    When.WAITING: "connected",
    When.REFUSED: "held still",
    When.UNCONFIGURED: "held still",
}

Strike = Callable[[Rig], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class Row:
    """What was observed. Times are seconds of the event loop's clock.

    Attributes:
        did: every outcome since the strike, repetitions left out.
        noticed: from the strike to the first outcome; None if there was none.
        recovered: from the end of the fault until connected (or, for a connection that was kept, until a check
            succeeded); None if it was not to recover.
        attempts: attempts begun since the strike.
        opened: connections that the data centre accepted since the strike.
        overlap: the most connections of ours that were live at once on one key, minus one.
    """

    did: str
    noticed: float | None
    recovered: float | None
    attempts: int
    opened: int
    overlap: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fault in one state, and what must come of it."""

    fault: str
    variant: str = ""
    when: When
    strike: Strike = field(repr=False)
    ends: Ends | float
    row: Row
    settings: Mapping[str, Any] = field(default_factory=dict)
    strangers: int = 0
    """Connections on the key that the case opens itself, beside the keeper's."""
    watched: bool = False
    """Whether the credentials come from watched files though no session is replaced."""
    noise: bool = False
    """Whether the case makes a client break the rules of MTProto by design."""
    noop_cycles: int = 42
    """How often the fake clock looks for I/O before it moves on; less is faster, for cases that last a day."""

    @property
    def files(self) -> bool:
        """Whether the credentials come from a mounted Secret: looking at it every 2 s costs real time."""
        return self.watched or self.ends is Ends.NEW_SESSION or self.when is When.UNCONFIGURED

    @property
    def name(self) -> str:
        """What tells it from all others."""
        return ", ".join(filter(None, (self.fault, self.variant, self.when)))


class Witness:
    """Writes down what the keeper did: an observer of its events."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[float, str]] = []
        self.well_since: float | None = None

    def __call__(self, event: Event, _: Snapshot) -> None:
        """Note an event, if it is an outcome."""
        match event:
            case Connected() | Checked(result=CheckResult.OK):
                self.well_since = _now() if self.well_since is None else self.well_since
            case ConnectionLost(error=error):
                self._ill(f"lost ({error.reason})")
            case AttemptFailed(error=error):
                self._ill(f"failed ({error.reason})")
            case SessionRefused(error=error):
                self._ill(f"refused ({error.reason})")
            case Checked(result=CheckResult.FLOOD_WAIT | CheckResult.SERVER_ERROR as result):
                self._ill(f"kept (check: {result})")
            case Postponed(reason=reason):
                self._ill(f"held back ({reason})")
            case CredentialsMissing():
                self._ill("held (unconfigured)")
            case CredentialsChanged():
                self._ill("took the new ones")
            case Stopping():
                self._ill("stopped")
            case _:
                pass

    def _ill(self, outcome: str) -> None:
        self.outcomes.append((_now(), outcome))
        self.well_since = None


class Patience(DataCentre):
    """A data centre that is not hammered: so many messages in one instant would be so many in no time in life, too."""

    _instant = -1.0
    _messages = 0

    def now(self) -> float:
        """Tell the time, as for every message; raise for one too many."""
        if self._instant != _now():
            self._instant, self._messages = _now(), 0
        self._messages += 1
        if self._messages > HAMMERED:
            raise RuntimeError(f"more than {HAMMERED} messages in one instant")
        return super().now()


def play(case: Case) -> Row:
    """Play a case in an event loop and a data centre of its own."""
    with TemporaryDirectory() as directory:
        return in_quiet_fake_time(lambda: _play(case, Path(directory)), noop_cycles=case.noop_cycles)


async def _play(case: Case, directory: Path) -> Row:
    witness = Witness()
    async with Patience() as dc:
        rig = Rig(dc, directory / "secrets")
        try:
            row = await _observe(case, rig, witness)
            _compare_metrics(rig)
        finally:
            await rig.stop()
        assert rig.snapshot.state is State.STOPPING
        await asyncio.sleep(0.1)
        assert dc.live == 0
        assert case.noise or dc.violations == []
    assert [task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}] == []
    return row


def _compare_metrics(rig: Rig) -> None:
    """Demand that the counters tell what the events told."""

    def total(name: str) -> float:
        families = (family for family in rig.registry.collect() if family.name == name)
        return sum(sample.value for family in families for sample in family.samples if sample.name == f"{name}_total")

    verified = [event for _, event in rig.events if isinstance(event, Connected)]
    refused = [event for _, event in rig.events if isinstance(event, SessionRefused)]
    ended = len(rig.of(ConnectionLost)) + len([event for event in refused if event.established])
    tried = len(verified) + len(rig.of(AttemptFailed)) + len([event for event in refused if not event.established])
    assert total("telegram_connect_attempts") == tried
    assert total("telegram_disconnects") == ended
    assert total("telegram_reconnects") == len([event for event in verified if event.after])
    assert total("telegram_watchdog_checks") == len(rig.of(Checked))
    assert total("telegram_flood_waits") == len(rig.of(FloodWaited))
    assert rig.metric("telegram_ping_latency_seconds_count") == rig.pings
    assert rig.metric("telegram_connected") == (rig.snapshot.state is State.CONNECTED)
    assert rig.metric("telegram_connection_state", telegram_connection_state=rig.snapshot.state) == 1


async def _observe(case: Case, rig: Rig, witness: Witness) -> Row:
    await _arrange(case, rig, witness)
    struck, attempts, opened = rig.now, len(rig.attempts()) if rig.loop else 0, rig.dc.accepted
    witness.outcomes.clear()
    if done := case.strike(rig):
        await done
    if not rig.loop:
        _start(case, rig, witness)
    over = await _wait_for_the_end(case, rig, witness, struck)
    if over is not None:
        async with asyncio.timeout(RECOVERY):
            await rig.manager.journal.until(lambda _: witness.well_since is not None)
    # What comes after a person's help is no doing of the keeper's own.
    outcomes = [(at, did) for at, did in witness.outcomes if case.ends is not Ends.NEW_SESSION or at <= (over or 0)]
    return Row(
        did=", ".join(dict.fromkeys(did for _, did in outcomes)) or _UNDISTURBED[case.when],
        noticed=round(outcomes[0][0] - struck, 3) if outcomes else None,
        recovered=None if over is None or witness.well_since is None else _since(over, witness.well_since),
        attempts=len(rig.attempts()) - attempts,
        opened=rig.dc.accepted - opened - case.strangers,
        overlap=max(0, *(session.worst_overlap for session in rig.dc.sessions.values())) - case.strangers,
    )


def _start(case: Case, rig: Rig, witness: Witness) -> None:
    rig.start(from_files=case.files, observers=[witness], **case.settings)


async def _arrange(case: Case, rig: Rig, witness: Witness) -> None:
    """Bring the keeper into the state that the fault strikes in."""
    if case.files and case.when is not When.UNCONFIGURED:
        rig.mount(rig.session)
    match case.when:
        case When.START:
            return
        case When.CONNECTING:  # in the middle of it: two answers have come, the others are on their way
            rig.dc.levers.latency = 1.0
            _start(case, rig, witness)
            await asyncio.sleep(2.5)
            rig.dc.levers.latency = 0.0
            assert rig.snapshot.state is State.CONNECTING
        case When.UNPROVEN:
            _start(case, rig, witness)
            await rig.pinged()
        case When.PROVEN:  # just after a check and a ping were answered, which is when a fault stays hidden the longest
            _start(case, rig, witness)
            await rig.until(State.CONNECTED)
            await asyncio.sleep(PROOF)
            pings = 1 + PROOF // case.settings.get("ping_interval", 3)
            await rig.manager.journal.until(lambda _: len(rig.of(Checked)) == 1 and rig.pings == pings)
        case When.WAITING:
            _start(case, rig, witness)
            await rig.until(State.CONNECTED)
            rig.dc.close_all()
            await rig.until(State.WAITING)
        case When.REFUSED:
            rig.session.revoke()
            _start(case, rig, witness)
            await rig.until(State.REFUSED)
        case When.UNCONFIGURED:
            _start(case, rig, witness)
            await rig.until(State.UNCONFIGURED)


async def _wait_for_the_end(case: Case, rig: Rig, witness: Witness, struck: float) -> float | None:
    """Wait until the fault is over, and return when that was; None if there is nothing to recover from."""
    match case.ends:
        case Ends.NEVER:
            return None
        case Ends.AT_ONCE:
            await _noticed(rig, witness)
            return struck
        case Ends.NOTICED:
            await _noticed(rig, witness)
        case Ends.NEW_SESSION:
            await rig.until(State.REFUSED)
            opened = rig.dc.accepted
            await asyncio.sleep(STILL)
            assert (rig.snapshot.state, rig.dc.accepted) == (State.REFUSED, opened)
            await heal(rig)
            rig.mount(rig.dc.create_session())
            return rig.now
        case seconds:
            await asyncio.sleep(seconds - (rig.now - struck))
    await heal(rig)
    return rig.now


async def heal(rig: Rig) -> None:
    """End every fault of the data centre and of the session."""
    rig.dc.levers.reset()
    rig.dc.clear_failures()
    rig.session.restore()
    await rig.dc.start_listening()


async def _noticed(rig: Rig, witness: Witness) -> None:
    try:
        async with asyncio.timeout(WATCH):
            await rig.manager.journal.until(lambda _: bool(witness.outcomes))
    except TimeoutError:
        pass


def _since(over: float, well: float) -> float:
    return round(max(0.0, well - over), 3)


def _now() -> float:
    return asyncio.get_running_loop().time()
