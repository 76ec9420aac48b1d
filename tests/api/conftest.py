"""An api listener in front of the real keeper, the real Telethon and the simulator, all in one loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession, ClientTimeout, TCPConnector, UnixConnector, web_app
from prometheus_client import CollectorRegistry

from sidecar.http.lending import serve_api
from sidecar.log import logger
from sidecar.metrics import Metrics
from sidecar.race import background
from sidecar.settings import Settings
from sidecar.simulator.chats import Member
from tests.rig import API_HASH

if TYPE_CHECKING:
    from sidecar.simulator import DataCentre
    from sidecar.simulator.chats import Channel
    from tests.rig import Rig

PATIENCE = ClientTimeout(total=400)


class Answer:
    """What the listener said."""

    def __init__(self, status: int, headers: Any, text: str, body: Any) -> None:
        self.status = status
        self.headers = headers
        self.text = text
        self.body = body


class Api:
    """A caller of the api listener, and everything behind it.

    Attributes:
        rig: the keeper.
        channel: a channel that the account may write in, named @news; CHANNEL_URL.
        url: where the listener is.
        http: an HTTP client.
    """

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, program_version="test", clock=rig.clock)
        self.channel: Channel
        self.url = ""
        self.http: ClientSession
        self._serving: asyncio.Task[None] | None = None

    @property
    def dc(self) -> DataCentre:
        """The data centre."""
        return self.rig.dc

    async def start(self, *, from_files: bool = False, **settings: Any) -> None:
        """Start the keeper and the listener, and wait for the connection."""
        self.channel = self.dc.chats.add_channel("news", members={self.me: Member.editor()})
        await self.rig.connected(from_files=from_files)
        await self.serve(**settings)

    @property
    def me(self) -> int:
        """The id of the account."""
        return self.rig.session.account.user_id

    async def serve(self, **given: Any) -> None:
        """Start the listener alone, in front of the keeper that runs."""
        defaults: dict[str, Any] = {"api_id": 1, "api_hash": API_HASH, "api_port": 0, "channel_url": "@news"}
        settings = Settings(**defaults | given)
        if settings.api_token:
            self.rig.manager._source.api_token = settings.api_token
        bound: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = serve_api(
            settings,
            self.rig.manager,
            self.metrics.observe_request,
            log=logger(),
            bound=bound.set_result,
            wall=self.dc.now,
        )
        self._serving = asyncio.create_task(serving)
        async with background(asyncio.wait([self._serving])) as (ended,):
            await asyncio.wait({ended, bound}, return_when=asyncio.FIRST_COMPLETED)
        if self._serving.done():
            self._serving.result()
        self.url = bound.result()
        connector = UnixConnector(str(settings.api_socket)) if settings.api_socket else TCPConnector(force_close=True)
        if settings.api_socket:
            self.url = "http://sidecar"
        self.http = ClientSession(connector=connector, timeout=PATIENCE)

    async def stop(self) -> None:
        """Stop the listener."""
        if self._serving:
            if self.url:
                await self.http.close()
            self._serving.cancel()
            await asyncio.wait([self._serving])
            self._serving = None
            # aiohttp remembers every application for ever, and with it the rig and all that its events hold.
            web_app._cached_build_middleware.cache_clear()

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Call the listener."""
        async with self.http.request(method, self.url + path, **options) as answer:
            text = await answer.text()
            body = await answer.json(content_type=None) if text else None
            return Answer(answer.status, answer.headers, text, body)

    async def send(
        self, text: str = "hello", *, key: str | None = None, wait: float | None = None, **more: Any
    ) -> Answer:
        """POST a message."""
        headers = {"Idempotency-Key": key} if key else {}
        if wait is not None:
            headers["Request-Timeout"] = str(wait)
        return await self.ask("POST", "/telegram/messages", json={"text": text, **more}, headers=headers)

    @property
    def texts(self) -> list[str]:
        """What was ever posted in the channel."""
        return [post.text for post in self.channel.posts]

    def count(self, method: str, result: str) -> float | None:
        """Return a counter of calls."""
        return self.registry.get_sample_value("telegram_requests_total", {"method": method, "result": result})


@pytest.fixture
async def api(rig: Rig) -> Api:
    """An api listener that is not started yet; it is stopped before the keeper is."""
    api = Api(rig)
    rig.before_stop.append(api.stop)
    return api
