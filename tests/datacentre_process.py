"""The simulator as a process of its own: it can be frozen and killed, and come back with the same key on the same port.

Run as `python -m tests.datacentre_process HOST PORT SEED`: it prints where it listens, and then its counts after every
line that it reads. The same seed gives the same key.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from pathlib import Path
from typing import Any, Self

from sidecar.simulator import DataCentre

ROOT = Path(__file__).parent.parent
PATIENCE = 20.0
"""Seconds after which a test gives up waiting for an answer."""


class DataCentreProcess:
    """One run of the simulator, from start to exit."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, seed: int = 1, before: tuple[str, ...] = ()) -> None:
        self._words = [*before, sys.executable, "-m", __name__, host, str(port), str(seed)]
        self._process: asyncio.subprocess.Process
        self.port = 0
        self.session = ""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._words,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        first = await self._line()
        self.port, self.session = first["port"], first["session"]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def send(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def kill(self) -> None:
        """End it as the kernel would."""
        self._process.kill()
        await self._process.wait()

    async def counts(self) -> dict[str, Any]:
        """Ask how many connections it has accepted, has open, and how many there were at worst on one key."""
        assert self._process.stdin
        self._process.stdin.write(b"\n")
        return await self._line()

    async def _line(self) -> dict[str, Any]:
        assert self._process.stdout
        async with asyncio.timeout(PATIENCE):
            told: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return told


async def _serve(host: str, port: int, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - a key that guards nothing, and must be the same again
    async with DataCentre(host, port, rng=dice) as dc:
        session = dc.create_session()
        _tell(port=dc.port, session=session.string)
        asked = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
        while await asked.readline():
            _tell(accepted=dc.accepted, live=dc.live, overlap=session.worst_overlap, violations=dc.violations)


def _tell(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
