"""The machine: its table, what an event does to the snapshot, and that nothing else can happen."""

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.link import Endpoint, Identity, LinkBusy, LinkLost, LinkRefused, Reason
from sidecar.state import (
    TRANSITIONS,
    AttemptFailed,
    AttemptStarted,
    Checked,
    CheckResult,
    Connected,
    ConnectionLost,
    CredentialsChanged,
    CredentialsMissing,
    Disconnected,
    Disconnecting,
    Event,
    FloodWaited,
    Held,
    IllegalTransition,
    PingAnswered,
    Postponed,
    Problem,
    SessionRefused,
    Snapshot,
    State,
    Stopping,
    advance,
)

ANN = Identity(user_id=7, is_bot=False, username="ann")
BOB = Identity(user_id=8, is_bot=False, username="bob")
DC4 = Endpoint(dc=4, clock_offset=0.5)
RESET = LinkLost(Reason.RESET, "the connection was reset")
FAULT = LinkBusy(Reason.SERVER_ERROR, "Telegram has a fault of its own")
REVOKED = LinkRefused(Reason.REVOKED, "the session was ended by its owner")

seconds = st.floats(min_value=0, max_value=1e6)
errors = st.builds(LinkLost, st.sampled_from(Reason), st.text()) | st.builds(
    LinkBusy, st.sampled_from(Reason), st.text()
)
identities = st.builds(Identity, user_id=st.integers(1), is_bot=st.booleans())
some: dict[type[Event], st.SearchStrategy[Event]] = {
    CredentialsMissing: st.builds(
        CredentialsMissing, st.lists(st.builds(Problem, st.text(), st.text()), min_size=1).map(tuple)
    ),
    CredentialsChanged: st.builds(CredentialsChanged),
    Postponed: st.builds(Postponed, st.sampled_from(Reason), seconds),
    AttemptStarted: st.builds(AttemptStarted, st.integers(1), st.text()),
    AttemptFailed: st.builds(AttemptFailed, st.integers(1), errors, seconds),
    Connected: st.builds(Connected, identities, st.just(DC4), seconds, st.none() | st.sampled_from(Reason)),
    PingAnswered: st.builds(PingAnswered, seconds),
    Checked: st.builds(Checked, st.sampled_from(CheckResult), seconds, st.none() | identities),
    FloodWaited: st.builds(FloodWaited, seconds),
    ConnectionLost: st.builds(ConnectionLost, errors, seconds),
    SessionRefused: st.builds(SessionRefused, errors, st.booleans()),
    Held: st.builds(Held),
    Stopping: st.builds(Stopping),
    Disconnecting: st.builds(Disconnecting),
    Disconnected: st.builds(Disconnected, seconds),
}
anything = st.one_of(*some.values())


def snapshot(state: State = State.STARTING, **known: object) -> Snapshot:
    """Make a snapshot that was taken at second 10."""
    return Snapshot(state=state, since=10.0, due=11.0, **known)  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------------------- the table


def test_every_state_has_a_row_and_every_event_a_place() -> None:
    """The table knows all states, and no event that could never happen."""
    assert set(TRANSITIONS) == set(State)
    assert {event for row in TRANSITIONS.values() for event in row} == set(get_args(Event)) == set(some)


def test_every_state_but_standby_can_be_reached() -> None:
    """From `starting` there is a way to every state except the reserved one."""
    reached = {State.STARTING}
    while True:
        further = reached | {target for state in reached for target in TRANSITIONS[state].values()}
        if further == reached:
            break
        reached = further
    assert reached == set(State) - {State.STANDBY}


def test_stopping_is_the_end() -> None:
    """Every state in use can be stopped, and nothing leads out of `stopping`."""
    assert {state for state, row in TRANSITIONS.items() if row.get(Stopping) is State.STOPPING} == set(State) - {
        State.STANDBY,
        State.STOPPING,
    }
    assert set(TRANSITIONS[State.STOPPING].values()) == {State.STOPPING}


def test_connected_comes_from_connecting_alone() -> None:
    """There is one way to be called connected: an attempt that Telegram answered."""
    ways = {
        (state, event)
        for state, row in TRANSITIONS.items()
        for event, target in row.items()
        if target is State.CONNECTED and state is not State.CONNECTED
    }
    assert ways == {(State.CONNECTING, Connected)}


def test_what_waits_gives_signs_of_life() -> None:
    """In exactly the states that may last without a word from Telegram, the keeper says that it holds."""
    assert {state for state, row in TRANSITIONS.items() if Held in row} == {
        State.UNCONFIGURED,
        State.WAITING,
        State.REFUSED,
    }


# ------------------------------------------------------------------------------------------------- any sequence


def check_step(before: Snapshot, event: Event, now: float, within: float) -> Snapshot:
    """Advance by one event and hold the outcome against the table."""
    target = TRANSITIONS[before.state].get(type(event))
    if target is None:
        with pytest.raises(IllegalTransition, match=f"^{type(event).__name__} in state {before.state}$"):
            advance(before, event, now=now, due=now + within)
        return before
    after = advance(before, event, now=now, due=now + within)
    assert after.state is target
    assert after.due == now + within
    assert after.since == (before.since if target is before.state else now)
    assert after.first_outcome >= before.first_outcome
    if before.state is State.STOPPING:
        assert after.state is State.STOPPING
    return after


@settings(deadline=None)
@given(st.lists(st.tuples(anything, seconds, seconds)))
def test_the_table_is_the_law(steps: list[tuple[Event, float, float]]) -> None:
    """In any sequence the listed events advance, the others raise and change nothing, and `since` marks new states."""
    now, present = 0.0, Snapshot(state=State.STARTING, since=0.0, due=0.0)
    for event, later, within in steps:
        now += later
        present = check_step(present, event, now, within)


@settings(deadline=None)
@given(data=st.data(), steps=st.integers(0, 30))
def test_legal_walks(data: st.DataObject, steps: int) -> None:
    """On any walk along the table each step succeeds, and what the snapshot says fits its state."""
    now, present = 0.0, Snapshot(state=State.STARTING, since=0.0, due=0.0)
    for _ in range(steps):
        event = data.draw(st.one_of(*(some[kind] for kind in TRANSITIONS[present.state])))
        now += data.draw(seconds)
        present = check_step(present, event, now, 1.0)
        if present.state is State.CONNECTED:
            assert present.reason is None
            assert present.detail is None
            assert present.retry_at is None
            assert present.last_contact is not None
            assert present.identity is not None
        if present.state is State.UNCONFIGURED:
            assert present.problems
        if present.state in {State.CONNECTING, State.CONNECTED, State.WAITING, State.REFUSED}:
            assert not present.problems
        assert (present.endpoint is not None) <= (present.state in {State.CONNECTED, State.STOPPING})
        assert (present.retry_at is not None) == (present.state is State.WAITING)


# ------------------------------------------------------------------------------------------ what each event does


@pytest.mark.parametrize(
    ("before", "event", "after"),
    [
        pytest.param(
            snapshot(State.WAITING, identity=ANN, session="aa", retry_at=50.0, reason=Reason.RESET),
            CredentialsMissing((Problem("API_ID", "is missing"), Problem("API_HASH", "is odd"))),
            {
                "reason": None,
                "detail": "API_ID is missing; API_HASH is odd",
                "problems": (Problem("API_ID", "is missing"), Problem("API_HASH", "is odd")),
                "retry_at": None,
                "identity": None,
                "session": None,
                "first_outcome": True,
            },
            id="credentials-missing",
        ),
        pytest.param(
            snapshot(State.WAITING, identity=ANN, session="aa", retry_at=50.0, reason=Reason.RESET, detail="reset"),
            AttemptStarted(3, "aa"),
            {"attempt": 3, "retry_at": None},
            id="attempt-with-the-same-session-keeps-the-account",
        ),
        pytest.param(
            snapshot(State.UNCONFIGURED, identity=ANN, session="aa", problems=(Problem("API_ID", "is missing"),)),
            AttemptStarted(1, "bb"),
            {"attempt": 1, "session": "bb", "identity": None, "problems": ()},
            id="attempt-with-another-session-forgets-the-account",
        ),
        pytest.param(
            snapshot(State.UNCONFIGURED, problems=(Problem("API_ID", "is missing"),)),
            Postponed(Reason.FLOOD_WAIT, 90.4),
            {
                "reason": Reason.FLOOD_WAIT,
                "detail": "Telegram asked us to hold back for another 90 s",
                "problems": (),
                "retry_at": 110.4,
                "flood_until": 110.4,
                "first_outcome": True,
            },
            id="postponed",
        ),
        pytest.param(
            snapshot(State.CONNECTING, reason=Reason.RESET, detail="reset", attempt=2),
            Connected(ANN, DC4, 0.2, Reason.RESET),
            {
                "reason": None,
                "detail": None,
                "identity": ANN,
                "endpoint": DC4,
                "last_contact": 20.0,
                "first_outcome": True,
            },
            id="connected",
        ),
        pytest.param(
            snapshot(State.CONNECTING),
            AttemptFailed(1, RESET, 2.5),
            {"reason": Reason.RESET, "detail": "the connection was reset", "retry_at": 22.5, "first_outcome": True},
            id="attempt-failed",
        ),
        pytest.param(
            snapshot(State.CONNECTING),
            AttemptFailed(1, FAULT, 2.5),
            {
                "reason": Reason.SERVER_ERROR,
                "detail": "Telegram has a fault of its own",
                "retry_at": 22.5,
                "last_contact": 20.0,
                "first_outcome": True,
            },
            id="attempt-answered-by-an-error",
        ),
        pytest.param(
            snapshot(State.CONNECTED, endpoint=DC4, identity=ANN, last_contact=15.0),
            ConnectionLost(RESET, 0.0),
            {
                "reason": Reason.RESET,
                "detail": "the connection was reset",
                "retry_at": 20.0,
                "endpoint": None,
                "first_outcome": True,
            },
            id="connection-lost",
        ),
        pytest.param(
            snapshot(State.CONNECTED, endpoint=DC4, identity=ANN),
            SessionRefused(REVOKED, established=True),
            {
                "reason": Reason.REVOKED,
                "detail": "the session was ended by its owner",
                "endpoint": None,
                "last_contact": 20.0,
                "first_outcome": True,
            },
            id="session-refused",
        ),
        pytest.param(
            snapshot(State.CONNECTED, identity=ANN, last_contact=15.0),
            Checked(CheckResult.OK, 0.1, BOB),
            {"identity": BOB, "last_contact": 20.0},
            id="checked-and-answered",
        ),
        pytest.param(
            snapshot(State.CONNECTED, identity=ANN, last_contact=15.0),
            Checked(CheckResult.TIMEOUT, 10.0),
            {},
            id="checked-in-vain",
        ),
        pytest.param(
            snapshot(State.CONNECTED, identity=ANN, last_contact=15.0),
            Checked(CheckResult.LOST, 0.1),
            {},
            id="checked-and-cut-off",
        ),
        *(
            pytest.param(
                snapshot(State.CONNECTED, identity=ANN, last_contact=15.0),
                Checked(result, 0.1),
                {"last_contact": 20.0},
                id=f"checked-and-answered-by-{result}",
            )
            for result in (CheckResult.FLOOD_WAIT, CheckResult.SERVER_ERROR, CheckResult.REFUSED)
        ),
        pytest.param(
            snapshot(State.CONNECTED, last_contact=15.0), PingAnswered(0.1), {"last_contact": 20.0}, id="ping-answered"
        ),
        pytest.param(
            snapshot(State.CONNECTED, last_contact=15.0),
            FloodWaited(30.0),
            {"flood_until": 50.0, "last_contact": 20.0},
            id="flood-waited",
        ),
        pytest.param(
            snapshot(State.WAITING, reason=Reason.RESET, detail="reset", retry_at=50.0, identity=ANN),
            Stopping(),
            {"reason": None, "detail": None, "retry_at": None},
            id="stopping",
        ),
        pytest.param(snapshot(State.WAITING, retry_at=50.0), Held(), {}, id="held"),
        pytest.param(
            snapshot(State.REFUSED, reason=Reason.REVOKED, flood_until=50.0),
            CredentialsChanged(),
            {"flood_until": None},
            id="changed",
        ),
        pytest.param(snapshot(State.STOPPING), Disconnecting(), {}, id="disconnecting"),
        pytest.param(snapshot(State.STOPPING), Disconnected(0.1), {}, id="disconnected"),
    ],
)
def test_what_an_event_does(before: Snapshot, event: Event, after: dict[str, object]) -> None:
    """An event at second 20 changes exactly these fields, beside state, since and due."""
    target = TRANSITIONS[before.state][type(event)]
    always = {"state": target, "since": 10.0 if target is before.state else 20.0, "due": 33.0}
    result = advance(before, event, now=20.0, due=33.0)
    assert fields(result) == fields(before) | always | after


def fields(taken: Snapshot) -> dict[str, object]:
    """Lay a snapshot out by name."""
    return {name: getattr(taken, name) for name in Snapshot.__slots__}


def test_only_credentials_are_missing() -> None:
    """What is wrong with a credential has its name among the missing; what is wrong with a setting has not."""
    problems = (Problem("API_ID", "is missing"), Problem("API_HASH", "is odd"), Problem("SIDECAR_PROXY", "is set"))
    assert snapshot(State.UNCONFIGURED, problems=problems).missing == ("API_ID", "API_HASH")
    assert snapshot(State.UNCONFIGURED, problems=problems[2:]).missing == ()


def test_a_snapshot_is_immutable() -> None:
    """A snapshot that somebody holds never changes under them."""
    with pytest.raises(AttributeError):
        snapshot().state = State.CONNECTED  # type: ignore[misc]


def test_the_phone_number_is_in_no_repr() -> None:
    """An account can be printed by accident without its phone number."""
    assert "4917" not in repr(snapshot(identity=Identity(user_id=7, is_bot=False, phone="4917000000")))
