"""The proof: real daemons, a real Prometheus with our rules, a real Alertmanager, and somebody who is told.

The demo's own faults are played, in the order that an evening may bring, and then every query of the dashboards and
every recording rule is asked for what it saw. Delays of minutes are seconds here; nothing else of the rules is changed.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from sidecar.simulator import DataCentre
from sidecar.simulator.demo import CHANNEL, Demo
from sidecar.simulator.secret import MountedSecret
from tests.daemon import Daemon
from tests.rig import API_HASH
from tests.see.files import dashboards, panels, rules
from tests.see.render import bundle, draw
from tests.see.servers import OnCall, Prometheus, servers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.simulator.scenario import Step

pytestmark = pytest.mark.slow

PACE = ("--watchdog-interval", "3", "--watchdog-timeout", "2.5", "--connect-timeout", "3", "--backoff-max", "2")
"""Checks come every 3 s instead of every 60, so that the proof takes a minute."""

FLOOD_WAIT = 6
"""Seconds. Past the alert's delay by as much as a scrape, an evaluation and a message take."""

SHOWN = {"sidecar": "bot-0", "fleet": ".*"}
"""Dashboard → the pods that a person has chosen on it."""

NOTHING = re.compile(r" or (?:vector|label_replace\(vector)\(0\)")
"""How a query begins to say "none": what comes before it must have seen something."""


@dataclass(frozen=True)
class Evening:
    """What was seen of it.

    Attributes:
        figures: fault → seconds from its beginning to the webhook.
        empty: what nobody had data for.
        answers: dashboard → panel → what Prometheus answers for it.
        began: when, in seconds since 1970.
        ended: the same.
    """

    figures: dict[str, float]
    empty: list[str]
    answers: dict[str, dict[int, Any]]
    began: float
    ended: float


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Evening:
    """Play the faults, once for all tests here."""
    return asyncio.run(_play(tmp_path_factory.mktemp("evening")))


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory with the program that draws."""
    directory = tmp_path_factory.mktemp("bundled")
    bundle(directory)
    return directory


def test_faults_reach_the_person(evening: Evening) -> None:
    """A killed connection, a revoked session and a killed process arrive as the right alerts, within seconds."""
    print("\nfrom the fault to the webhook, seconds:", json.dumps(evening.figures))  # noqa: T201 - the measurement
    assert {fault: seconds < 30 for fault, seconds in evening.figures.items()} == {
        "black hole": True,
        "revoked session": True,
        "killed process": True,
    }


def test_nothing_stays_empty(evening: Evening) -> None:
    """Every panel, recording rule, annotation and variable has data."""
    assert evening.empty == []


@pytest.mark.parametrize("board", SHOWN)
def test_every_panel_is_drawn(evening: Evening, board: str, bundled: Path) -> None:
    """Grafana's own components draw every panel from those answers, in a real browser."""
    pictures = os.environ.get("SEE_PICTURES")
    data = {"began": evening.began, "ended": evening.ended, "answers": evening.answers[board]}
    dashboard = dashboards()[board]
    drawn = draw(dashboard, data, bundled, Path(pictures) / f"{board}.png" if pictures else None)
    assert drawn.faults == []
    assert set(drawn.ink) == {panel["id"] for panel in panels(dashboard)}
    for panel in panels(dashboard):
        title = len(panel["title"]) if panel["type"] in {"stat", "table", "bargauge"} else 0
        assert drawn.ink[panel["id"]] > title, panel["title"]


async def _play(directory: Path) -> Evening:
    began = time.time()
    async with AsyncExitStack() as stack:
        dc, other = [await stack.enter_async_context(DataCentre()) for _ in range(2)]
        demo = Demo(dc, MountedSecret(directory / "secrets"), flood_wait=FLOOD_WAIT)
        shared = {"API_ID": "1", "API_HASH": API_HASH, "SESSION_STRING": other.create_session().string}
        daemons = {
            "shop/bot-0": Daemon(directory, "run", *PACE, SIDECAR_SECRETS_DIR=str(directory / "secrets")),
            "shop/bot-1": Daemon(directory, "run", *PACE, **shared),
            "test/copy-0": Daemon(directory, "run", *PACE, **shared),
            "test/new-0": Daemon(directory, "run", *PACE),
        }
        targets = {}
        for name, daemon in daemons.items():
            await stack.enter_async_context(daemon)
            namespace, pod = name.split("/")
            address = (await daemon.logged("service_starting"))["ops"].removeprefix("http://")
            targets[address] = {"namespace": namespace, "pod": pod}
        prometheus, on_call = await stack.enter_async_context(servers(directory, targets))

        figures = await _story(demo.steps(), dc, daemons, prometheus, on_call)
        ended = time.time()
        empty, answers = await _ask_everything(prometheus, began, ended)
    return Evening(figures, empty, answers, began, ended)


async def _ask_for_messages(api: str) -> None:
    """Do what an application does, and once what it may not."""
    async with aiohttp.ClientSession(f"{api}/telegram/") as http:
        for chat, status in ((CHANNEL, 201), (CHANNEL, 201), ("nobody_has_this_name", 404)):
            async with http.post("messages", json={"chat": f"@{chat}", "text": "hello"}) as answer:
                assert answer.status == status


async def _story(
    steps: list[Step], dc: DataCentre, daemons: Mapping[str, Daemon], prometheus: Prometheus, on_call: OnCall
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
    await prometheus.until('increase(telegram_watchdog_checks_total{pod="bot-0",result="ok"}[1m]) > 3')

    await _ask_for_messages(await daemons["shop/bot-0"].api())

    twice = await on_call.hears("SessionHeldTwice")
    assert "the earliest first: shop/bot-1, test/copy-0." in twice["annotations"]["description"]
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
    # At this pace a check that was on its way may give up before the ping does.
    assert re.search(r"(ping|watchdog)_timeout \(1\)", gone["annotations"]["description"])
    assert gone["annotations"]["summary"] == "shop/bot-0: no connection to Telegram for 5 minutes"
    light = await play("the black hole ends")
    await on_call.hears("Disconnected", bot, status="resolved", since=light)

    ended = await play("a revoked session")
    refused = await on_call.hears("SessionRefused", bot)
    assert refused["receiver"] == "on-call"
    assert "revoked (1)" in refused["annotations"]["description"]
    await prometheus.until('ALERTS{alertname="Disconnected",pod="bot-0",alertstate="firing"}')

    killed = time.time()
    daemons["test/new-0"].send(9)
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


async def _ask_everything(
    prometheus: Prometheus, began: float, ended: float
) -> tuple[list[str], dict[str, dict[int, Any]]]:
    """Ask all that the dashboards ask and the rules record; return what stayed empty, and the panels' answers."""
    empty = [name for name in rules("record") if not _has_values(await prometheus.range(name, began, ended))]
    answers: dict[str, dict[int, Any]] = {board: {} for board in dashboards()}
    for board, page in dashboards().items():
        for panel in panels(page):
            answers[board][panel["id"]] = []
            for target in panel["targets"]:
                expression = _filled(target["expr"], int(ended - began), pod=SHOWN[board])
                series = await prometheus.range(expression, began, ended, 10 if panel.get("interval") else 1)
                if not _has_values(await prometheus.range(NOTHING.split(expression)[0], began, ended)):
                    empty.append(f"{board}: {panel['title']}: {expression}")
                if target["instant"]:
                    series = await prometheus.now(expression, ended)
                answers[board][panel["id"]].append({"target": target, "series": series})
        empty += [
            f"{board}: {annotation['name']}"
            for annotation in page["annotations"]["list"]
            if not await prometheus.range(_filled(annotation["expr"], 60), began, ended)
        ]
        for variable in page["templating"]["list"]:
            if variable["type"] == "query":
                series_of, label = (
                    variable["definition"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
                )
                if not await prometheus.ask(f"label/{label}/values", **{"match[]": _filled(series_of, 60)}):
                    empty.append(f"{board}: ${label}")
    return empty, answers


def _filled(expression: str, seconds: int, pod: str = ".*") -> str:
    """Put in what Grafana does for the variables: All of everything but perhaps the pod.

    `$__rate_interval` is a step and a scrape long, as in Grafana: with one less, what happens between two windows is in
    neither of them.
    """
    values = {"$__rate_interval": "11s", "$__range": f"{seconds}s", "$job": ".*", "$namespace": ".*", "$pod": pod}
    for name, value in values.items():
        expression = expression.replace(name, value)
    return expression


def _has_values(series: list[dict[str, Any]]) -> bool:
    return any(not math.isnan(float(value)) for one in series for _, value in one["values"])
