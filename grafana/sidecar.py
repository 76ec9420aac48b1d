"""The dashboard of one sidecar: is it connected, since when, and if not, why?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import dashboard

from grafana.vocabulary import (
    BLUE,
    COARSE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    SELECTED,
    YELLOW,
    Query,
    bars,
    big,
    columns,
    counted_on_the_right,
    density,
    dressed,
    limit,
    lines,
    page,
    rows,
    signed,
    steps,
    timeline,
    words,
)
from sidecar.state import State

if TYPE_CHECKING:
    from grafana.vocabulary import Panels

WHO = "{{pod}} {{instance}}"

COLOURS = {
    State.STARTING: BLUE,
    State.UNCONFIGURED: RED,
    State.CONNECTING: YELLOW,
    State.CONNECTED: GREEN,
    State.WAITING: ORANGE,
    State.REFUSED: RED,
    State.STANDBY: BLUE,
    State.STOPPING: GREY,
}

OBJECTIVE = 0.99
"""Share of get_me checks that must be answered; deploy/prometheus/rules.yaml says why it is not stricter."""


def state_code() -> str:
    """Return an expression that turns the state set into a number: the place of the present state."""
    one = 'telegram_connection_state{{{selected},telegram_connection_state="{state}"}} * {place}'
    codes = [one.format(selected=SELECTED, state=state, place=place) for place, state in enumerate(State)]
    return "sum without (telegram_connection_state) (" + " or ".join(codes) + ")"


def by(label: str, metric: str, window: str = "$__rate_interval") -> Query:
    """Return a query for how many of each kind; a line at zero while there is none."""
    none = f'label_replace(vector(0), "{label}", "none", "", "")'
    return Query(f"sum by ({label}) (increase({metric}{{{SELECTED}}}[{window}])) > 0 or {none}", f"{{{{{label}}}}}")


def quantiles(histogram: str, *parts: float) -> list[Query]:
    """Return queries for quantiles of a histogram."""
    rate = f"sum by (le) (rate({histogram}_bucket{{{SELECTED}}}[$__rate_interval]))"
    return [Query(f"histogram_quantile({part}, {rate})", f"p{part * 100:g}") for part in parts]


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    made = page(
        "Telethon sidecar",
        "telethon-sidecar",
        "One sidecar: is it connected, since when, and if not, why? Choose a namespace and a pod.",
        variables=["job", "namespace", "pod"],
    )
    for panel in _now():
        made = made.with_panel(panel)
    for title, panels in (
        ("Connection", _connection()),
        ("Latency", _latency()),
        ("Checks and error budget", _checks()),
        ("The application's requests", _requests()),
        ("Flood waits, clock and process", _process()),
    ):
        made = made.with_row(dashboard.Row(title))
        for one in panels:
            made = made.with_panel(one)
    return made


def _now() -> Panels:
    good = steps((None, RED), (1, GREEN))
    names = words({str(place): (state.value, COLOURS[state]) for place, state in enumerate(State)})
    contact, since = "telegram_last_contact_timestamp_seconds", "telegram_connection_established_timestamp_seconds"
    return [
        dressed(
            big(steps((None, GREY))).mappings(names),
            "State",
            "What the keeper is doing. waiting tries again by itself; refused and unconfigured need a person.",
            [Query(state_code(), WHO)],
            size=(6, 5),
            heading="by-state",
        ),
        dressed(
            big(good).mappings(words({"0": ("no", RED), "1": ("yes", GREEN)})),
            "Connected",
            "Whether Telegram answered within the last seconds.",
            [Query(f"telegram_connected{{{SELECTED}}}", WHO)],
            size=(3, 5),
            heading="disconnected",
        ),
        dressed(
            big(steps((None, RED), (0.99, YELLOW), (0.999, GREEN))).decimals(2),
            "Connected, of this time",
            "Share of the time shown in which it was connected.",
            [Query(f"avg_over_time(telegram_connected{{{SELECTED}}}[$__range])", WHO)],
            size=(4, 5),
            unit="percentunit",
            heading="disconnected",
        ),
        dressed(
            big(steps((None, GREEN), (10, ORANGE), (60, RED))),
            "Last answer was",
            "Time from Telegram's last answer to the last scrape. Pings come every 3 s: more than 10 s is silence.",
            # As of the scrape: as of time() it is up to a scrape interval older, and a healthy one looks silent.
            [Query(f"timestamp({contact}{{{SELECTED}}}) - ({contact}{{{SELECTED}}} > 0)", WHO)],
            size=(4, 5),
            unit="s",
            heading="ping_timeout",
        ),
        dressed(
            big(steps((None, GREEN))).no_value("not connected"),
            "Connected for",
            "Age of the present connection.",
            [Query(f"time() - ({since}{{{SELECTED}}} > 0)", WHO)],
            size=(4, 5),
            unit="s",
        ),
        dressed(
            big(steps((None, GREEN), (1, ORANGE), (600, RED))),
            "Flood wait left",
            "How long Telegram still wants no requests. Do not restart into a flood wait.",
            [Query(f"instance:telegram_flood_wait:remaining_seconds{{{SELECTED}}}", WHO)],
            size=(3, 5),
            unit="s",
            heading="floodwait",
        ),
    ]


def _connection() -> Panels:
    names = words({str(place): (state.value, COLOURS[state]) for place, state in enumerate(State)})
    return [
        dressed(
            timeline().mappings(names),
            "State over time",
            "One band for each process. Short gaps in the green mend themselves; look at the reasons below.",
            [Query(state_code(), WHO)],
            size=(24, 5),
            heading="by-state",
        ),
        dressed(
            bars(),
            "Reconnects by reason",
            "Connections that came back, by what had ended the one before. More than five an hour is an alert.",
            [by("reason", "telegram_reconnects_total")],
            size=(8, 8),
            heading="reconnectstorm",
        ),
        dressed(
            bars(),
            "Losses and refusals by reason",
            "Verified connections that ended. The runbook has a heading for each reason.",
            [by("reason", "telegram_disconnects_total")],
            size=(8, 8),
            heading="reasons",
        ),
        dressed(
            bars(),
            "Attempts to connect by result",
            "lost is tried again, at most 30 s later. refused needs a person.",
            [by("result", "telegram_connect_attempts_total")],
            size=(8, 8),
            heading="connect_timeout",
        ),
    ]


def _latency() -> Panels:
    buckets = f"sum by (le) (increase(telegram_watchdog_latency_seconds_bucket{{{SELECTED}}}[$__rate_interval]))"
    recorded = f"instance:telegram_watchdog_latency_seconds:p90_30m{{{SELECTED}}}"
    return [
        dressed(
            density().interval(COARSE),
            "get_me latency, how many checks",
            "Answered checks by round trip. A dark band that climbs means that Telegram, or the way to it, gets slow.",
            [Query(buckets, "{{le}}", form="heatmap")],
            size=(12, 8),
            heading="watchdoglatencyhigh",
        ),
        dressed(
            limit(lines(), (None, GREEN), (1, ORANGE)).interval(COARSE),
            "get_me latency",
            "Quantiles of answered checks. The alert looks at nine tenths of half an hour: over 1 s.",
            [
                *quantiles("telegram_watchdog_latency_seconds", 0.5, 0.9),
                Query(recorded, f"p90 of 30 min {WHO}"),
            ],
            size=(12, 8),
            unit="s",
            heading="watchdoglatencyhigh",
        ),
        dressed(
            limit(lines(), (None, GREEN), (3, RED)),
            "Ping latency",
            "Pings come every 3 s, and one that takes 3 s ends the connection. Slow pings mean the network.",
            quantiles("telegram_ping_latency_seconds", 0.5, 0.99),
            size=(12, 8),
            unit="s",
            heading="ping_timeout",
        ),
        dressed(
            limit(lines(), (None, GREEN), (15, RED)),
            "Time to connect",
            "From dialling to the answered get_me, of attempts that succeeded. At 15 s an attempt is given up.",
            quantiles("telegram_connect_duration_seconds", 0.5, 0.99),
            size=(12, 8),
            unit="s",
            heading="connect_timeout",
        ),
    ]


def _checks() -> Panels:
    counted = "sum without (result) (increase(telegram_watchdog_checks_total{{{selected},result{kind}}}[$__range]))"
    failed = counted.format(selected=SELECTED, kind='!~"ok|flood_wait"')
    asked = counted.format(selected=SELECTED, kind='!="flood_wait"')
    windows = ("15m", "1h", "6h")
    ratio = "instance:telegram_watchdog_failures:ratio{window}{{{selected}}}"
    return [
        dressed(
            bars(),
            "Checks by result",
            "get_me checks of a verified connection: one a minute. All but ok and flood_wait count as failed.",
            [by("result", "telegram_watchdog_checks_total")],
            size=(10, 8),
            heading="the-error-budget",
        ),
        dressed(
            big(steps((None, RED), (0, ORANGE), (0.5, GREEN))).decimals(0),
            "Error budget left",
            f"Of the failures that the objective ({OBJECTIVE:.0%} answered) allows in the time shown. Choose 30 days "
            "to see the month. Below zero it is overspent.",
            [Query(f"1 - ({failed} / ({asked} > 0)) / (1 - {OBJECTIVE})", WHO)],
            size=(4, 8),
            unit="percentunit",
            heading="the-error-budget",
        ),
        dressed(
            limit(lines(), (None, GREEN), (0.06, ORANGE), (0.144, RED)),
            "Share of checks that failed",
            "Over the windows of the two alerts. Fast: 1 h and 15 min over 14.4 %. Slow: 6 h and 1 h over 6 %.",
            [Query(ratio.format(window=window, selected=SELECTED), f"{window} {WHO}") for window in windows],
            size=(10, 8),
            unit="percentunit",
            heading="errorbudgetburnfast",
        ),
    ]


def _requests() -> Panels:
    return [
        dressed(
            bars(),
            "Requests by method",
            "What the application asked for on the api listener.",
            [by("method", "telegram_requests_total")],
            size=(8, 8),
            heading="the-applications-requests",
        ),
        dressed(
            bars(),
            "Requests by result",
            "refused and flood_wait are Telegram's word about the request; failed means not connected, or too late.",
            [by("result", "telegram_requests_total")],
            size=(8, 8),
            heading="the-applications-requests",
        ),
        dressed(
            lines(),
            "Time to answer",
            "Waiting for a connection or a flood wait included; the application gives up after 30 s unless it says "
            "otherwise.",
            quantiles("telegram_request_duration_seconds", 0.5, 0.99),
            size=(8, 8),
            unit="s",
            heading="the-applications-requests",
        ),
    ]


def _process() -> Panels:
    lag = f"instance:telegram_sidecar_event_loop_lag_seconds:p99_5m{{{SELECTED}}}"
    left = f"instance:telegram_flood_wait:remaining_seconds{{{SELECTED}}}"
    hidden = ["Time", "Value", "__name__", "container", "endpoint", "job", "namespace", "instance"]
    return [
        dressed(
            lines(fill=20).override_by_query("B", counted_on_the_right()),
            "Flood waits",
            "How long Telegram still wanted no requests, and how often it asked.",
            [
                Query(left, f"left {WHO}"),
                Query(f"increase(telegram_flood_waits_total{{{SELECTED}}}[$__rate_interval])", f"asked {WHO}"),
            ],
            size=(8, 7),
            unit="s",
            heading="floodwait",
        ),
        dressed(
            limit(signed(), (None, ORANGE), (-5, GREEN), (5, ORANGE)),
            "Clock offset",
            "Telegram's clock minus the node's at the last connect, to the second. Over 5 s either way is an alert.",
            [Query(f"telegram_clock_offset_seconds{{{SELECTED}}}", WHO)],
            size=(8, 7),
            unit="s",
            heading="clockskew",
        ),
        dressed(
            limit(lines(), (None, GREEN), (0.5, ORANGE), (3, RED)),
            "Event loop lag, p99 of 5 min",
            "How late the process runs what is due. Over 0.5 s it is starved; at 3 s good connections are given up.",
            [Query(lag, WHO)],
            size=(8, 7),
            unit="s",
            heading="eventlooplag",
        ),
        dressed(
            lines(fill=20),
            "CPU",
            "Processor time per second, 1 is a whole core. It needs next to nothing.",
            [Query(f"rate(process_cpu_seconds_total{{{SELECTED}}}[$__rate_interval])", WHO)],
            size=(5, 7),
            heading="eventlooplag",
        ),
        dressed(
            lines(fill=20),
            "Memory",
            "Resident memory: some 80 MB, and flat.",
            [Query(f"process_resident_memory_bytes{{{SELECTED}}}", WHO)],
            size=(4, 7),
            unit="bytes",
        ),
        dressed(
            lines(),
            "Open files",
            "Files and sockets. Flat, whatever Telegram does.",
            [Query(f"process_open_fds{{{SELECTED}}}", WHO)],
            size=(4, 7),
        ),
        dressed(
            columns(rows(), hidden),
            "What is running",
            "Versions, for a report.",
            [Query(f"telegram_sidecar_build_info{{{SELECTED}}}", instant=True, form="table")],
            size=(11, 7),
        ),
    ]
