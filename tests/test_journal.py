"""The journal: events go in, snapshots and observers follow."""

import asyncio

import pytest

from sidecar.journal import Journal
from sidecar.link import Endpoint, Identity
from sidecar.race import background
from sidecar.state import (
    AttemptStarted,
    Connected,
    Event,
    Held,
    IllegalTransition,
    PingAnswered,
    Snapshot,
    State,
    Stopping,
)

STARTED = AttemptStarted(1, "aa")
CONNECTED = Connected(Identity(7, is_bot=False), Endpoint(2, 0.0), 0.1, None)


@pytest.mark.looptime(start=100)
async def test_it_begins_in_starting() -> None:
    """Before the first event the state is `starting`, since now, and due when it was told."""
    assert Journal(due=105.0).snapshot == Snapshot(state=State.STARTING, since=100.0, due=105.0)


@pytest.mark.looptime(start=100)
async def test_an_event_is_dated_by_the_loop() -> None:
    """An event is recorded at the loop's time, and the next one is due so many seconds later."""
    journal = Journal(due=100.0)
    await asyncio.sleep(2)
    journal.record(STARTED, within=15)
    assert (journal.snapshot.since, journal.snapshot.due) == (102.0, 117.0)


async def test_observers_see_every_event_in_their_order() -> None:
    """Each observer is called with each event and the snapshot after it, in the order in which they were given."""
    seen: list[tuple[str, Event, State]] = []
    journal = Journal(
        [
            lambda event, snapshot: seen.append(("first", event, snapshot.state)),
            lambda event, snapshot: seen.append(("second", event, snapshot.state)),
        ],
        due=0.0,
    )
    journal.record(STARTED, within=1)
    journal.record(Stopping(), within=1)
    assert seen == [
        ("first", STARTED, State.CONNECTING),
        ("second", STARTED, State.CONNECTING),
        ("first", Stopping(), State.STOPPING),
        ("second", Stopping(), State.STOPPING),
    ]


async def test_what_is_illegal_leaves_no_trace() -> None:
    """An illegal event raises, reaches no observer and leaves the snapshot as it was."""
    seen: list[Event] = []
    journal = Journal([lambda event, _: seen.append(event)], due=0.0)
    before = journal.snapshot
    with pytest.raises(IllegalTransition, match=r"^Held in state starting$"):
        journal.record(Held(), within=1)
    assert journal.snapshot is before
    assert seen == []


async def test_until_returns_at_once_if_it_is_so() -> None:
    """A condition that is fulfilled already is not waited for."""
    journal = Journal(due=0.0)
    assert await journal.until(lambda snapshot: snapshot.state is State.STARTING) is journal.snapshot


@pytest.mark.looptime
async def test_until_waits_for_its_condition() -> None:
    """Every waiter returns with the first snapshot that fulfils its own condition, whatever else is recorded before."""
    journal = Journal(due=0.0)
    clock = asyncio.get_running_loop().time

    async def when(state: State) -> tuple[float, State]:
        snapshot = await journal.until(lambda snapshot: snapshot.state is state)
        return clock(), snapshot.state

    async with background(when(State.CONNECTED), when(State.CONNECTED), when(State.STOPPING)) as (one, other, last):
        for event in (STARTED, CONNECTED, PingAnswered(0.1), Stopping()):
            await asyncio.sleep(1)
            journal.record(event, within=10)
        await asyncio.wait([one, other, last])
    assert [task.result() for task in (one, other, last)] == [
        (2.0, State.CONNECTED),
        (2.0, State.CONNECTED),
        (4.0, State.STOPPING),
    ]
