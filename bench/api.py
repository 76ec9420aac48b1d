"""What a call through the api costs beside one made directly, and whether anything is lost or sent twice.

Rules of this file: what arrived is counted at the simulator, and not from what was answered.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import aiohttp
from telethon import TelegramClient
from telethon.sessions import StringSession

from bench.far import CHAT, Far, simulator
from bench.figure import Figure, Section, times
from bench.players import API_HASH, OURS, playing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Send = Callable[[str], Awaitable[object]]

CALLERS = 32
SHORT_BACKOFF = {"SIDECAR_BACKOFF_BASE": "0.1", "SIDECAR_BACKOFF_MAX": "0.2"}
"""Nobody waits for reconnects here."""

APART_SECONDS = 0.5
"""Between two mishaps, on average."""

_NOTES = f"""\
* *Direct* is send_message of a Telethon client in the caller's process, with no daemon in between. POST is the same
  message through the daemon; *kept* has an Idempotency-Key, and the record of it is written to SIDECAR_STATE_DIR before
  Telegram is asked. One caller sends one message after the other, each way in turns; or {CALLERS} do so at a time.
* The sends of the last lines have a key each, and are repeated until they are answered with 201, while every
  {APART_SECONDS:g} s on average the connection is closed or reset, or a message is taken and its answer lost.
"""


@dataclass(frozen=True)
class Answer:
    """What a POST got: the status, the JSON, and the seconds of Retry-After."""

    status: int
    body: Any
    retry_after: float


class Poster:
    """An application beside the daemon."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = f"{url}/telegram/messages"

    async def post(self, text: str, key: str = "") -> Answer:
        """Send a message, once."""
        headers = {"Idempotency-Key": key} if key else {}
        async with self._http.post(self._url, json={"text": text}, headers=headers) as answer:
            return Answer(answer.status, await answer.json(), float(answer.headers.get("Retry-After", 0)))

    async def sent(self, text: str, key: str = "") -> None:
        """Send a message, which must succeed."""
        answer = await self.post(text, key)
        assert answer.status == 201, answer


async def measure(*, quick: bool) -> Section:
    """Measure what a call costs; then what becomes of calls when connections are lost."""
    speed = await _speed(sends=200 if quick else 2000, lasts=1.0 if quick else 8.0)
    lost = await _lost(sends=1000 if quick else 10_000)
    return section(speed, lost)


async def _speed(*, sends: int, lasts: float) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        far = await stack.enter_async_context(simulator(["direct", "post", "kept"]))
        state = stack.enter_context(TemporaryDirectory())
        direct = await stack.enter_async_context(_direct(far.sessions["direct"]))
        post = await stack.enter_async_context(_poster(far.sessions["post"]))
        kept = await stack.enter_async_context(_poster(far.sessions["kept"], SIDECAR_STATE_DIR=state))
        ways: dict[str, Send] = {
            "direct": direct,
            "post": post.sent,
            "kept": lambda text: kept.sent(text, _key(text)),
        }
        took = await _one_by_one(ways, sends)
        rates = {name: await _side_by_side(ways[name], lasts) for name in ("direct", "post")}
    return {"took": took, "rates": rates}


@asynccontextmanager
async def _direct(session: str) -> AsyncIterator[Send]:
    client = TelegramClient(StringSession(session), 1, API_HASH)
    await client.connect()
    try:
        chat = await client.get_input_entity(CHAT)
        yield lambda text: client.send_message(chat, text)
    finally:
        await client.disconnect()


@asynccontextmanager
async def _poster(session: str, **environment: str) -> AsyncIterator[Poster]:
    async with playing(OURS, session, CHANNEL_URL=CHAT, **environment) as player, aiohttp.ClientSession() as http:
        await player.until()
        poster = Poster(http, player.api)
        await poster.sent("the first, which finds the chat")
        yield poster


async def _one_by_one(ways: dict[str, Send], sends: int) -> dict[str, dict[str, float]]:
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(sends):
        for name, send in ways.items():  # in turns, so that whatever else the machine does befalls all of them
            began = time.perf_counter()
            await send(f"number {number}")
            took[name].append(time.perf_counter() - began)
    return {name: {"p50": median(values), "p99": sorted(values)[int(0.99 * sends)]} for name, values in took.items()}


async def _side_by_side(send: Send, lasts: float) -> float:
    done, until = 0, time.perf_counter() + lasts

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < until:
            await send("again and again")
            done += 1

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return done / lasts


def _key(text: str) -> str:
    """Return what an application may call the sending of this text."""
    return text.replace(" ", "-")


async def _lost(*, sends: int) -> dict[str, Any]:
    dice = random.Random(1)  # noqa: S311 - a seed repeats a run
    statuses: Counter[int] = Counter()
    ids: dict[str, int] = {}
    numbers = iter(range(sends))

    async def caller(poster: Poster) -> None:
        for number in numbers:
            text = f"number {number}"
            while text not in ids:
                answer = await poster.post(text, _key(text))
                statuses[answer.status] += 1
                if answer.status == 201:
                    ids[text] = answer.body["id"]
                else:
                    await asyncio.sleep(min(answer.retry_after, 1.0) * dice.random())

    async def mischief(far: Far, over: asyncio.Event) -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), dice.expovariate(1 / APART_SECONDS))
            await far.do(dice.choice(["close", "reset", "drop_message", "drop_message"]))

    async with simulator(["ours"]) as far, _poster(far.sessions["ours"], **SHORT_BACKOFF) as poster:
        before, over = (await far.do("counts"))["accepted"], asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(mischief(far, over))
            await asyncio.gather(*(caller(poster) for _ in range(CALLERS)))
            over.set()
        reconnects = (await far.do("counts"))["accepted"] - before
        posts = [(text, known_as) for text, known_as in (await far.do("posts"))["posts"] if text in ids]
    arrived = Counter(text for text, _ in posts)
    return {
        "sends": sends,
        "reconnects": reconnects,
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "twice": sum(count - 1 for count in arrived.values()),
        "lost": sum(text not in arrived for text in ids),
        "misnamed": sum(ids[text] not in known_as for text, known_as in posts),
    }


def section(speed: dict[str, Any], lost: dict[str, Any]) -> Section:
    """Return the figures.

    Args:
        speed: what a way took ("took", by way and share, in seconds), and requests per second ("rates", by way).
        lost: what became of how many "sends" over how many "reconnects": "statuses" of answers, messages sent "twice",
            "lost", and "misnamed".
    """
    took, rates = speed["took"], speed["rates"]

    def told(way: str) -> str:
        return f"{1000 * took[way]['p50']:.2g} ms; {1000 * took[way]['p99']:.2g} ms"

    def beside(way: str) -> str:
        return f"p50 {times(took[way]['p50'] / took['direct']['p50'])} direct ({told('direct')})"

    faults = (lost["twice"], lost["lost"], lost["misnamed"])
    figures = [
        Figure(name="POST, one caller: p50; p99", ours=told("post"), ratio=beside("post")),
        Figure(name="POST, kept, one caller: p50; p99", ours=told("kept"), ratio=beside("kept")),
        Figure(
            name=f"POST, {CALLERS} callers: requests/s",
            ours=f"{rates['post']:.0f}/s",
            ratio=f"{times(rates['post'] / rates['direct'])} direct ({rates['direct']:.0f}/s)",
        ),
        Figure(
            name=f"{lost['sends']} sends, with {lost['reconnects']} reconnects: sent twice, lost, told another id",
            aim="0",
            ours=", ".join(map(str, faults)),
            met=not any(faults),
        ),
        Figure(
            name="... answers by status",
            ours=", ".join(f"{status}: {count}" for status, count in lost["statuses"].items()),
        ),
    ]
    return Section(title="The api", figures=figures, notes=_NOTES)
