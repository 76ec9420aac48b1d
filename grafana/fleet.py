"""The dashboard of a fleet: how many are connected, and which are the worst?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.vocabulary import (
    GREEN,
    ORANGE,
    RED,
    SELECTED,
    YELLOW,
    Query,
    bars,
    big,
    columns,
    dressed,
    lines,
    page,
    ranking,
    rows,
    steps,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard

    from grafana.vocabulary import Panels

WHERE = "{{namespace}} {{pod}} {{instance}}"
_HIDDEN = ["Time", "__name__", "container", "endpoint", "telegram_connection_state"]


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    made = page(
        "Telethon sidecars: fleet",
        "telethon-sidecar-fleet",
        "All sidecars: how many are connected, which namespaces and pods are the worst, which sessions need a person.",
        variables=["job", "namespace", "pod"],
    )
    for panel in [*_counts(), *_course(), *_worst(), *_persons()]:
        made = made.with_panel(panel)
    return made


def _counts() -> Panels:
    stuck = f'telegram_connection_state{{{SELECTED},telegram_connection_state=~"refused|unconfigured"}} == 1'
    bad = steps((None, GREEN), (1, RED))
    return [
        dressed(
            big(steps((None, GREEN))),
            "Connected",
            "How many sidecars have a connection to Telegram that answers.",
            [Query(f"sum(telegram_connected{{{SELECTED}}})")],
            size=(4, 5),
        ),
        dressed(
            big(bad),
            "Not connected",
            "How many answer Prometheus and have no connection, for whatever reason.",
            [Query(f"count(telegram_connected{{{SELECTED}}} == 0) or vector(0)")],
            size=(4, 5),
            heading="disconnected",
        ),
        dressed(
            big(bad),
            "Not answering",
            "Targets that Prometheus cannot scrape. Nothing is known of their connections.",
            [Query(f'count(up{{{SELECTED},job=~"(.+/)?telethon-sidecar"}} == 0) or vector(0)')],
            size=(4, 5),
            heading="sidecardown",
        ),
        dressed(
            big(bad),
            "Refused or not configured",
            "A person must act: log in again, or mend the Secret. Listed below.",
            [Query(f"count({stuck}) or vector(0)")],
            size=(4, 5),
            heading="sessionrefused",
        ),
        dressed(
            big(bad),
            "Sessions held twice",
            "Sessions with two live connections, in any namespace: Telegram may kill them. Listed below.",
            [Query("count(session:telegram_holders:count > 1) or vector(0)")],
            size=(4, 5),
            heading="sessionheldtwice",
        ),
        dressed(
            big(steps((None, GREEN), (1, ORANGE))),
            "In a flood wait",
            "Telegram asked these to hold back. Do not restart them.",
            [Query(f"count(instance:telegram_flood_wait:remaining_seconds{{{SELECTED}}} > 0) or vector(0)")],
            size=(4, 5),
            heading="floodwait",
        ),
    ]


def _course() -> Panels:
    storms = f"sum by (namespace) (increase(telegram_disconnects_total{{{SELECTED}}}[$__rate_interval]))"
    return [
        dressed(
            lines(fill=20),
            "Connected, of all",
            "Where both lines fall, targets are gone. Where only connected falls, Telegram is away for them.",
            [
                Query(f"count(telegram_connected{{{SELECTED}}})", "all"),
                Query(f"sum(telegram_connected{{{SELECTED}}})", "connected"),
            ],
            size=(12, 8),
            heading="disconnected",
        ),
        dressed(
            bars(),
            "Losses by namespace",
            "All namespaces at once: the cluster's way out, or Telegram. One alone: its policies.",
            [Query(storms, "{{namespace}}")],
            size=(12, 8),
            heading="reconnectstorm",
        ),
    ]


def _worst() -> Panels:
    share = f"avg_over_time(telegram_connected{{{SELECTED}}}[$__range])"
    poor = steps((None, RED), (0.99, YELLOW), (0.999, GREEN))
    return [
        dressed(
            ranking(poor).min(0).max(1),
            "Worst namespaces: time connected",
            "The ten with the least time connected, of the time shown.",
            [Query(f"bottomk(10, avg by (namespace) ({share}))", "{{namespace}}", instant=True)],
            size=(8, 9),
            unit="percentunit",
            heading="disconnected",
        ),
        dressed(
            ranking(poor).min(0).max(1),
            "Worst pods: time connected",
            "The ten with the least time connected, of the time shown.",
            [Query(f"bottomk(10, {share})", WHERE, instant=True)],
            size=(8, 9),
            unit="percentunit",
            heading="disconnected",
        ),
        dressed(
            ranking(steps((None, GREEN), (2, YELLOW), (5.5, RED))).min(0).decimals(0),
            "Worst pods: reconnects within an hour",
            "The ten that came back most often. More than five is an alert.",
            [Query(f"topk(10, instance:telegram_reconnects:increase1h{{{SELECTED}}})", WHERE, instant=True)],
            size=(8, 9),
            heading="reconnectstorm",
        ),
    ]


def _persons() -> Panels:
    refused = f'telegram_connection_state{{{SELECTED},telegram_connection_state=~"refused|unconfigured"}} == 1'
    holders = (
        f"instance:telegram_session_held:timestamp_seconds{{{SELECTED}}}"
        " and on (session) session:telegram_holders:count > 1"
    )
    return [
        dressed(
            columns(
                rows().no_value("none: no person is needed"),
                [name for name in _HIDDEN if name != "telegram_connection_state"] + ["Value"],
                telegram_connection_state="state",
            ),
            "Refused sessions and missing credentials",
            "Each needs a person. /healthz of the pod says why; the runbook has a heading for each reason.",
            [Query(refused, instant=True, form="table")],
            size=(12, 8),
            heading="sessionrefused",
        ),
        dressed(
            columns(rows().no_value("none"), [*_HIDDEN, "Value"]),
            "Sessions held twice, and by whom",
            "Scale all but one of each session to zero, now. All holders count; those chosen are shown.",
            [Query(holders, instant=True, form="table")],
            size=(12, 8),
            heading="sessionheldtwice",
        ),
    ]
