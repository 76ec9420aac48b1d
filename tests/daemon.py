"""The daemon as a process of its own: the real command, real time, real signals."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Self

import aiohttp

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 20.0
"""Seconds after which a test gives up waiting; on an idle machine everything here takes a fraction of one."""


class Daemon:
    """One run of `python -m sidecar`, from start to exit."""

    def __init__(self, directory: Path, *arguments: str, **environment: str) -> None:
        self._directory = directory
        self._arguments = arguments
        self._environment = {"SIDECAR_PORT": "0"} | environment
        self._process: asyncio.subprocess.Process
        self._reading: asyncio.Task[None]
        self._grew = asyncio.Event()
        self.lines: list[str] = []
        self.ops = ""

    async def __aenter__(self) -> Self:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SIDECAR_")}
        self._process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "sidecar", *self._arguments],
            cwd=self._directory,
            env=inherited | self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            self.lines.append(line.decode())
            self._grew.set()

    @property
    def output(self) -> str:
        """Everything it wrote to standard output so far."""
        return "".join(self.lines)

    async def logged(self, event: str) -> dict[str, Any]:
        """Wait for an event in the log, and return its line."""
        line = await self.shown(f'"event": "{event}"')
        record: dict[str, Any] = json.loads(line)
        return record

    async def shown(self, text: str) -> str:
        """Wait for a line with a text in it, and return the line."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for line in self.lines:
                    if text in line:
                        return line
                self._grew.clear()
                await self._grew.wait()

    async def get(self, path: str) -> tuple[int, str]:
        """Ask the ops listener."""
        url = (await self.logged("service_starting"))["ops"]
        async with aiohttp.ClientSession() as http, http.get(url + path) as answer:
            return answer.status, await answer.text()

    def send(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def exit(self) -> tuple[int, str]:
        """Wait for its end. Return the exit code and what it wrote to standard error."""
        assert self._process.stderr
        async with asyncio.timeout(PATIENCE):
            errors = await self._process.stderr.read()
            await self._reading
            return await self._process.wait(), errors.decode()
