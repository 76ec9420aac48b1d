"""Measures the api listener, against the simulator, in real time.

    python bench/api.py [--sends 10000]

The simulator and the callers are in this process, the daemon is one of its own, as in a pod. "Direct" is the same
request made with Telethon in this process, with no daemon in between.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from sidecar.manager import TelegramClientManager
from sidecar.settings import Settings
from sidecar.simulator import DataCentre
from sidecar.simulator.chats import Channel, Member

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

CREDENTIALS = {"API_ID": "1", "API_HASH": "0" * 32}
CALLERS = 32
SECONDS = 8.0


class Sidecar:
    """A daemon, and an HTTP client of its api listener."""

    def __init__(self, http: aiohttp.ClientSession, api: str, ops: str) -> None:
        self.http = http
        self.api = api
        self.ops = ops

    async def send(self, text: str, key: str | None = None) -> tuple[int, Any, float]:
        """POST once; return status, body, and what Retry-After says."""
        headers = {"Idempotency-Key": key} if key else {}
        url = f"{self.api}/telegram/messages"
        async with self.http.post(url, json={"text": text}, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None), float(answer.headers.get("Retry-After", 0))

    async def worst_ping(self) -> str:
        """Return the bucket that the slowest ping fell into."""
        async with self.http.get(f"{self.ops}/metrics") as answer:
            text = await answer.text()
        buckets = re.findall(r'^telegram_ping_latency_seconds_bucket\{le="([^"]+)"\} (\S+)$', text, re.MULTILINE)
        last = float(buckets[-1][1])
        return next(str(bound) for bound, count in buckets if float(count) == last)


@asynccontextmanager
async def sidecar(dc: DataCentre, **environment: str) -> AsyncIterator[Sidecar]:
    session = dc.create_session()
    if dc.chats.named("news") is None:
        dc.chats.add_channel("news", everyone=Member.editor(), members={})
    given = {"SIDECAR_PORT": "0", "SIDECAR_API_PORT": "0", "CHANNEL_URL": "@news"}
    with tempfile.TemporaryDirectory() as directory:
        given |= CREDENTIALS | {"SESSION_STRING": session.string} | environment
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "sidecar"],
            cwd=directory,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)} | given,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout
        urls = json.loads(await process.stdout.readline())
        draining = asyncio.create_task(process.stdout.read())
        try:
            async with aiohttp.ClientSession() as http:
                one = Sidecar(http, urls["api"], urls["ops"])
                while (await one.send("warm up"))[0] != 201:
                    await asyncio.sleep(0.05)
                yield one
        finally:
            process.terminate()
            await process.wait()
            await draining


@asynccontextmanager
async def direct(dc: DataCentre) -> AsyncIterator[Callable[[str], Awaitable[Any]]]:
    session = dc.create_session()
    dc.chats.add_channel("straight", members={session.account.user_id: Member.editor()})
    given: dict[str, Any] = {"api_id": 1, "api_hash": "0" * 32, "session_string": session.string}
    async with TelegramClientManager(Settings(**given)) as manager:
        client = await manager.get_client()
        chat = await client.get_input_entity("@straight")
        yield lambda text: client.send_message(chat, text)


def show(what: str, value: str) -> None:
    print(f"{what:66} {value}", flush=True)


async def one_by_one(send: Callable[[str], Awaitable[Any]], count: int) -> list[float]:
    took = []
    for number in range(count):
        began = time.perf_counter()
        await send(f"text {number}")
        took.append(1000 * (time.perf_counter() - began))
    return sorted(took)


async def side_by_side(send: Callable[[str], Awaitable[Any]], callers: int, seconds: float) -> float:
    done, until = 0, time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < until:
            await send("again and again")
            done += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    return done / seconds


async def speed(dc: DataCentre) -> None:
    with tempfile.TemporaryDirectory() as state:
        async with sidecar(dc) as api, direct(dc) as straight:
            for name, send in (("direct", straight), ("POST", api.send)):
                took = await one_by_one(send, 2000)
                figures = f"median {statistics.median(took):.2f} ms, p99 {took[int(0.99 * len(took))]:.2f} ms"
                show(f"one caller, 2000 sends, {name}", figures)
            rates = [await side_by_side(send, CALLERS, SECONDS) for send in (straight, api.send)]
            show(f"{CALLERS} callers, direct", f"{rates[0]:.0f} requests/s")
            show(f"{CALLERS} callers, POST", f"{rates[1]:.0f} requests/s, {rates[1] / rates[0]:.2f} of direct")
            show("... slowest ping meanwhile", f"at most {await api.worst_ping()} s")
        async with sidecar(dc, SIDECAR_STATE_DIR=state) as api:
            keys = iter(range(10**9))
            took = await one_by_one(lambda text: api.send(text, f"key-{next(keys)}"), 2000)
            figures = f"median {statistics.median(took):.2f} ms, p99 {took[int(0.99 * len(took))]:.2f} ms"
            show("one caller, POST with a key, kept in SIDECAR_STATE_DIR", figures)


async def once(dc: DataCentre, sends: int) -> None:
    dice = random.Random(1)  # noqa: S311 - a seed repeats a run
    asked: Counter[int] = Counter()
    ids: dict[str, int] = {}
    async with sidecar(dc, SIDECAR_BACKOFF_BASE="0.1", SIDECAR_BACKOFF_MAX="0.2") as api:
        numbers = iter(range(sends))

        async def caller() -> None:
            for number in numbers:
                text = f"number {number}"
                while True:
                    with suppress(aiohttp.ClientError):
                        status, body, wait = await api.send(text, f"key-{number}")
                        asked[status] += 1
                        if status == 201:
                            ids[text] = body["id"]
                            break
                        await asyncio.sleep(min(wait, 1.0) * dice.random())

        async def mischief() -> None:
            while True:
                await asyncio.sleep(dice.expovariate(0.5))
                lost = dice.randrange(4)
                if lost == 0:
                    dc.close_all()
                elif lost == 1:
                    dc.reset_all()
                else:
                    dc.drop("messages.sendMessage", times=1)

        before = dc.accepted
        wrong = asyncio.create_task(mischief())
        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        wrong.cancel()
        channel = dc.chats.named("news")
        assert isinstance(channel, Channel)
        posts = [post for post in channel.posts if post.text.startswith("number")]
        texts = Counter(post.text for post in posts)
        missing = sum(f"number {number}" not in texts for number in range(sends))
        twice = sum(count - 1 for count in texts.values())
        misnamed = sum(ids[post.text] not in post.ids.values() for post in posts)
        show(f"{sends} sends, connections dropped at random", f"{dc.accepted - before} reconnects")
        show("... answers", ", ".join(f"{status}: {count}" for status, count in sorted(asked.items())))
        show("... duplicates, losses, answers with another id", f"{twice}, {missing}, {misnamed}")
        show("... slowest ping meanwhile", f"at most {await api.worst_ping()} s")


async def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the api listener against the simulator.")
    parser.add_argument("--only", choices=["speed", "once"], help="one part alone")
    parser.add_argument("--sends", type=int, default=10_000, help="sends with connections dropped at random")
    chosen = parser.parse_args()
    if chosen.only != "once":
        async with DataCentre() as dc:
            await speed(dc)
    if chosen.only != "speed":
        async with DataCentre() as dc:
            await once(dc, chosen.sends)


if __name__ == "__main__":
    asyncio.run(main())
