"""The public face: one object that owns the one Telegram client of a process and lends it.

The daemon runs a manager; any other asyncio program may run one too, without the daemon:

    async with get_telegram_client() as client:
        await client.send_message("me", "hello")

The client belongs to the manager: it pings, checks and replaces it, and nobody else may connect or disconnect it. Ask
for it each time; after a lost connection it is another one.
"""

from __future__ import annotations

import asyncio
import functools
import math
import random
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

from sidecar import health
from sidecar.backoff import Backoff
from sidecar.clock import as_time
from sidecar.credentials import CredentialSource
from sidecar.journal import Journal
from sidecar.log import EventLog, logger
from sidecar.race import background
from sidecar.settings import load_settings
from sidecar.state import State
from sidecar.statefile import StateFile
from sidecar.supervisor import Supervisor
from sidecar.telegram import dial

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from pydantic import SecretStr
    from telethon import TelegramClient

    from sidecar.journal import Observer
    from sidecar.settings import Settings
    from sidecar.state import Snapshot

DEFAULT_WAIT = 30.0
"""Seconds that a caller waits for a connection, unless it says otherwise."""

SHORTEST_ORPHAN_SECONDS = 15
"""Telegram drops our connection at the earliest so many seconds after the last ping it saw."""


class TelegramUnavailableError(ConnectionError):
    """Telegram is not connected.

    Attributes:
        state: what the keeper is doing instead.
        reason: why, where there is a reason.
    """

    def __init__(self, state: State, reason: str | None, why: str) -> None:
        super().__init__(why)
        self.state = state
        self.reason = reason


class TelegramClientManager:
    """Keeps one Telegram session connected, and lends its client.

    Use it as `async with TelegramClientManager(settings) as manager`, or let the first `client()` start it and call
    `close()` at the end. It belongs to the event loop in which it is first used.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        observers: Sequence[Observer] = (),
        learn_secrets: Callable[[Iterable[str]], None] | None = None,
        random: Callable[[], float] = random.random,
        wall: Callable[[], float] = time.time,
        stop: asyncio.Event | None = None,
    ) -> None:
        """Build every part; nothing is dialled yet. Must be called inside a running event loop.

        Args:
            settings: the settings; unless given, they are read as the command reads them.
            observers: called with every event, after the log.
            learn_secrets: called with every secret that is read.
            random: returns a float in [0, 1); spreads retries and checks.
            wall: the wall clock, in seconds since 1970; dates what is remembered in `SIDECAR_STATE_DIR`.
            stop: ends it when set, as `stop()` does.

        Raises:
            SettingsError: the settings cannot be used.
        """
        settings = settings or load_settings()
        self._log = logger()
        self._stop = stop or asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._source = CredentialSource(settings, learn=learn_secrets)
        if self._source.hidden:
            self._log.warning("credential_files_hidden", files=self._source.hidden, by="the environment or .env")
        self.journal = Journal([*observers, EventLog(self._log)], due=asyncio.get_running_loop().time())
        orphan = max(SHORTEST_ORPHAN_SECONDS, 3 * settings.ping_interval + settings.ping_timeout)
        self._supervisor = Supervisor(
            settings,
            self._source,
            functools.partial(dial, close_timeout=settings.shutdown_timeout, disconnect_delay=math.ceil(orphan)),
            self.journal,
            backoff=Backoff(settings.backoff_base, settings.backoff_max, random),
            random=random,
            store=StateFile(settings.state_dir, self._log, wall=wall) if settings.state_dir else None,
        )

    # ------------------------------------------------------------------------------------------------ lifecycle

    async def run(self) -> None:
        """Keep the session connected until `stop()` is called; return when the connection is closed.

        There is one keeper, however often and from wherever this is awaited. Cancelling it stops the keeper.
        """
        keeper = self._keeper()
        try:
            await asyncio.wait([keeper])
        except asyncio.CancelledError:
            self.stop()
            await asyncio.wait([keeper])
            raise
        keeper.result()

    def stop(self) -> None:
        """Ask `run` to end."""
        self._stop.set()

    def reload_credentials(self) -> None:
        """Read the secret files again now."""
        self._source.reload()

    @property
    def api_token(self) -> SecretStr | None:
        """The bearer token that is valid now; None if none was ever given."""
        return self._source.api_token

    async def close(self) -> None:
        """Close the connection for good."""
        self.stop()
        if self._task:
            await self.run()

    async def __aenter__(self) -> Self:
        self._keeper()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def _keeper(self) -> asyncio.Task[None]:
        """Return the one task that keeps the session. No await stands between looking for it and starting it."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name="telegram-keeper")
        return self._task

    async def _keep(self) -> None:
        async with background(self._source.watch()) as (watching,):
            async with background(self._supervisor.run(self._stop)) as (keeping,):
                await asyncio.wait([keeping, watching], return_when=asyncio.FIRST_COMPLETED)
                if keeping.done():
                    keeping.result()
                    return
            watching.result()
            raise AssertionError("the watch over the credentials returned, though it has no reason to")

    # --------------------------------------------------------------------------------------------------- lending

    async def get_client(self, timeout: float = DEFAULT_WAIT) -> TelegramClient:  # noqa: ASYNC109 - ours raises its own error
        """Return the connected client.

        Args:
            timeout: seconds to wait for a connection.

        Raises:
            TelegramUnavailableError: there was none in that time; it says what there was instead.
        """

        def there_or_never(now: Snapshot) -> bool:
            return self._supervisor.link is not None or now.state is State.STOPPING

        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not self._stop.is_set() and self._supervisor.link is None:
                    async with background(self.journal.until(there_or_never)) as (waiting,):
                        await asyncio.wait([waiting, self._keeper()], return_when=asyncio.FIRST_COMPLETED)
                    if self._keeper().done():
                        self._keeper().result()
        if (link := self._supervisor.link) is None:
            raise self._unavailable()
        client: TelegramClient = link.client
        return client

    def _unavailable(self) -> TelegramUnavailableError:
        snapshot = self.journal.snapshot
        why = health.explain(snapshot, asyncio.get_running_loop().time())
        return TelegramUnavailableError(snapshot.state, snapshot.reason, why)

    @asynccontextmanager
    async def client(self, timeout: float = DEFAULT_WAIT) -> AsyncIterator[TelegramClient]:  # noqa: ASYNC109 - as above
        """Lend the connected client to a block; it stays open when the block is left.

        What the block raises is logged as `telegram_operation_failed`, and raised again.

        Args:
            timeout: seconds to wait for a connection.

        Raises:
            TelegramUnavailableError: there was none in that time, or it was lost while the block awaited an answer.
        """
        client = await self.get_client(timeout)
        try:
            yield client
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Telethon cancels what is in flight when its connection is given up. Nobody asked for that, and nobody
            # would notice: a task that ends by cancellation ends in silence.
            error = self._unavailable()
            self._log.warning("telegram_operation_failed", error=type(error).__name__)
            raise error from None
        except Exception as error:
            self._log.warning("telegram_operation_failed", error=type(error).__name__)
            raise

    async def check_health(self) -> dict[str, Any]:
        """Return what /healthz tells of the connection, from memory: Telegram is not asked."""
        return health.telegram_check(self.journal.snapshot, asyncio.get_running_loop().time(), as_time=as_time)


# ------------------------------------------------------------------------------------- the one manager of the process

_manager: tuple[asyncio.AbstractEventLoop, TelegramClientManager] | None = None


@asynccontextmanager
async def get_telegram_client(timeout: float = DEFAULT_WAIT) -> AsyncIterator[TelegramClient]:  # noqa: ASYNC109 - as above
    """Lend the client of the one manager of this process to a block.

    The first use starts that manager with the settings of the environment. Leaving the block never closes the client;
    the manager lives as long as its event loop.

    Args:
        timeout: seconds to wait for a connection.

    Raises:
        SettingsError: the settings cannot be used.
        TelegramUnavailableError: Telegram is not connected within that time; it has the state and the reason.
        RuntimeError: another event loop that still runs owns the session.
    """
    async with process_manager().client(timeout) as client:
        yield client


def process_manager() -> TelegramClientManager:
    """Return the one manager of this process, built at first use.

    Raises:
        SettingsError: the settings cannot be used.
        RuntimeError: another event loop that still runs owns the session; two loops would mean two connections.
    """
    global _manager  # noqa: PLW0603 - the promise is one per process
    loop = asyncio.get_running_loop()
    if _manager and _manager[0] is not loop and not _manager[0].is_closed():
        raise RuntimeError("the Telegram client of this process belongs to another event loop; use it there")
    if not _manager or _manager[0] is not loop:
        _manager = loop, TelegramClientManager()
    return _manager[1]
