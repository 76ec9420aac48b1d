"""The metrics: every declaration here is also its documentation (docs/metrics.md is generated from them).

Rules of this file: it is a view of events on a registry of its own. Label values come from closed sets and exist from
the start, so that a rate over a reason that never happened is 0 and not absent. Nothing here names an account.
"""

from __future__ import annotations

import platform
import time
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, assert_never

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Enum,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from sidecar import health
from sidecar.link import Reason
from sidecar.messages import Method, Result
from sidecar.state import (
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
    FloodWaited,
    Held,
    PingAnswered,
    Postponed,
    SessionRefused,
    State,
    Stopping,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.state import Event, Snapshot

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds. From a round trip inside a city to the default deadline of a get_me check."""

REQUEST_BUCKETS = (0.05, 0.25, 1.0, 5.0)
"""Seconds. Fewer than above, because there is one histogram a method, and 200 series are the limit of this process."""

ATTEMPT_RESULTS = ("ok", "lost", "refused")


class Metrics:
    """The view of events as metrics."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        program_version: str,
        clock: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Declare every metric.

        Args:
            registry: where.
            program_version: ours.
            clock: gives the event loop's time, by which `telegram_connected` is judged anew at every scrape: a process
                that was frozen must not show what was true before.
            wall: gives the time of day, in seconds since 1970.
        """
        # One `_created` series beside every counter and histogram would double the series for nothing.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._wall = wall
        self._clock = clock
        self._contact: float | None = None
        self._connected = Gauge(
            "telegram_connected",
            "1 while Telegram answers: in state connected, and in no other.",
            registry=registry,
        )
        self._state = Enum(
            "telegram_connection_state",
            "What the keeper is doing; 1 at the present state.",
            states=[state.value for state in State],
            registry=registry,
        )
        self._reconnects = Counter(
            "telegram_reconnects",
            "Connections re-established, by what had ended the one before.",
            ["reason"],
            registry=registry,
        )
        self._disconnects = Counter(
            "telegram_disconnects",
            "Verified connections that were lost or refused, by reason.",
            ["reason"],
            registry=registry,
        )
        self._attempts = Counter(
            "telegram_connect_attempts",
            "Attempts to connect, by result.",
            ["result"],
            registry=registry,
        )
        self._connect_duration = Histogram(
            "telegram_connect_duration_seconds",
            "Time from dialling to the answered get_me; successes only.",
            buckets=BUCKETS,
            registry=registry,
        )
        self._checks = Counter(
            "telegram_watchdog_checks",
            "get_me checks of a verified connection, by result: the service level indicator.",
            ["result"],
            registry=registry,
        )
        self._check_latency = Histogram(
            "telegram_watchdog_latency_seconds",
            "Round trip of get_me checks; successes only.",
            buckets=BUCKETS,
            registry=registry,
        )
        self._ping_latency = Histogram(
            "telegram_ping_latency_seconds",
            "Round trip of answered pings.",
            buckets=BUCKETS,
            registry=registry,
        )
        self._last_contact = Gauge(
            "telegram_last_contact_timestamp_seconds",
            "When Telegram last answered anything; 0 if it never did.",
            registry=registry,
        )
        self._established = Gauge(
            "telegram_connection_established_timestamp_seconds",
            "When the present connection was verified; 0 while there is none.",
            registry=registry,
        )
        self._flood_waits = Counter(
            "telegram_flood_waits",
            "How often Telegram asked to hold back.",
            registry=registry,
        )
        self._flood_until = Gauge(
            "telegram_flood_wait_until_timestamp_seconds",
            "Until when Telegram asked to hold back, the last time it did; 0 if not with these credentials.",
            registry=registry,
        )
        self._clock_offset = Gauge(
            "telegram_clock_offset_seconds",
            "Telegram's clock minus ours at the last connect, give or take half a second.",
            registry=registry,
        )
        self._dc = Gauge(
            "telegram_dc_id",
            "Number of the data centre of the last connection; 0 if there was none.",
            registry=registry,
        )
        self._session = Info(
            "telegram_session",
            "First 8 hex digits of the SHA-256 of the auth key in use: finds one session that is held twice.",
            registry=registry,
        )
        self._requests = Counter(
            "telegram_requests",
            "What the application asked for on the api listener, by how it ended; failed: not connected, or too late.",
            ["method", "result"],
            registry=registry,
        )
        self._request_duration = Histogram(
            "telegram_request_duration_seconds",
            "Time from the application's call to its answer, waiting for a connection or a flood wait included.",
            ["method"],
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )
        self._loop_lag = Histogram(
            "telegram_sidecar_event_loop_lag_seconds",
            "How late the event loop runs what is due; explains false alarms.",
            buckets=BUCKETS,
            registry=registry,
        )
        build = Info("telegram_sidecar_build", "What is running.", registry=registry)
        build.info({"version": program_version, "python": platform.python_version(), "telethon": version("telethon")})
        self._session.info({"session": ""})
        for reason in Reason:
            self._reconnects.labels(reason)
            self._disconnects.labels(reason)
        for attempt in ATTEMPT_RESULTS:
            self._attempts.labels(attempt)
        for result in CheckResult:
            self._checks.labels(result)
        for method in Method:
            self._request_duration.labels(method)
            for outcome in Result:
                self._requests.labels(method, outcome)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

    def observe_lag(self, seconds: float) -> None:
        """Take a sample of the event loop's lag."""
        self._loop_lag.observe(seconds)

    def observe_request(self, method: Method, result: Result, seconds: float) -> None:
        """Take in how a call of the application's ended."""
        self._requests.labels(method, result).inc()
        self._request_duration.labels(method).observe(seconds)

    def __call__(self, event: Event, snapshot: Snapshot) -> None:
        """Take an event in."""
        self._connected.set_function(partial(_connected, snapshot, self._clock))
        self._state.state(snapshot.state)
        # Read once: SessionHeldTwice takes a connection for over whose last contact is older than it is itself.
        now = self._wall()
        if snapshot.last_contact != self._contact:
            self._contact = snapshot.last_contact
            self._last_contact.set(now)
        if snapshot.state is not State.CONNECTED:
            self._established.set(0)
        match event:
            case AttemptStarted(session=session):
                self._session.info({"session": session})
            case CredentialsMissing():
                self._session.info({"session": ""})
            case Connected(endpoint=endpoint, seconds=seconds, after=after):
                self._attempts.labels("ok").inc()
                self._connect_duration.observe(seconds)
                if after:
                    self._reconnects.labels(after).inc()
                self._established.set(now)
                self._clock_offset.set(endpoint.clock_offset)
                self._dc.set(endpoint.dc)
            case AttemptFailed():
                self._attempts.labels("lost").inc()
            case ConnectionLost(error):
                self._disconnects.labels(error.reason).inc()
            case SessionRefused(error, established):
                if established:
                    self._disconnects.labels(error.reason).inc()
                else:
                    self._attempts.labels("refused").inc()
            case Checked(result, seconds, identity):
                self._checks.labels(result).inc()
                if identity:
                    self._check_latency.observe(seconds)
            case FloodWaited(seconds):
                self._flood_waits.inc()
                self._flood_until.set(now + seconds)
            case PingAnswered(seconds):
                self._ping_latency.observe(seconds)
            case Postponed(reason, seconds):
                if reason is Reason.FLOOD_WAIT:
                    self._flood_until.set(now + seconds)
            case CredentialsChanged():
                self._flood_until.set(0)
            case Held() | Stopping() | Disconnecting() | Disconnected():
                pass
            case _:
                assert_never(event)


def _connected(snapshot: Snapshot, clock: Callable[[], float]) -> float:
    return float(health.ready(snapshot, clock()).ok)
