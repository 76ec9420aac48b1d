"""The contenders as processes: how each is started, and how it says whether it is connected."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import aiohttp

from bench.processes import running
from sidecar.race import background
from sidecar.simulator.secret import MountedSecret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

PYTHON = os.environ.get("BENCH_PYTHON", sys.executable)
"""What the contenders run with: an environment like production's. Telethon imports Pillow where it finds it, and
matplotlib brings that."""

API_HASH = "0" * 32
PROBE_TIMEOUT = 1.0
"""Seconds that anybody's answer is waited for: Kubernetes' default. No answer is a no."""

START_SECONDS = 60.0


@dataclass(frozen=True)
class Kind:
    """A way to keep a session.

    Attributes:
        name: in data.
        words: the command, after `python`.
        path: where it says whether it is connected.
        yes: whether an answer, status and text, says so.
        every: seconds between two looks. What costs Telegram nothing is looked at all the time; (b) asks Telegram each
            time, so it is asked as often as Kubernetes does by default, and stands by its answer in between.
    """

    name: str
    words: tuple[str, ...]
    path: str
    yes: Callable[[int, str], bool]
    every: float


def _gauge_is_one(_: int, text: str) -> bool:
    return re.search(r"^telegram_connected 1(\.0)?$", text, re.MULTILINE) is not None


def _is_200(status: int, _: str) -> bool:
    return status == 200


OURS = Kind("ours", ("-m", "sidecar"), "/readyz", _is_200, 0.25)
LOOP = Kind("loop", ("-m", "bench.contenders", "loop"), "/metrics", _gauge_is_one, 0.25)
NAIVE = Kind("naive", ("-m", "bench.contenders", "naive"), "/health", _is_200, 10.0)
PLAIN = Kind("plain", ("-m", "bench.contenders", "plain"), "", _is_200, 1.0)
ALL = (OURS, LOOP, NAIVE)


class Player:
    """One process of a kind, while it runs.

    Attributes:
        kind: which.
        began: when it was started, by the monotonic clock.
        pid: its number.
        url: where it answers.
        api: where ours takes calls.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        began: float,
        pid: int,
        told: Mapping[str, str],
        secret: MountedSecret,
        http: aiohttp.ClientSession,
    ) -> None:
        self.kind = kind
        self.began = began
        self.pid = pid
        self.url = told["ops"]
        self.api = told.get("api", "")
        self._secret = secret
        self._http = http

    def mount(self, session: str) -> None:
        """Put another session string into the Secret; only ours reads it."""
        _mount(self._secret, session)

    async def get(self, path: str) -> tuple[int, str]:
        """Ask it over HTTP.

        Raises:
            aiohttp.ClientError, TimeoutError: it does not answer.
        """
        async with self._http.get(self.url + path) as answer:
            return answer.status, await answer.text()

    async def says(self) -> bool:
        """Whether it says that it is connected, now."""
        try:
            return self.kind.yes(*await self.get(self.kind.path))
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def until(self, value: bool = True, *, every: float = 0.002, within: float = START_SECONDS) -> float:
        """Ask until it says that it is connected, or that it is not; return the moment."""
        async with asyncio.timeout(within):
            while await self.says() != value:
                await asyncio.sleep(every)
            return time.monotonic()


@asynccontextmanager
async def playing(kind: Kind, session: str, **more: str) -> AsyncIterator[Player]:
    """Run a process of a kind, for as long as the context lasts.

    Args:
        kind: which.
        session: the session string that it is to keep.
        more: of its environment.

    Raises:
        RuntimeError: it ended before it listened.
        TimeoutError: it did not listen.
    """
    with TemporaryDirectory() as directory:
        secret = MountedSecret(Path(directory) / "secrets")
        _mount(secret, session)
        began = time.monotonic()
        async with (
            running(
                [PYTHON, *kind.words],
                environment=environment(kind, session, secret.directory) | more,
                cwd=directory,
                stderr=None if kind is OURS else asyncio.subprocess.DEVNULL,  # Telethon's warnings, by the thousand
            ) as process,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PROBE_TIMEOUT)) as http,
        ):
            assert process.stdout
            async with asyncio.timeout(START_SECONDS):
                line = await process.stdout.readline()
            if not line:
                raise RuntimeError(f"{kind.name} ended before it listened")
            async with background(_drain(process.stdout)):
                yield Player(kind, began=began, pid=process.pid, told=json.loads(line), secret=secret, http=http)


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(1 << 16):
        pass


def _mount(secret: MountedSecret, session: str) -> None:
    secret.swap(api_id="1", api_hash=API_HASH, session_string=session)


def environment(kind: Kind, session: str, secrets: Path) -> dict[str, str]:
    """Return what a kind is given: ours a Secret, as in production, and the others what their programs read.

    Args:
        kind: whose.
        session: the session string.
        secrets: the directory of the Secret, which has it, too.
    """
    if kind is OURS:
        return {"SIDECAR_PORT": "0", "SIDECAR_API_PORT": "0", "SIDECAR_SECRETS_DIR": str(secrets)}
    return {"API_ID": "1", "API_HASH": API_HASH, "SESSION_STRING": session}
