"""The daemon as a process of its own: the real command, real time, real signals."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, Self

import aiohttp

PATIENCE = 20.0
"""Seconds after which a test gives up waiting; on an idle machine everything here takes a fraction of one."""


class Daemon:
    """One run of `python -m sidecar`, from start to exit."""

    def __init__(self, directory: Path, *arguments: str, **environment: str) -> None:
        self._directory = directory
        self._arguments = arguments
        self._environment = {"SIDECAR_PORT": "0", "SIDECAR_API_PORT": "0"} | environment
        self.before: tuple[str, ...] = ()
        """What to put before the command, for example to run it in another network namespace."""
        self._process: asyncio.subprocess.Process
        self._reading: asyncio.Task[None]
        self._grew = asyncio.Event()
        self.lines: list[str] = []
        self.ops = ""

    async def __aenter__(self) -> Self:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SIDECAR_")}
        self._process = await asyncio.create_subprocess_exec(
            *[*self.before, sys.executable, "-m", "sidecar", *self._arguments],
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
        self._grew.set()

    @property
    def output(self) -> str:
        """Everything it wrote to standard output so far."""
        return "".join(self.lines)

    async def logged(self, event: str, *, after: int = 0) -> dict[str, Any]:
        """Wait for an event in the log, past the first so many lines, and return its line.

        Raises:
            AssertionError: the process ended before that; with its standard error.
            TimeoutError: it did not come.
        """
        line = await self.shown(f'"event": "{event}"', after=after)
        record: dict[str, Any] = json.loads(line)
        return record

    async def shown(self, text: str, *, after: int = 0) -> str:
        """Wait for a line with a text in it, past the first so many lines, and return the line.

        Raises:
            AssertionError: the process ended before that; with its standard error.
            TimeoutError: it did not come.
        """
        async with asyncio.timeout(PATIENCE):
            while True:
                for line in self.lines[after:]:
                    if text in line:
                        return line
                if self._reading.done():
                    code, errors = await self.exit()
                    raise AssertionError(f"the daemon ended with exit code {code} and without {text}:\n{errors}")
                self._grew.clear()
                await self._grew.wait()

    async def api(self) -> str:
        """Return the URL of the api listener."""
        return str((await self.logged("service_starting"))["api"])

    async def get(self, path: str) -> tuple[int, str]:
        """Ask the ops listener."""
        url = (await self.logged("service_starting"))["ops"]
        async with aiohttp.ClientSession() as http, http.get(url + path) as answer:
            return answer.status, await answer.text()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def resident(self) -> int:
        """Bytes of memory that it holds."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])

    @property
    def files(self) -> int:
        """Files and sockets that it holds open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

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
