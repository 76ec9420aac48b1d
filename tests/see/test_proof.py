"""The proof: real daemons, a real Prometheus with our rules, a real Alertmanager, and somebody who is told.

The demo's own faults are played, in the order that an evening may bring, and then every query of the dashboards and
every recording rule is asked for what it saw. Delays of minutes are seconds here; nothing else of the rules is changed.
"""

from __future__ import annotations

import json
import math
import os
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.simulator import DataCentre
from sidecar.simulator.demo import Demo
from sidecar.simulator.secret import MountedSecret
from tests.daemon import Daemon
from tests.rig import API_HASH
from tests.see.files import dashboards, panels, rules
from tests.see.servers import OnCall, Prometheus, servers

if TYPE_CHECKING:
    from sidecar.simulator.scenario import Step

pytestmark = pytest.mark.slow

PACE = ("--watchdog-interval", "4", "--watchdog-timeout", "3", "--connect-timeout", "3", "--backoff-max", "2")
"""Checks come every 4 s instead of every 60, so that the proof takes a minute."""


async def test_faults_reach_the_person_and_the_dashboards(tmp_path: Path) -> None:
    """A killed connection and a revoked session arrive as the right alerts; no panel and no rule stays empty."""
    began = time.time()
    async with AsyncExitStack() as stack:
        dc, other = [await stack.enter_async_context(DataCentre()) for _ in range(2)]
        demo = Demo(dc, MountedSecret(tmp_path / "secrets"))
        shared = {"API_ID": "1", "API_HASH": API_HASH, "SESSION_STRING": other.create_session().string}
        daemons = {
            "shop/bot-0": Daemon(tmp_path, "run", *PACE, SIDECAR_SECRETS_DIR=str(tmp_path / "secrets")),
            "shop/bot-1": Daemon(tmp_path, "run", *PACE, **shared),
            "test/copy-0": Daemon(tmp_path, "run", *PACE, **shared),
            "test/new-0": Daemon(tmp_path, "run", *PACE),
        }
        targets = {}
        for name, daemon in daemons.items():
            await stack.enter_async_context(daemon)
            namespace, pod = name.split("/")
            address = (await daemon.logged("service_starting"))["ops"].removeprefix("http://")
            targets[address] = {"namespace": namespace, "pod": pod}
        prometheus, on_call = await stack.enter_async_context(servers(tmp_path, targets))

        figures = await _story(demo.steps(), dc, daemons["test/new-0"], prometheus, on_call)
        await _nothing_stays_empty(prometheus, began, time.time())

    print("\nfrom the fault to the webhook, seconds:", json.dumps(figures))  # noqa: T201 - with -s it is the measurement


async def _story(
    steps: list[Step], dc: DataCentre, newcomer: Daemon, prometheus: Prometheus, on_call: OnCall
) -> dict[str, float]:
    """Play the faults, and return how many seconds each took from its beginning to the webhook."""
    fault = {step.name: step for step in steps}

    async def play(name: str) -> float:
        (step,) = [fault[known] for known in fault if known.startswith(name)]
        moment = time.time()
        done = step.apply(dc)
        if done:
            await done
        return moment

    bot = {"namespace": "shop", "pod": "bot-0"}
    await prometheus.until('telegram_watchdog_checks_total{pod="bot-0",result="ok"} >= 2')

    twice = await on_call.hears("SessionHeldTwice")
    assert "shop/bot-1, test/copy-0" in _sorted_pods(twice["annotations"]["description"])
    missing = await on_call.hears("Unconfigured", {"namespace": "test", "pod": "new-0"})
    assert missing["receiver"] == "on-call"

    await play("a closed connection")
    await prometheus.until('telegram_reconnects_total{pod="bot-0",reason="closed"} == 1')

    await play("a flood wait")
    waiting = await on_call.hears("FloodWait", bot)
    assert waiting["receiver"] == "tickets"
    await prometheus.until('telegram_flood_wait_until_timestamp_seconds{pod="bot-0"} < time()')

    dark = await play("a black hole: ")
    gone = await on_call.hears("Disconnected", bot)
    assert "ping_timeout (1)" in gone["annotations"]["description"]
    assert gone["annotations"]["summary"] == "shop/bot-0: no connection to Telegram for 5 minutes"
    light = await play("the black hole ends")
    await on_call.hears("Disconnected", bot, status="resolved", since=light)

    ended = await play("a revoked session")
    refused = await on_call.hears("SessionRefused", bot)
    assert refused["receiver"] == "on-call"
    assert "revoked (1)" in refused["annotations"]["description"]
    await prometheus.until('ALERTS{alertname="Disconnected",pod="bot-0",alertstate="firing"}')

    killed = time.time()
    newcomer.send(9)
    down = await on_call.hears("SidecarDown", {"namespace": "test", "pod": "new-0"})
    again = [
        alert
        for at, _, alert in on_call.told
        if at > ended and alert["labels"]["alertname"] == "Disconnected" and alert["status"] == "firing"
    ]
    assert again == [], "SessionRefused says why; Disconnected must be inhibited"
    return {
        "black hole": round(gone["heard"] - dark, 1),
        "revoked session": round(refused["heard"] - ended, 1),
        "killed process": round(down["heard"] - killed, 1),
    }


async def _nothing_stays_empty(prometheus: Prometheus, began: float, ended: float) -> None:
    """Ask everything that the dashboards ask and the rules record, for the time of the story."""
    empty = [name for name in rules("record") if not _has_values(await prometheus.range(name, began, ended))]
    kept = {}
    for board, page in dashboards().items():
        for panel in panels(page):
            answers = []
            for target in panel["targets"]:
                expression = _filled(target["expr"], int(ended - began))
                series = await prometheus.range(expression, began, ended)
                answers.append({"target": target, "series": series})
                if not _has_values(series):
                    empty.append(f"{board}: {panel['title']}: {expression}")
            kept[f"{board}/{panel['id']}"] = answers
        empty += [
            f"{board}: {annotation['name']}"
            for annotation in page["annotations"]["list"]
            if not await prometheus.range(_filled(annotation["expr"], 60), began, ended)
        ]
        for variable in page["templating"]["list"]:
            if variable["type"] == "query":
                asked, label = (
                    variable["query"]["query"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
                )
                found = await prometheus.ask(f"label/{label}/values", **{"match[]": _filled(asked, 60)})
                if not found:
                    empty.append(f"{board}: ${label}")
    if directory := os.environ.get("SEE_DATA"):
        text = json.dumps({"began": began, "ended": ended, "answers": kept})
        (Path(directory) / "answers.json").write_text(text, encoding="utf-8")
    assert empty == []


def _filled(expression: str, seconds: int) -> str:
    """Put in what Grafana does for All of everything."""
    values = {"$__rate_interval": "10s", "$__range": f"{seconds}s", "$job": ".*", "$namespace": ".*", "$pod": ".*"}
    for name, value in values.items():
        expression = expression.replace(name, value)
    return expression


def _has_values(series: list[dict[str, Any]]) -> bool:
    return any(not math.isnan(float(value)) for one in series for _, value in one["values"])


def _sorted_pods(description: str) -> str:
    before, _, rest = description.partition(": ")
    pods, _, after = rest.partition(". ")
    return f"{before}: {', '.join(sorted(pods.split(', ')))}. {after}"
