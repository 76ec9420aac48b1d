"""The simulator as a process of its own, that plays faults when it is told to and keeps a record of what was true.

    python -m bench.far SECONDS NAME...    a session for each name; looks every so many seconds at what is true

It reads a command a line and answers each with a line of JSON. Times are those of CLOCK_MONOTONIC, which is the same in
every process of a machine.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from telethon import TelegramClient
from telethon.errors import AuthKeyDuplicatedError
from telethon.sessions import StringSession

from bench.processes import running
from bench.timeline import Timeline
from sidecar.simulator import DataCentre, Session
from sidecar.simulator.chats import Member

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

LOOK_SECONDS = 0.005
CHAT = "@news"
"""A channel in which every session may write."""

TURNS = 5
"""Turns of the event loop after which what lay in the sockets has been heard, and what it ended has ended."""


class Far:
    """One simulator process, seen from the benchmark.

    Attributes:
        sessions: the session string of each name.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.sessions: dict[str, str] = {}
        self._process = process
        self._turn = asyncio.Lock()
        self._frozen: list[tuple[float, float]] = []

    async def do(self, command: str) -> dict[str, Any]:
        """Have it do something; return its answer, with the moments at which it `began` and had `done` it."""
        assert self._process.stdin
        async with self._turn:
            self._process.stdin.write(f"{command}\n".encode())
            return await self.told()

    async def freeze(self) -> float:
        """Stop the process as SIGSTOP does: sockets stay open and nothing is answered. Return the moment."""
        self._process.send_signal(signal.SIGSTOP)
        now = time.monotonic()
        self._frozen.append((now, float("inf")))
        return now

    async def thaw(self) -> float:
        """Let it run again. Return the moment."""
        now = time.monotonic()
        self._process.send_signal(signal.SIGCONT)
        # What it knew before is not true until it has heard what happened meanwhile.
        self._frozen[-1] = (self._frozen[-1][0], (await self.do("look"))["done"])
        return now

    async def truth(self) -> dict[str, Timeline]:
        """Return when each session had a connection that was answered."""
        record: dict[str, list[tuple[float, bool]]] = (await self.do("truth"))["truth"]
        told = {name: Timeline(tuple((when, so) for when, so in changes)) for name, changes in record.items()}
        for begin, end in self._frozen:  # while it is frozen it cannot look
            told = {name: timeline.except_during(begin, end) for name, timeline in told.items()}
        return told

    async def told(self) -> dict[str, Any]:
        """Return the next line that it prints.

        Raises:
            RuntimeError: there is none.
        """
        assert self._process.stdout
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the simulator has ended")
        told: dict[str, Any] = json.loads(line)
        return told


@asynccontextmanager
async def simulator(names: Iterable[str], *, look_every: float = LOOK_SECONDS) -> AsyncIterator[Far]:
    """Run a simulator with a session for each name, for as long as the context lasts.

    Args:
        names: of the sessions.
        look_every: seconds between two looks at what is true.
    """
    words = [sys.executable, "-m", "bench.far", str(look_every), *names]
    async with running(words, stdin=asyncio.subprocess.PIPE) as process:
        far = Far(process)
        far.sessions = (await far.told())["sessions"]
        yield far


class _Stage:
    """The data centre, the sessions by name, and the record."""

    def __init__(self, dc: DataCentre, names: Sequence[str]) -> None:
        self.dc = dc
        self.channel = dc.chats.add_channel(CHAT.removeprefix("@"), everyone=Member.editor(), members={})
        self.sessions = {name: dc.create_session() for name in names}
        self.record: dict[str, list[tuple[float, bool]]] = {name: [(time.monotonic(), False)] for name in names}

    async def look_on(self, every: float) -> None:
        while True:
            self.look()
            await asyncio.sleep(every)

    def look(self) -> None:
        now = time.monotonic()
        for name, session in self.sessions.items():
            if session.answered != self.record[name][-1][1]:
                self.record[name].append((now, session.answered))

    async def obey(self, command: str) -> dict[str, Any]:
        levers = self.dc.levers
        match command.split():
            case ["close"]:
                self.dc.close_all()
            case ["reset"]:
                self.dc.reset_all()
            case ["silence"]:
                self.dc.silence_all()
            case ["black_hole", word]:
                levers.black_hole = word == "on"
            case ["drop_message"]:
                self.dc.drop("messages.sendMessage")
            case ["accept_then_close", word]:
                levers.accept_then_close = word == "on"
            case ["outage", "on"]:
                await self.dc.stop_listening()
                self.dc.reset_all()
            case ["outage", "off"]:
                await self.dc.start_listening()
            case ["revoke"]:
                for session in self.sessions.values():
                    session.revoke()
            case ["duplicate"]:
                for session in self.sessions.values():
                    await _connect_a_second_time(session)
            case ["replace", name]:
                self.sessions[name] = self.dc.create_session()
                return {"session": self.sessions[name].string}
            case ["look"]:
                for _ in range(TURNS):
                    await asyncio.sleep(0)
                self.look()
            case ["counts"]:
                overlaps = {name: session.worst_overlap for name, session in self.sessions.items()}
                return {"accepted": self.dc.accepted, "overlaps": overlaps}
            case ["posts"]:
                return {"posts": [(post.text, list(post.ids.values())) for post in self.channel.posts]}
            case ["truth"]:
                return {"truth": self.record}
            case _:
                raise ValueError(command)
        return {}


async def _connect_a_second_time(session: Session) -> None:
    session.duplicate_kills = True
    second = TelegramClient(StringSession(session.string), 1, "0" * 32)
    with suppress(AuthKeyDuplicatedError):
        await second.connect()
    await second.disconnect()


async def _serve(look_every: float, names: Sequence[str]) -> None:
    async with DataCentre() as dc:
        stage = _Stage(dc, names)
        _tell(sessions={name: session.string for name, session in stage.sessions.items()})
        asked = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
        looking = asyncio.create_task(stage.look_on(look_every))
        while line := await asked.readline():
            began = time.monotonic()
            told = await stage.obey(line.decode())
            _tell(began=began, done=time.monotonic(), **told)
        looking.cancel()


def _tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), sys.argv[2:]))
