"""A real Prometheus and a real Alertmanager on loopback, with our rules, and somebody who is told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml
from aiohttp import web

from tests.needed import need
from tests.see.files import ALERTMANAGER, RULES, load

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

PATIENCE = 30.0
"""Seconds after which a test gives up waiting; what it waits for takes a few."""


class OnCall:
    """The receiver of Alertmanager's webhook.

    Attributes:
        told: (when, receiver, alert) of every alert that arrived, firing or resolved.
    """

    def __init__(self) -> None:
        self.told: list[tuple[float, str, dict[str, Any]]] = []
        self._grew = asyncio.Event()

    async def take(self, request: web.Request) -> web.Response:
        """Take a message in."""
        message = await request.json()
        self.told += [(time.time(), request.match_info["receiver"], alert) for alert in message["alerts"]]
        self._grew.set()
        return web.Response()

    async def hears(
        self, name: str, labels: Mapping[str, str] | None = None, *, status: str = "firing", since: float = 0.0
    ) -> dict[str, Any]:
        """Wait for an alert that arrives after a moment, and return it with `heard` added: when."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for at, receiver, alert in self.told:
                    found = {"alertname": name, **(labels or {})}.items() <= alert["labels"].items()
                    if at >= since and found and alert["status"] == status:
                        return {**alert, "heard": at, "receiver": receiver}
                self._grew.clear()
                await self._grew.wait()

    def names(self, receiver: str) -> set[str]:
        """Return the alerts that a receiver was ever told of."""
        return {alert["labels"]["alertname"] for _, told, alert in self.told if told == receiver}


class Prometheus:
    """The questions that Grafana asks."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url, self._http = url, http

    async def ask(self, path: str, **parameters: Any) -> Any:
        """Ask its API, and return the data of the answer."""
        words = {name: str(value) for name, value in parameters.items()}
        async with self._http.get(f"{self.url}/api/v1/{path}", params=words) as answer:
            told = await answer.json()
        assert told["status"] == "success", (parameters, told)
        return told["data"]

    async def range(self, expression: str, start: float, end: float, step: float = 1.0) -> list[dict[str, Any]]:
        """Return the series of an expression over a time."""
        data = await self.ask("query_range", query=expression, start=start, end=end, step=step)
        series: list[dict[str, Any]] = data["result"]
        return series

    async def now(self, expression: str, moment: float) -> list[dict[str, Any]]:
        """Return the series of an expression at a moment, in the shape of `range`."""
        data = await self.ask("query", query=expression, time=moment)
        return [{"metric": one["metric"], "values": [one["value"]]} for one in data["result"]]

    async def until(self, expression: str) -> None:
        """Wait until an expression has a result."""
        async with asyncio.timeout(PATIENCE):
            while not (await self.ask("query", query=expression))["result"]:  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.2)


def hurried(rules: Path) -> Any:
    """Return the rules with every delay of n minutes made n seconds: a test has no minutes."""
    changed = load(rules)
    for group in changed["groups"]:
        for rule in group["rules"]:
            for delay in {"for", "keep_firing_for"} & set(rule):
                rule[delay] = rule[delay].replace("m", "s")
    return changed


@asynccontextmanager
async def servers(
    directory: Path, targets: Mapping[str, Mapping[str, str]]
) -> AsyncIterator[tuple[Prometheus, OnCall]]:
    """Run both while the block lasts.

    Args:
        directory: for their files.
        targets: address → labels.
    """
    on_call = OnCall()
    app = web.Application()
    app.router.add_post("/{receiver}", on_call.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with _both(directory, targets, f"http://127.0.0.1:{runner.addresses[0][1]}") as prometheus:
            yield prometheus, on_call
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _both(directory: Path, targets: Mapping[str, Mapping[str, str]], told_at: str) -> AsyncIterator[Prometheus]:
    alertmanager, prometheus = free_port(), free_port()

    example = load(ALERTMANAGER)
    for receiver in example["receivers"]:
        for webhook in receiver["webhook_configs"]:
            webhook["url"] = f"{told_at}/{receiver['name']}"
    example["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    (directory / "alertmanager.yaml").write_text(yaml.safe_dump(example), encoding="utf-8")
    (directory / "rules.yaml").write_text(yaml.safe_dump(hurried(RULES)), encoding="utf-8")
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]},
        "scrape_configs": [
            {
                "job_name": "telethon-sidecar",
                "static_configs": [{"targets": [name], "labels": dict(labels)} for name, labels in targets.items()],
            }
        ],
    }
    (directory / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    async with (
        _process(
            directory / "alertmanager.log",
            need("prometheus-alertmanager"),
            f"--config.file={directory}/alertmanager.yaml",
            f"--storage.path={directory}/alertmanager",
            f"--web.listen-address=127.0.0.1:{alertmanager}",
            "--cluster.listen-address=",
        ) as first,
        _process(
            directory / "prometheus.log",
            need("prometheus"),
            f"--config.file={directory}/prometheus.yaml",
            f"--storage.tsdb.path={directory}/prometheus",
            f"--web.listen-address=127.0.0.1:{prometheus}",
        ) as second,
        aiohttp.ClientSession() as http,
    ):
        await _ready(http, f"http://127.0.0.1:{alertmanager}/-/ready", first, directory / "alertmanager.log")
        await _ready(http, f"http://127.0.0.1:{prometheus}/-/ready", second, directory / "prometheus.log")
        yield Prometheus(f"http://127.0.0.1:{prometheus}", http)


@asynccontextmanager
async def _process(log: Path, *words: str) -> AsyncIterator[Process]:
    with log.open("wb") as told:
        process = await asyncio.create_subprocess_exec(*words, stdout=told, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _ready(http: aiohttp.ClientSession, url: str, process: Process, log: Path) -> None:
    """Wait until a server answers; if it ends or is late, fail with its log."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while process.returncode is None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(url) as answer:
                        if answer.ok:
                            return
                await asyncio.sleep(0.1)
    raise AssertionError(_post_mortem(process, log))


def _post_mortem(process: Process, log: Path) -> str:
    what = "is not ready" if process.returncode is None else f"ended with exit code {process.returncode}"
    return f"{log.stem} {what}:\n{log.read_text(encoding='utf-8')}"


def free_port() -> int:
    """Return a port that nobody listened on a moment ago: these programs cannot be asked which one they chose."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
