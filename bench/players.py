"""The contenders as processes: how each is started, and how it says whether it is connected."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

import aiohttp

from bench.processes import running
from sidecar.simulator.secret import MountedSecret

if TYPE_CHECKING:
    from collections.abc import Callable

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
    """One process of a kind, from start to end. Used once.

    Attributes:
        began: when it was started, by the monotonic clock.
        url: where it answers.
        api: where ours takes calls.
    """

    def __init__(self, kind: Kind, session: str, **environment: str) -> None:
        self.kind = kind
        self.began = 0.0
        self.url = ""
        self.api = ""
        self._session = session
        self._environment = environment
        self._secrets: Path
        self._secret: MountedSecret
        self._process: asyncio.subprocess.Process
        self._http: aiohttp.ClientSession
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            directory = Path(stack.enter_context(TemporaryDirectory()))
            self._secrets = directory / "secrets"
            self._secret = MountedSecret(self._secrets)
            self.mount(self._session)
            self.began = time.monotonic()
            self._process = await stack.enter_async_context(
                running(
                    [PYTHON, *self.kind.words],
                    environment=environment(self.kind, self._session, self._secrets) | self._environment,
                    cwd=directory,
                    stderr=None if self.kind is OURS else asyncio.subprocess.DEVNULL,  # warnings by the thousand
                )
            )
            assert self._process.stdout
            async with asyncio.timeout(START_SECONDS):
                line = await self._process.stdout.readline()
            if not line:
                raise RuntimeError(f"{self.kind.name} ended before it listened")
            told = json.loads(line)
            self.url, self.api = told["ops"], told.get("api", "")
            draining = asyncio.create_task(self._process.stdout.read())
            stack.callback(draining.cancel)
            timeout = aiohttp.ClientTimeout(PROBE_TIMEOUT)
            self._http = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def mount(self, session: str) -> None:
        """Put a session string into the Secret; only ours reads it."""
        self._secrets.mkdir(exist_ok=True)
        self._secret.swap(api_id="1", api_hash=API_HASH, session_string=session)

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
