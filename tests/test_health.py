"""The answers to "is it well?", for each state, in words and in status."""

import pytest

from sidecar.advice import REMEDIES
from sidecar.health import SLACK_SECONDS, Answer, Health, age, explain, left, live, overall, ready, report, started
from sidecar.link import Reason
from sidecar.state import Problem, Snapshot, State

NOW = 100.0


def snapshot(state: State, **known: object) -> Snapshot:
    """Make a snapshot of a keeper that is in time."""
    return Snapshot(**{"state": state, "since": 40.0, "due": NOW, **known})  # type: ignore[arg-type]


STARTING = snapshot(State.STARTING)
UNCONFIGURED = snapshot(
    State.UNCONFIGURED,
    detail="API_ID is missing; API_HASH is missing",
    problems=(Problem("API_ID", "is missing"), Problem("API_HASH", "is missing")),
)
FIRST_ATTEMPT = snapshot(State.CONNECTING, attempt=1)
LATER_ATTEMPT = snapshot(
    State.CONNECTING, attempt=4, reason=Reason.RESET, detail="the connection was reset", first_outcome=True
)
PROXIED = snapshot(
    State.UNCONFIGURED,
    detail="SIDECAR_PROXY is set",
    problems=(Problem("SIDECAR_PROXY", "is set"),),
    first_outcome=True,
)
CONNECTED = snapshot(State.CONNECTED, last_contact=97.26, first_outcome=True)
FLOODED = snapshot(State.CONNECTED, last_contact=97.26, flood_until=112.4, first_outcome=True)
FLOODED_BEFORE = snapshot(State.CONNECTED, last_contact=97.26, flood_until=100.0, first_outcome=True)
WAITING = snapshot(
    State.WAITING, reason=Reason.SERVER_ERROR, detail="a fault of its own", retry_at=112.4, first_outcome=True
)
REFUSED = snapshot(State.REFUSED, reason=Reason.REVOKED, detail="ended by its owner", first_outcome=True)
STANDBY = snapshot(State.STANDBY, first_outcome=True)
STOPPING = snapshot(State.STOPPING, first_outcome=True)


@pytest.mark.parametrize(
    ("taken", "words", "status"),
    [
        pytest.param(STARTING, "Starting; nothing was tried yet.", Health.DEGRADED, id="starting"),
        pytest.param(
            UNCONFIGURED,
            "Not configured: API_ID is missing; API_HASH is missing. "
            "A file in the secrets directory is taken within 10 s; a variable or .env needs a restart.",
            Health.UNHEALTHY,
            id="unconfigured",
        ),
        pytest.param(
            PROXIED,
            "Not configured: SIDECAR_PROXY is set. "
            "A file in the secrets directory is taken within 10 s; a variable or .env needs a restart.",
            Health.UNHEALTHY,
            id="proxied",
        ),
        pytest.param(FIRST_ATTEMPT, "Connecting, attempt 1.", Health.DEGRADED, id="connecting"),
        pytest.param(
            LATER_ATTEMPT,
            "Connecting, attempt 4, after: the connection was reset. "
            "Nothing to do: it is dialled again. If it recurs, look at what sits between us and Telegram.",
            Health.DEGRADED,
            id="connecting-again",
        ),
        pytest.param(CONNECTED, "Connected: Telegram answered 2.7 s ago.", Health.HEALTHY, id="connected"),
        pytest.param(
            FLOODED,
            "Connected: Telegram answered 2.7 s ago. It asked for no get_me for another 13 s.",
            Health.HEALTHY,
            id="connected-in-a-flood-wait",
        ),
        pytest.param(
            FLOODED_BEFORE, "Connected: Telegram answered 2.7 s ago.", Health.HEALTHY, id="connected-after-a-flood-wait"
        ),
        pytest.param(
            WAITING,
            "Not connected: a fault of its own. Next attempt in 13 s. Wait: the fault is Telegram's.",
            Health.DEGRADED,
            id="waiting",
        ),
        pytest.param(
            REFUSED,
            "Telegram refused: ended by its owner. "
            "Log in again and replace the session string; only one in a variable or .env needs a restart then.",
            Health.DEGRADED,
            id="refused",
        ),
        pytest.param(STANDBY, "Standing by: another holder has the session.", Health.DEGRADED, id="standby"),
        pytest.param(STOPPING, "Stopping: the process was asked to end.", Health.DEGRADED, id="stopping"),
    ],
)
def test_each_state_in_words(taken: Snapshot, words: str, status: Health) -> None:
    """Each state has its sentence and its overall status; only wrong configuration makes a keeper in time unhealthy."""
    assert explain(taken, NOW) == words
    assert overall(taken, NOW) is status
    assert live(taken, NOW) == Answer(True, "The keeper is making progress.")
    assert ready(taken, NOW) == Answer(taken.state is State.CONNECTED, words)


def test_every_reason_has_a_remedy() -> None:
    """Whatever the reason, a person is told what to do, in whole sentences."""
    assert set(REMEDIES) == set(Reason)
    assert [text for text in REMEDIES.values() if not text[0].isupper() or not text.endswith(".")] == []


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_explained(reason: Reason) -> None:
    """A keeper that dials again, waits or was refused says what to do about its reason."""
    for state in (State.CONNECTING, State.WAITING, State.REFUSED):
        assert explain(snapshot(state, reason=reason, detail="…"), NOW).endswith(" " + REMEDIES[reason])


# --------------------------------------------------------------------------------------------------------- liveness


@pytest.mark.parametrize("state", State)
def test_a_keeper_past_its_slack_is_stuck(state: State) -> None:
    """Liveness asks for progress in every state, and allows five seconds beyond what is due."""
    taken = snapshot(state)
    stuck = Answer(False, f"The keeper is stuck: in state {state}, 6 s past its next step.")
    assert SLACK_SECONDS == 5
    assert live(taken, taken.due + 5.0).ok
    assert live(taken, taken.due + 6.0) == stuck
    assert overall(taken, taken.due + 6.0) is Health.UNHEALTHY


def test_a_stuck_keeper_is_not_ready() -> None:
    """Connected counts only while the keeper still watches: a stuck one says that it is stuck."""
    stuck = Answer(False, "The keeper is stuck: in state connected, 60 s past its next step.")
    assert ready(CONNECTED, NOW + 60) == live(CONNECTED, NOW + 60) == stuck


def test_a_stuck_keeper_that_is_not_connected_says_why() -> None:
    """One that is not connected is not ready for that reason, stuck or not."""
    assert ready(REFUSED, NOW + 60) == Answer(False, explain(REFUSED, NOW + 60))


def test_being_unable_to_connect_is_no_reason_to_restart() -> None:
    """Neither a dead session nor an outage, however long, makes a keeper in time unhealthy."""
    for taken in (FIRST_ATTEMPT, LATER_ATTEMPT, WAITING, REFUSED):
        much_later = snapshot(taken.state, since=0.0, due=1e6, reason=taken.reason)
        assert overall(much_later, 1e6) is Health.DEGRADED


# ---------------------------------------------------------------------------------------------------------- started


def test_started_is_known_by_the_first_outcome() -> None:
    """Until the outcome of the first attempt is known the answer is no; afterwards it is yes, good or bad."""
    assert started(FIRST_ATTEMPT, NOW) == Answer(False, "Connecting, attempt 1.")
    assert started(REFUSED, NOW) == Answer(True, "The start is over. " + explain(REFUSED, NOW))
    assert started(CONNECTED, NOW) == Answer(True, "The start is over. " + explain(CONNECTED, NOW))


# ----------------------------------------------------------------------------------------------------------- report


def body(taken: Snapshot, now: float = NOW) -> dict[str, object]:
    """Give the body of /healthz, with times as they are."""
    return report(taken, now, environment="test", as_time=lambda moment: f"at {moment:g}")


def test_report_of_a_connected_keeper() -> None:
    """The body has the keys and values of the contract, and nothing else."""
    assert body(CONNECTED) == {
        "status": "healthy",
        "timestamp": "at 100",
        "environment": "test",
        "checks": {
            "telegram": {
                "status": "healthy",
                "connected": True,
                "state": "connected",
                "reason": None,
                "why": "Connected: Telegram answered 2.7 s ago.",
                "since": "at 40",
                "last_contact_age_seconds": 2.7,
                "retry_in_seconds": None,
            },
            "config": {"status": "ok", "missing_vars": []},
        },
    }


@pytest.mark.parametrize(
    ("taken", "now", "expected"),
    [
        pytest.param(WAITING, NOW, ("degraded", "disconnected", False, "server_error", None, 12.4), id="waiting"),
        pytest.param(
            snapshot(State.WAITING, retry_at=99.0),
            NOW,
            ("degraded", "disconnected", False, None, None, 0.0),
            id="overdue",
        ),
        pytest.param(REFUSED, NOW, ("degraded", "error", False, "revoked", None, None), id="refused"),
        pytest.param(UNCONFIGURED, NOW, ("unhealthy", "disconnected", False, None, None, None), id="unconfigured"),
        pytest.param(CONNECTED, 107.26, ("unhealthy", "disconnected", False, None, 10.0, None), id="stuck"),
        pytest.param(
            snapshot(State.CONNECTED, last_contact=0.0, due=9.0),
            3.0,
            ("healthy", "healthy", True, None, 3.0, None),
            id="contact-at-time-zero",
        ),
        pytest.param(
            snapshot(State.WAITING, retry_at=0.0, last_contact=-4.0, due=9.0),
            -2.0,
            ("degraded", "disconnected", False, None, 2.0, 2.0),
            id="retry-at-time-zero",
        ),
    ],
)
def test_report(taken: Snapshot, now: float, expected: tuple[object, ...]) -> None:
    """Status, Telegram's part, reason, age of the last contact and time to the next attempt fit the state."""
    told = body(taken, now)
    telegram = told["checks"]["telegram"]  # type: ignore[index]
    named = ("status", "connected", "reason", "last_contact_age_seconds", "retry_in_seconds")
    assert (told["status"], *(telegram[name] for name in named)) == expected
    assert telegram["why"] == ready(taken, now).why


@pytest.mark.parametrize(
    ("taken", "missing"),
    [pytest.param(UNCONFIGURED, ["API_ID", "API_HASH"], id="missing"), pytest.param(PROXIED, [], id="proxied")],
)
def test_report_of_wrong_configuration(taken: Snapshot, missing: list[str]) -> None:
    """The names of missing credentials are listed; a setting that stops the dialling is an error and no credential."""
    told = body(taken)
    assert told["status"] == "unhealthy"
    assert told["checks"]["config"] == {"status": "error", "missing_vars": missing}  # type: ignore[index]


def test_ages_and_rests_never_fall_below_zero() -> None:
    """What never was has no age and no rest; what is in the future has no age, what is past no rest."""
    assert [age(None, NOW), age(90.0, NOW), age(110.0, NOW)] == [0.0, 10.0, 0.0]
    assert [left(None, NOW), left(110.0, NOW), left(90.0, NOW)] == [0.0, 10.0, 0.0]
