"""A keeper as in production, under observation: the real manager, the real Telethon, real TCP to the simulator."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from sidecar.manager import TelegramClientManager
from sidecar.metrics import Metrics
from sidecar.settings import Settings
from sidecar.simulator.secret import MountedSecret
from sidecar.state import AttemptStarted, Held, PingAnswered, State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from sidecar.simulator import DataCentre, Session
    from sidecar.state import Event, Snapshot

API_HASH = "0123456789abcdef" * 2


class Rig:
    """Everything that a test of the keeper touches.

    With `random` fixed at one half, checks come exactly at the interval and delays are half their ceiling.

    Attributes:
        dc: the data centre.
        session: the account that the keeper keeps connected.
        loop: the event loop it runs in, once it is started.
        slack: seconds by which an event may be late: what the fake clock rounds off. Real time needs more.
        before_stop: what else must be stopped first.
        late: events that came after the moment at which the keeper would have counted as stuck, slack aside.
        events: what was recorded, as (seconds since the start, event), but for pings and signs of life.
    """

    def __init__(self, dc: DataCentre, secrets: Path) -> None:
        self.dc = dc
        self.session = dc.create_session()
        self.secrets = secrets
        self._secret = MountedSecret(secrets)
        self.events: list[tuple[float, Event]] = []
        self.pings = 0
        self.registry = CollectorRegistry()
        self.manager: TelegramClientManager
        self._task: asyncio.Task[None] | None = None
        self._began = 0.0
        self._due = 0.0
        self.slack = 1e-6
        self.late: list[str] = []
        self.loop: asyncio.AbstractEventLoop | None = None
        self.before_stop: list[Callable[[], Awaitable[None]]] = []

    # ------------------------------------------------------------------------------------------------ its life

    def start(self, *, from_files: bool = False, observers: Any = (), **settings: Any) -> None:
        """Start the keeper; with `from_files` its credentials come from the secrets directory alone."""
        if from_files:
            settings |= {"secrets_dir": self.secrets}
        else:
            settings = {"api_id": 1, "api_hash": API_HASH, "session_string": self.session.string} | settings
        self.loop = asyncio.get_running_loop()
        self._began = self.loop.time()
        metrics = Metrics(self.registry, program_version="test", wall=lambda: self.now, clock=self.loop.time)
        self.manager = TelegramClientManager(
            Settings(**settings),
            observers=[metrics, self._observe, *observers],
            random=lambda: 0.5,
            wall=lambda: 1e9 + self.clock(),
        )
        self._task = asyncio.create_task(self.manager.run())

    async def stop(self) -> None:
        """Stop the keeper, if it runs, and raise what it raised."""
        while self.before_stop:
            await self.before_stop.pop()()
        if self._task:
            self.manager.stop()
            await self._task
        assert self.late == []

    def _observe(self, event: Event, snapshot: Snapshot) -> None:
        if self.now > self._due + self.slack:
            self.late.append(f"{type(event).__name__} at {self.now}, due at {self._due}")
        self._due = snapshot.due - self._began
        if isinstance(event, PingAnswered):
            self.pings += 1
        elif not isinstance(event, Held):
            self.events.append((self.now, event))

    @staticmethod
    def clock() -> float:
        """Return the time of the event loop."""
        return asyncio.get_running_loop().time()

    # -------------------------------------------------------------------------------------------- looking at it

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return round(asyncio.get_running_loop().time() - self._began, 6)

    @property
    def snapshot(self) -> Snapshot:
        """What the keeper knows."""
        return self.manager.journal.snapshot

    async def until(self, state: State) -> float:
        """Wait for a state, and return when it came."""
        await self.manager.journal.until(lambda snapshot: snapshot.state is state)
        return self.now

    async def connected(self, **settings: Any) -> None:
        """Start the keeper and wait until it is connected."""
        self.start(**settings)
        await self.until(State.CONNECTED)

    async def pinged(self) -> None:
        """Wait until the first ping was answered; it goes out in the instant of connecting."""
        await self.manager.journal.until(lambda _: self.pings > 0)

    def of(self, kind: type[Event]) -> list[tuple[float, Event]]:
        """Return the recorded events of one kind."""
        return [(at, event) for at, event in self.events if isinstance(event, kind)]

    def attempts(self) -> list[float]:
        """Return when attempts began."""
        return [at for at, _ in self.of(AttemptStarted)]

    def metric(self, name: str, **labels: str) -> float | None:
        """Return the value of a series."""
        return self.registry.get_sample_value(name, labels)

    # ----------------------------------------------------------------------------------------- the secrets directory

    def mount(self, session: Session | None = None, **files: str) -> None:
        """Mount a Secret, or swap its content, the way Kubernetes does: atomically."""
        if session:
            files["session_string"] = session.string
        self._secret.swap(**{"api_id": "1", "api_hash": API_HASH} | files)
