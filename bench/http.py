"""How fast the probes and the metrics are answered, whatever Telegram does. The load is wrk's."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import aiohttp

from bench.far import CHAT, simulator
from bench.figure import NOTHING, Figure, Section, times
from bench.players import ALL, LOOP, NAIVE, OURS, playing
from bench.processes import output

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from bench.players import Kind, Player

    Loads = Mapping[tuple[str, str, str], Sequence["Load"]]

CONNECTIONS = 4
"""Kept open by wrk at a time: more than a kubelet and two Prometheus servers have."""

ROUND_SECONDS = 2
P99_RATIO = 1.2
API_CALLS_PER_SECOND = 100
HEALTHY, HOLE, API = "healthy", "in a black hole", f"while {API_CALLS_PER_SECOND} messages/s are sent through the api"
TARGETS = ((OURS, "/metrics"), (OURS, "/healthz"), (LOOP, "/metrics"), (NAIVE, "/health"))
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}

_NOTES = f"""\
* wrk with one thread and {CONNECTIONS} connections for {ROUND_SECONDS} s, against one after the other, in {{rounds}}
  rounds of all states; the medians of the rounds. wrk runs on the same machine: compare, and do not take the rates for
  limits.
* The ratio of a p99 is that to healthy in the same round: the median, and in brackets the least and the greatest. The
  ratio of a rate is ours / (a) or ours / (b).
* On /metrics ours serves {{ours}} series and (a) {{loop}}; a scrape costs what it tells.
* (b) asks Telegram at every request to /health: its rate is that of get_me, and in a black hole it never answers.
"""


@dataclass(frozen=True)
class Load:
    """What wrk saw.

    Attributes:
        rate: requests per second; 0 if none was answered.
        p50, p99: latencies of half and of 99 % of them, in seconds.
        not_ok: answers whose status was neither 2xx nor 3xx.
        failed: connections and requests that came to nothing.
    """

    rate: float
    p50: float
    p99: float
    not_ok: int = 0
    failed: int = 0


def parse(text: str) -> Load:
    """Read what `wrk --latency` prints.

    Raises:
        ValueError: it is not from wrk.
    """
    rate = re.search(r"^Requests/sec:\s+([\d.]+)$", text, re.MULTILINE)
    shares = dict(re.findall(r"^\s+(50|99)%\s+([\d.]+(?:us|ms|s|m))$", text, re.MULTILINE))
    if not rate or set(shares) != {"50", "99"}:
        raise ValueError(f"not what wrk --latency prints: {text!r}")
    not_ok = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    failed = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return Load(
        float(rate[1]),
        _seconds(shares["50"]),
        _seconds(shares["99"]),
        int(not_ok[1]) if not_ok else 0,
        sum(map(int, failed.groups())) if failed else 0,
    )


def _seconds(text: str) -> float:
    number = text.rstrip("usm")
    return float(number) * _UNITS[text[len(number) :]]


async def measure(*, quick: bool) -> Section:
    """Load all of them in turns, in rounds: healthy, with calls on the api, and in a black hole."""
    loads: dict[tuple[str, str, str], list[Load]] = {}
    async with AsyncExitStack() as stack:
        far = await stack.enter_async_context(simulator([kind.name for kind in ALL]))
        players: dict[Kind, Player] = {}
        for kind in ALL:
            player = playing(kind, far.sessions[kind.name], CHANNEL_URL=CHAT)
            players[kind] = await stack.enter_async_context(player)
            await players[kind].until()
        series = {kind.name: await _series(players[kind]) for kind in (OURS, LOOP)}

        async def load(state: str, targets: Sequence[tuple[Kind, str]]) -> None:
            for kind, path in targets:
                seen = await _wrk(players[kind].url + path)
                if kind is OURS and (seen.failed or (seen.not_ok and state != HOLE)):  # there, /healthz says 503
                    raise RuntimeError(f"not all of {path} was answered, {state}: {seen}")
                loads.setdefault((kind.name, path, state), []).append(seen)

        for _ in range(1 if quick else 7):
            await load(HEALTHY, TARGETS)
            async with _calling(players[OURS]):
                await load(API, TARGETS[:2])
            await far.do("black_hole on")
            await players[OURS].until(False, every=0.1)
            await load(HOLE, TARGETS)
            await far.do("black_hole off")
            await far.do("reset")  # so that nobody waits for an attempt that hangs
            await players[OURS].until(every=0.1, within=90)
    return section(loads, series)


async def _wrk(url: str) -> Load:
    return parse(await output(["wrk", "--latency", "-t1", f"-c{CONNECTIONS}", f"-d{ROUND_SECONDS}s", url]))


async def _series(player: Player) -> int:
    _, text = await player.get("/metrics")
    return sum(not line.startswith("#") for line in text.splitlines())


@asynccontextmanager
async def _calling(player: Player) -> AsyncIterator[None]:
    """Send so many messages a second through the api, meanwhile.

    Raises:
        RuntimeError: they were not so many.
    """
    sent, over = 0, asyncio.Event()

    async def call(http: aiohttp.ClientSession) -> None:
        nonlocal sent
        async with http.post(f"{player.api}/telegram/messages", json={"text": "news"}) as answer:
            if answer.status != 201:
                raise RuntimeError(await answer.text())
            sent += 1

    async def calls() -> None:
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
            due = time.monotonic()
            while not over.is_set():
                group.create_task(call(http))
                due += 1 / API_CALLS_PER_SECOND
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async with asyncio.TaskGroup() as group:
        group.create_task(calls())
        began = time.monotonic()
        yield
        rate = sent / (time.monotonic() - began)
        over.set()
    if rate < 0.95 * API_CALLS_PER_SECOND:
        raise RuntimeError(f"only {rate:.0f} messages a second were sent")


def section(loads: Loads, series: Mapping[str, int]) -> Section:
    """Return the figures.

    Args:
        loads: what wrk saw in each round, by kind, path and state.
        series: how many series a kind serves.
    """
    figures = []
    for path, kind, theirs in (("/metrics", "loop", "/metrics"), ("/healthz", "naive", "/health")):
        healthy = loads["ours", path, HEALTHY]
        for state in (HEALTHY, API, HOLE):
            ours, other = loads["ours", path, state], loads.get((kind, theirs, state))
            p99 = [late.p99 / early.p99 for early, late in zip(healthy, ours, strict=True)]
            columns = {kind: _told(other)} if other else {}
            figures.append(
                Figure(
                    name=f"{path}, {state}: requests/s; p50; p99",
                    aim=f"p99 ≤ {P99_RATIO} x healthy" if state == HOLE else "",
                    ours=_told(ours),
                    **columns,
                    ratio=_beside(ours, other, "(a)" if kind == "loop" else "(b)")
                    if state == HEALTHY
                    else f"p99 {median(p99):.2f} x healthy ({min(p99):.2f} to {max(p99):.2f})",
                    met=median(p99) <= P99_RATIO if state == HOLE else None,
                )
            )
    data = {
        f"{_LABELS[kind]} {path}, {state}": {"p50": _middle(seen, "p50"), "p99": _middle(seen, "p99")}
        if _answered(seen)
        else None
        for (kind, path, state), seen in loads.items()
    }
    rounds = len(next(iter(loads.values())))
    return Section(title="HTTP", figures=figures, notes=_NOTES.format(rounds=rounds, **series), data=data)


_LABELS = {"ours": "ours", "loop": "(a)", "naive": "(b)"}


def _answered(loads: Sequence[Load]) -> bool:
    return all(load.rate for load in loads)


def _middle(loads: Sequence[Load], name: str) -> float:
    return float(median(getattr(load, name) for load in loads))


def _told(loads: Sequence[Load]) -> str:
    if not _answered(loads):
        return "no answer"
    p50, p99 = 1000 * _middle(loads, "p50"), 1000 * _middle(loads, "p99")
    return f"{_middle(loads, 'rate'):.0f}/s; {p50:.2g} ms; {p99:.2g} ms"


def _beside(ours: Sequence[Load], other: Sequence[Load] | None, whom: str) -> str:
    if not other or not _answered(other):
        return NOTHING
    return f"{times(_middle(ours, 'rate') / _middle(other, 'rate'))} {whom}'s rate"
