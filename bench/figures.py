"""Measures what the keeper promises: the real daemon as a process, in real time, against the simulator.

    make figures

Prints one line a figure. The times include what it takes to see them: the gauge is read over HTTP, again and again.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from sidecar.simulator import DataCentre, Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

CREDENTIALS = {"API_ID": "1", "API_HASH": "0" * 32}
QUICK_CHECKS = {"SIDECAR_WATCHDOG_INTERVAL": "4", "SIDECAR_WATCHDOG_TIMEOUT": "3"}
"""A connection is proven after one check; nobody waits a minute for that here."""


class Run:
    """One daemon."""

    def __init__(
        self, process: asyncio.subprocess.Process, http: aiohttp.ClientSession, ops: str, began: float
    ) -> None:
        self.process = process
        self.http = http
        self.ops = ops
        self.began = began

    async def get(self, path: str) -> tuple[int, str]:
        async with self.http.get(self.ops + path) as answer:
            return answer.status, await answer.text()

    async def gauge(self, name: str) -> float:
        _, text = await self.get("/metrics")
        match = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert match, name
        return float(match[1])

    async def state(self) -> str:
        return str(json.loads((await self.get("/healthz"))[1])["checks"]["telegram"]["state"])

    async def until(self, wanted: Callable[[], Awaitable[bool]]) -> float:
        """Ask until the answer is true; return the moment."""
        while not await wanted():
            await asyncio.sleep(0.001)
        return time.monotonic()

    async def connected(self, value: int = 1) -> float:
        async def look() -> bool:
            return await self.gauge("telegram_connected") == value

        return await self.until(look)

    async def in_state(self, state: str) -> float:
        async def look() -> bool:
            return await self.state() == state

        return await self.until(look)

    async def stop(self) -> tuple[float, int]:
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = await self.process.wait()
        return time.monotonic() - began, code


@asynccontextmanager
async def daemon(session: Session | None, **environment: str) -> AsyncIterator[Run]:
    given = {"SIDECAR_PORT": "0", "SIDECAR_API_PORT": "0", "SIDECAR_LOG_LEVEL": "info"} | environment
    if session:
        given |= CREDENTIALS | {"SESSION_STRING": session.string}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "sidecar"],
            cwd=directory,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)} | given,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout
        ops = json.loads(await process.stdout.readline())["ops"]
        draining = asyncio.create_task(process.stdout.read())
        try:
            async with aiohttp.ClientSession() as http:
                yield Run(process, http, ops, began)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            await draining


def show(what: str, value: str) -> None:
    print(f"{what:58} {value}", flush=True)


async def start(dc: DataCentre) -> None:
    async with daemon(dc.create_session()) as run:
        assert (await run.get("/livez"))[0] == 200
        show("start to /livez 200", f"{time.monotonic() - run.began:.2f} s")
        show("start to connected", f"{await run.connected() - run.began:.2f} s")
        await asyncio.sleep(8)
        _, text = await run.get("/metrics")
        show("series", str(sum(not line.startswith("#") for line in text.splitlines())))
        status = Path(f"/proc/{run.process.pid}/status").read_text(encoding="ascii")
        rss = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert rss
        show("RSS, connected", f"{int(rss[1]) / 1024:.0f} MiB")


async def cut(dc: DataCentre) -> None:
    for name, fault in (("closed", dc.close_all), ("reset", dc.reset_all)):
        async with daemon(dc.create_session(), **QUICK_CHECKS) as run:
            await run.connected()
            noticed, back = [], []
            for _ in range(5):
                await asyncio.sleep(5)
                began = time.monotonic()
                fault()
                noticed.append(await run.connected(0) - began)
                back.append(await run.connected(1) - began)
            show(f"{name}: telegram_connected 0 after (worst of 5)", f"{max(noticed) * 1000:.0f} ms")
            show(f"{name}: connected again after (worst of 5)", f"{max(back) * 1000:.0f} ms")


async def black_hole(dc: DataCentre) -> None:
    async with daemon(dc.create_session()) as run:
        await run.connected()
        waits = []
        for offset in (0.1, 1.5, 2.9):
            await run.connected()
            await asyncio.sleep(3 + offset)
            dc.levers.black_hole = True
            began = time.monotonic()
            waits.append(await run.connected(0) - began)
            dc.levers.black_hole = False
        show("black hole, defaults: telegram_connected 0 after", ", ".join(f"{wait:.2f} s" for wait in waits))


async def accept_then_close(dc: DataCentre) -> None:
    dc.levers.accept_then_close = True
    counts = []
    for _ in range(3):
        before = dc.accepted
        async with daemon(dc.create_session()):
            await asyncio.sleep(60)
        counts.append(dc.accepted - before)
    dc.levers.accept_then_close = False
    show("accept-then-close for 60 s: connection attempts", ", ".join(map(str, counts)))


async def revoked(dc: DataCentre) -> None:
    session = dc.create_session()
    async with daemon(session, **QUICK_CHECKS) as run:
        await run.connected()
        session.revoke()
        began = time.monotonic()
        found = await run.in_state("refused") - began
        before = dc.accepted, sum(dc.requests.values())
        await asyncio.sleep(30)
        answers = {path: (await run.get(path))[0] for path in ("/livez", "/readyz")}
        traffic = (dc.accepted, sum(dc.requests.values())) != before
        alive = run.process.returncode is None
        show("revoked, checks every 4 s: refused after", f"{found:.1f} s")
        show("... 30 s later", f"alive {alive}, {answers}, traffic since: {traffic}")


async def sigterm(dc: DataCentre) -> None:
    async def refuse(session: Session) -> None:
        session.revoke()

    async def nothing(_: Session) -> None:
        pass

    async def hole(_: Session) -> None:
        dc.levers.black_hole = True

    async def deaf(_: Session) -> None:
        await dc.stop_listening()

    for state, prepare in (("connected", nothing), ("connecting", hole), ("waiting", deaf), ("refused", refuse)):
        session = dc.create_session()
        await prepare(session)
        async with daemon(session) as run:
            await run.in_state(state)
            seconds, code = await run.stop()
            show(f"SIGTERM in state {state}", f"exit {code} after {seconds:.2f} s")
        dc.levers.reset()
        await dc.start_listening()
    async with daemon(dc.create_session()) as run:
        await run.connected()
        dc.levers.stop_reading = True
        seconds, code = await run.stop()
        dc.levers.reset()
        show("SIGTERM, connected to a server that froze", f"exit {code} after {seconds:.2f} s")
    async with daemon(None) as run:
        seconds, code = await run.stop()
        show("SIGTERM in state unconfigured", f"exit {code} after {seconds:.2f} s")


async def main() -> None:
    for part in (start, cut, black_hole, revoked, sigterm, accept_then_close):
        async with DataCentre() as dc:
            await part(dc)
            overlap = max(session.worst_overlap for session in dc.sessions.values())
            assert overlap == 0, overlap


if __name__ == "__main__":
    asyncio.run(main())
