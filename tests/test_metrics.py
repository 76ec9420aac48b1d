"""The metrics: what is exposed from the start, and what each event moves."""

import platform
import re
import subprocess
from importlib.metadata import version
from itertools import count

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from sidecar.link import REFUSALS, Endpoint, Identity, LinkBusy, LinkLost, LinkRefused, Reason
from sidecar.metrics import Metrics
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
    PingAnswered,
    Postponed,
    Problem,
    SessionRefused,
    Snapshot,
    State,
    Stopping,
    advance,
)
from tests.needed import need

NOW = 1_000_000.0
ANN = Identity(user_id=7, is_bot=False, username="ann", first_name="Ann", last_name="Lee", phone="491701234567")
DC4 = Endpoint(dc=4, clock_offset=-1.5)
RESET = LinkLost(Reason.RESET, "the connection was reset")
FAULT = LinkBusy(Reason.SERVER_ERROR, "Telegram has a fault of its own")
REVOKED = LinkRefused(Reason.REVOKED, "the session was ended by its owner")

GOLDEN = """\
# HELP telegram_connected 1 while Telegram answers: in state connected, and in no other.
# TYPE telegram_connected gauge
telegram_connected
# HELP telegram_connection_state What the keeper is doing; 1 at the present state.
# TYPE telegram_connection_state gauge
telegram_connection_state telegram_connection_state: STATES
# HELP telegram_reconnects_total Connections re-established, by what had ended the one before.
# TYPE telegram_reconnects_total counter
telegram_reconnects_total reason: REASONS
# HELP telegram_disconnects_total Verified connections that were lost or refused, by reason.
# TYPE telegram_disconnects_total counter
telegram_disconnects_total reason: REASONS
# HELP telegram_connect_attempts_total Attempts to connect, by result.
# TYPE telegram_connect_attempts_total counter
telegram_connect_attempts_total result: ok lost refused
# HELP telegram_connect_duration_seconds Time from dialling to the answered get_me; successes only.
# TYPE telegram_connect_duration_seconds histogram
telegram_connect_duration_seconds_bucket le: BUCKETS
telegram_connect_duration_seconds_count
telegram_connect_duration_seconds_sum
# HELP telegram_watchdog_checks_total get_me checks of a verified connection, by result: the service level indicator.
# TYPE telegram_watchdog_checks_total counter
telegram_watchdog_checks_total result: ok timeout flood_wait server_error lost refused
# HELP telegram_watchdog_latency_seconds Round trip of get_me checks; successes only.
# TYPE telegram_watchdog_latency_seconds histogram
telegram_watchdog_latency_seconds_bucket le: BUCKETS
telegram_watchdog_latency_seconds_count
telegram_watchdog_latency_seconds_sum
# HELP telegram_ping_latency_seconds Round trip of answered pings.
# TYPE telegram_ping_latency_seconds histogram
telegram_ping_latency_seconds_bucket le: BUCKETS
telegram_ping_latency_seconds_count
telegram_ping_latency_seconds_sum
# HELP telegram_last_contact_timestamp_seconds When Telegram last answered anything; 0 if it never did.
# TYPE telegram_last_contact_timestamp_seconds gauge
telegram_last_contact_timestamp_seconds
# HELP telegram_connection_established_timestamp_seconds When the present connection was verified; 0 while there is \
none.
# TYPE telegram_connection_established_timestamp_seconds gauge
telegram_connection_established_timestamp_seconds
# HELP telegram_flood_waits_total How often Telegram asked to hold back.
# TYPE telegram_flood_waits_total counter
telegram_flood_waits_total
# HELP telegram_flood_wait_until_timestamp_seconds Until when Telegram asked to hold back, the last time it did; 0 \
if not with these credentials.
# TYPE telegram_flood_wait_until_timestamp_seconds gauge
telegram_flood_wait_until_timestamp_seconds
# HELP telegram_clock_offset_seconds Telegram's clock minus ours at the last connect, give or take half a second.
# TYPE telegram_clock_offset_seconds gauge
telegram_clock_offset_seconds
# HELP telegram_dc_id Number of the data centre of the last connection; 0 if there was none.
# TYPE telegram_dc_id gauge
telegram_dc_id
# HELP telegram_session_info First 8 hex digits of the SHA-256 of the auth key in use: finds one session that is held \
twice.
# TYPE telegram_session_info gauge
telegram_session_info session: ""
# HELP telegram_requests_total What the application asked for on the api listener, by how it ended; failed: not \
connected, or too late.
# TYPE telegram_requests_total counter
telegram_requests_total method: send edit delete get result: ok refused flood_wait failed
# HELP telegram_request_duration_seconds Time from the application's call to its answer, waiting for a connection or a \
flood wait included.
# TYPE telegram_request_duration_seconds histogram
telegram_request_duration_seconds_bucket le: 0.05 0.25 1.0 5.0 +Inf method: send edit delete get
telegram_request_duration_seconds_count method: send edit delete get
telegram_request_duration_seconds_sum method: send edit delete get
# HELP telegram_sidecar_event_loop_lag_seconds How late the event loop runs what is due; explains false alarms.
# TYPE telegram_sidecar_event_loop_lag_seconds histogram
telegram_sidecar_event_loop_lag_seconds_bucket le: BUCKETS
telegram_sidecar_event_loop_lag_seconds_count
telegram_sidecar_event_loop_lag_seconds_sum
# HELP telegram_sidecar_build_info What is running.
# TYPE telegram_sidecar_build_info gauge
telegram_sidecar_build_info python: PYTHON telethon: TELETHON version: 1.2.3
"""
WORDS = {
    "STATES": "starting unconfigured connecting connected waiting refused standby stopping",
    "REASONS": "closed reset unreachable proxy_unreachable proxy_timeout proxy_unauthorized proxy_failed "
    "connect_timeout ping_timeout watchdog_timeout flood_wait server_error "
    "transport_flood unknown_key migrated protocol credentials_changed unexpected unregistered revoked expired "
    "deactivated banned duplicated unauthorized bad_api_credentials update_required",
    "BUCKETS": "0.005 0.01 0.025 0.05 0.1 0.25 0.5 1.0 2.5 5.0 10.0 +Inf",
    "PYTHON": platform.python_version(),
    "TELETHON": version("telethon"),
}


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of its own."""
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    """The metrics on that registry, on a day when the time stands still."""
    return Metrics(registry, program_version="1.2.3", clock=lambda: 0.0, wall=lambda: NOW)


def outline(text: str) -> str:
    """Reduce an exposition to its declarations, and to one line a series name with the values of each label."""
    series: dict[str, dict[str, dict[str, None]]] = {}
    out: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            out.append(line)
            continue
        name, labels = re.match(r"(\w+)(?:{(.*)})?", line).groups()  # type: ignore[union-attr]
        if name not in series:
            out.append(name)
        for label, value in re.findall(r'(\w+)="([^"]*)"', labels or ""):
            series.setdefault(name, {}).setdefault(label, {})[value or '""'] = None
        series.setdefault(name, {})
    lines = []
    for line in out:
        values = (f" {label}: {' '.join(seen)}" for label, seen in sorted(series.get(line, {}).items()))
        lines.append(line + "".join(values) + "\n")
    return "".join(lines)


def exposed(registry: CollectorRegistry) -> str:
    """Return what is exposed of ours."""
    lines = generate_latest(registry).decode().splitlines(keepends=True)
    return "".join(line for line in lines if not re.match(r"(# (HELP|TYPE) )?(process|python)_", line))


def values(registry: CollectorRegistry) -> dict[str, float]:
    """Return every series of ours and its value, histograms by sum and count."""
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if family.name.startswith("telegram") and not sample.name.endswith("_bucket")
    }


def moved(registry: CollectorRegistry, before: dict[str, float]) -> dict[str, float | None]:
    """Return the series that changed since, with their values; `None` for one that is gone."""
    after = values(registry)
    return {name: after.get(name) for name in sorted(before | after) if before.get(name) != after.get(name)}


def at(state: State) -> Snapshot:
    """Make a snapshot in a state."""
    return Snapshot(state=state, since=0.0, due=0.0)


def after(event: Event, state: State) -> Snapshot:
    """Make the snapshot of a keeper that an event leads into a state."""
    before = next(before for before, row in TRANSITIONS.items() if row.get(type(event)) is state)
    return advance(at(before), event, now=1.0, due=1.0)


def tell(metrics: Metrics, present: Snapshot, *events: Event) -> Snapshot:
    """Let events happen, one a second, and return the snapshot after the last."""
    for event in events:
        present = advance(present, event, now=present.due + 1, due=present.due + 1)
        metrics(event, present)
    return present


# ----------------------------------------------------------------------------------------------------- the exposition


def test_the_exposition_is_as_documented(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Names, types, help and label values are these from the start, before anything happened."""
    golden = re.sub(r"\b(STATES|REASONS|BUCKETS|PYTHON|TELETHON)\b", lambda found: WORDS[found[0]], GOLDEN)
    assert outline(exposed(registry)) == golden


def test_at_the_start_everything_is_zero(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Before the first event only the state and the two infos are 1."""
    assert {name for name, value in values(registry).items() if value} == {
        "telegram_connection_state starting",
        "telegram_session_info ",
        f"telegram_sidecar_build_info 1.2.3 {WORDS['PYTHON']} {WORDS['TELETHON']}",
    }


def test_the_process_is_measured_too(metrics: Metrics, registry: CollectorRegistry) -> None:
    """The process, the platform and the garbage collector are on the same registry."""
    text = generate_latest(registry).decode()
    for name in ("process_resident_memory_bytes", "process_open_fds", "python_info", "python_gc_collections_total"):
        assert f"\n{name}" in text


def test_two_registries_do_not_meet(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Several sets of metrics may live in one process."""
    other = CollectorRegistry()
    Metrics(other, program_version="2", clock=lambda: 0.0, wall=lambda: NOW)(PingAnswered(0.1), at(State.CONNECTED))
    assert values(registry)["telegram_connected"] == 0
    assert values(other)["telegram_connected"] == 1


def everything() -> list[tuple[Event, State]]:
    """List every event, with every reason and every result that it can have."""
    lost = [LinkLost(reason, "…") for reason in Reason]
    refused = [LinkRefused(reason, "…") for reason in REFUSALS]
    events: list[tuple[Event, State]] = [
        (CredentialsMissing((Problem("API_ID", "is missing"),)), State.UNCONFIGURED),
        (CredentialsChanged(), State.UNCONFIGURED),
        (AttemptStarted(1, "0badcafe"), State.CONNECTING),
        (AttemptStarted(1, "deadbeef"), State.CONNECTING),
        (Postponed(Reason.FLOOD_WAIT, 1.0), State.WAITING),
        (PingAnswered(0.1), State.CONNECTED),
        (FloodWaited(1.0), State.CONNECTED),
        (Held(), State.WAITING),
    ]
    events += [(Connected(ANN, DC4, 0.1, reason), State.CONNECTED) for reason in (None, *Reason)]
    events += [(Checked(result, 0.1, ANN), State.CONNECTED) for result in CheckResult]
    for error in lost:
        events += [(AttemptFailed(1, error, 1.0), State.WAITING), (ConnectionLost(error, 1.0), State.WAITING)]
    for refusal in refused:
        events += [(SessionRefused(refusal, established=known), State.REFUSED) for known in (True, False)]
    return [
        *events,
        (Stopping(), State.STOPPING),
        (Disconnecting(), State.STOPPING),
        (Disconnected(0.1), State.STOPPING),
    ]


def test_nothing_that_happens_adds_a_series(metrics: Metrics, registry: CollectorRegistry) -> None:
    """After every event with every reason the series are those of the start, at most 200, and none names an account."""
    before = set(values(registry))
    for event, state in everything():
        metrics(event, after(event, state))
    metrics.observe_lag(1.0)
    assert set(values(registry)) - before == {"telegram_session_info deadbeef"}
    text = generate_latest(registry).decode()
    assert sum(not line.startswith("#") for line in text.splitlines()) <= 200
    assert not re.search(r"\bann\b|\blee\b|4917|_created", text, re.IGNORECASE)


def test_promtool_has_no_complaint(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Prometheus's own check finds nothing wrong with names, types and help, before and after every event."""
    promtool = need("promtool")
    for events in ([], everything()):
        for event, state in events:
            metrics(event, after(event, state))
        done = subprocess.run(  # noqa: S603 - the path comes from which
            [promtool, "check", "metrics"], input=generate_latest(registry), capture_output=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# ------------------------------------------------------------------------------------------------------ every event


@pytest.mark.parametrize("state", State)
def test_connected_is_one_state(metrics: Metrics, registry: CollectorRegistry, state: State) -> None:
    """The state set has its 1 at the present state, and `telegram_connected` is 1 in one state alone."""
    metrics(Held(), at(state))
    now = values(registry)
    assert [name for name in State if now[f"telegram_connection_state {name}"]] == [state]
    assert now["telegram_connected"] == (state is State.CONNECTED)


@pytest.mark.parametrize(
    ("event", "state", "expected"),
    [
        pytest.param(
            AttemptStarted(1, "0badcafe"),
            State.CONNECTING,
            {"telegram_session_info 0badcafe": 1, "telegram_session_info ": None},
            id="attempt-started",
        ),
        pytest.param(
            Connected(ANN, DC4, 0.25, None),
            State.CONNECTED,
            {
                "telegram_connect_attempts_total ok": 1,
                "telegram_connect_duration_seconds_sum": 0.25,
                "telegram_connect_duration_seconds_count": 1,
                "telegram_last_contact_timestamp_seconds": NOW,
                "telegram_connection_established_timestamp_seconds": NOW,
                "telegram_clock_offset_seconds": -1.5,
                "telegram_dc_id": 4,
            },
            id="connected-for-the-first-time",
        ),
        pytest.param(
            Connected(ANN, DC4, 0.25, Reason.PING_TIMEOUT),
            State.CONNECTED,
            {
                "telegram_connect_attempts_total ok": 1,
                "telegram_reconnects_total ping_timeout": 1,
                "telegram_connect_duration_seconds_sum": 0.25,
                "telegram_connect_duration_seconds_count": 1,
                "telegram_last_contact_timestamp_seconds": NOW,
                "telegram_connection_established_timestamp_seconds": NOW,
                "telegram_clock_offset_seconds": -1.5,
                "telegram_dc_id": 4,
            },
            id="connected-again",
        ),
        pytest.param(
            AttemptFailed(1, RESET, 1.0),
            State.WAITING,
            {"telegram_connect_attempts_total lost": 1},
            id="attempt-failed",
        ),
        pytest.param(
            AttemptFailed(1, FAULT, 1.0),
            State.WAITING,
            {"telegram_connect_attempts_total lost": 1, "telegram_last_contact_timestamp_seconds": NOW},
            id="attempt-answered-by-an-error",
        ),
        pytest.param(
            SessionRefused(REVOKED, established=False),
            State.REFUSED,
            {"telegram_connect_attempts_total refused": 1, "telegram_last_contact_timestamp_seconds": NOW},
            id="attempt-refused",
        ),
        pytest.param(
            SessionRefused(REVOKED, established=True),
            State.REFUSED,
            {"telegram_disconnects_total revoked": 1, "telegram_last_contact_timestamp_seconds": NOW},
            id="session-refused",
        ),
        pytest.param(
            ConnectionLost(RESET, 1.0), State.WAITING, {"telegram_disconnects_total reset": 1}, id="connection-lost"
        ),
        pytest.param(
            Checked(CheckResult.OK, 0.25, ANN),
            State.CONNECTED,
            {
                "telegram_watchdog_checks_total ok": 1,
                "telegram_watchdog_latency_seconds_sum": 0.25,
                "telegram_watchdog_latency_seconds_count": 1,
                "telegram_last_contact_timestamp_seconds": NOW,
            },
            id="checked",
        ),
        *(
            pytest.param(
                Checked(result, 10.0),
                State.CONNECTED,
                {f"telegram_watchdog_checks_total {result}": 1, "telegram_last_contact_timestamp_seconds": NOW},
                id=f"checked-{result}",
            )
            for result in (CheckResult.FLOOD_WAIT, CheckResult.SERVER_ERROR, CheckResult.REFUSED)
        ),
        *(
            pytest.param(
                Checked(result, 10.0),
                State.CONNECTED,
                {f"telegram_watchdog_checks_total {result}": 1},
                id=f"checked-{result}",
            )
            for result in (CheckResult.TIMEOUT, CheckResult.LOST)
        ),
        pytest.param(
            PingAnswered(0.25),
            State.CONNECTED,
            {
                "telegram_ping_latency_seconds_sum": 0.25,
                "telegram_ping_latency_seconds_count": 1,
                "telegram_last_contact_timestamp_seconds": NOW,
            },
            id="ping",
        ),
        pytest.param(
            FloodWaited(349.0),
            State.CONNECTED,
            {
                "telegram_flood_waits_total": 1,
                "telegram_flood_wait_until_timestamp_seconds": NOW + 349,
                "telegram_last_contact_timestamp_seconds": NOW,
            },
            id="flood-wait",
        ),
        pytest.param(
            Postponed(Reason.FLOOD_WAIT, 200.0),
            State.WAITING,
            {"telegram_flood_wait_until_timestamp_seconds": NOW + 200},
            id="postponed",
        ),
        pytest.param(Postponed(Reason.TRANSPORT_FLOOD, 120.0), State.WAITING, {}, id="postponed-address"),
        pytest.param(CredentialsMissing((Problem("API_ID", "is missing"),)), State.UNCONFIGURED, {}, id="missing"),
        pytest.param(CredentialsChanged(), State.WAITING, {}, id="changed"),
        pytest.param(Held(), State.WAITING, {}, id="held"),
        pytest.param(Stopping(), State.STOPPING, {}, id="stopping"),
        pytest.param(Disconnecting(), State.STOPPING, {}, id="disconnecting"),
        pytest.param(Disconnected(0.1), State.STOPPING, {}, id="disconnected"),
    ],
)
def test_an_event_moves_these_series_and_no_others(
    metrics: Metrics, registry: CollectorRegistry, event: Event, state: State, expected: dict[str, float | None]
) -> None:
    """Beside the state, each event moves exactly the series that are about it."""
    metrics(Held(), at(state))
    before = values(registry)
    metrics(event, after(event, state))
    assert moved(registry, before) == expected


def test_what_is_gone_is_shown_as_gone(metrics: Metrics, registry: CollectorRegistry) -> None:
    """A lost connection has no time of its beginning, and credentials that are gone no session; the contact stays."""
    started = AttemptStarted(1, "0badcafe"), Connected(ANN, DC4, 0.25, None)
    present = tell(metrics, at(State.STARTING), *started)
    before = values(registry)
    tell(metrics, present, ConnectionLost(RESET, 1.0), CredentialsMissing((Problem("API_ID", "is missing"),)))
    assert moved(registry, before) == {
        "telegram_connected": 0,
        "telegram_connection_established_timestamp_seconds": 0,
        "telegram_connection_state connected": 0,
        "telegram_connection_state unconfigured": 1,
        "telegram_disconnects_total reset": 1,
        "telegram_session_info ": 1,
        "telegram_session_info 0badcafe": None,
    }


def test_the_last_contact_is_dated_by_the_answer(registry: CollectorRegistry) -> None:
    """The contact has the time of the last event that was an answer, whatever happens after it."""
    days = [NOW]
    metrics = Metrics(registry, program_version="1.2.3", clock=lambda: 0.0, wall=lambda: days[-1])
    present, dated = at(State.STARTING), []
    for event in (
        AttemptStarted(1, "0badcafe"),
        Connected(ANN, DC4, 0.25, None),
        PingAnswered(0.1),
        Checked(CheckResult.TIMEOUT, 10.0),
        ConnectionLost(RESET, 1.0),
        Postponed(Reason.FLOOD_WAIT, 9.0),
        AttemptStarted(2, "0badcafe"),
        SessionRefused(REVOKED, established=False),
        Held(),
    ):
        days.append(days[-1] + 1)
        present = tell(metrics, present, event)
        dated.append(values(registry)["telegram_last_contact_timestamp_seconds"])
    assert dated == [0, NOW + 2, NOW + 3, NOW + 3, NOW + 3, NOW + 3, NOW + 3, NOW + 8, NOW + 8]


def test_a_connection_is_no_younger_than_its_first_answer(registry: CollectorRegistry) -> None:
    """Both are dated by one reading of the clock: a contact before the connection would tell of one that is over."""
    days = count(NOW)
    metrics = Metrics(registry, program_version="1.2.3", clock=lambda: 0.0, wall=lambda: next(days))
    tell(metrics, at(State.CONNECTING), Connected(ANN, DC4, 0.25, None))
    now = values(registry)
    assert now["telegram_last_contact_timestamp_seconds"] == NOW
    assert now["telegram_connection_established_timestamp_seconds"] == NOW


def test_lag_is_observed(metrics: Metrics, registry: CollectorRegistry) -> None:
    """A sample of the event loop's lag goes into its histogram and nowhere else."""
    before = values(registry)
    metrics.observe_lag(0.5)
    assert moved(registry, before) == {
        "telegram_sidecar_event_loop_lag_seconds_count": 1,
        "telegram_sidecar_event_loop_lag_seconds_sum": 0.5,
    }
