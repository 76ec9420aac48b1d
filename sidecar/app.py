"""The composition root: builds every part once, wires them, and gives them their order of start and stop.

Order of start: log, both listeners, then Telegram: health is served even when Telegram never answers. Order of stop:
/readyz turns 503, Telegram is disconnected (bounded), the listeners close.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from sidecar import __version__
from sidecar.http.lending import serve_api
from sidecar.http.ops import ops_app
from sidecar.http.server import listen
from sidecar.lag import measure_lag
from sidecar.log import logger, set_up
from sidecar.manager import TelegramClientManager
from sidecar.metrics import Metrics
from sidecar.notify import Notifier
from sidecar.race import background
from sidecar.redact import Redactor
from sidecar.signals import reload_on_sighup

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.journal import Observer
    from sidecar.settings import ServiceManager, Settings
    from sidecar.state import Event, Snapshot


async def run(
    settings: Settings,
    stop: asyncio.Event,
    *,
    listening_at: Callable[[str, str], None] = lambda _ops, _api: None,
    service_manager: ServiceManager | None = None,
) -> None:
    """Run the daemon until `stop` is set.

    Args:
        settings: all there is to know.
        stop: ends it.
        listening_at: called with the URLs of the ops and of the api listener once both answer.
        service_manager: is notified, if there is one; the demo has none.

    Raises:
        ListenerError: an address cannot be bound.
    """
    redactor, registry = Redactor(), CollectorRegistry()
    set_up(settings, redactor)
    log = logger()

    def learn_phone(_: Event, snapshot: Snapshot) -> None:
        if snapshot.identity and snapshot.identity.phone:
            redactor.learn([snapshot.identity.phone])

    metrics = Metrics(registry, program_version=__version__, clock=asyncio.get_running_loop().time)
    observers: list[Observer] = [learn_phone, metrics]
    notifier = Notifier(service_manager.socket, log) if service_manager else None
    if notifier:
        observers.append(notifier)
    manager = TelegramClientManager(settings, observers=observers, learn_secrets=redactor.learn, stop=stop)
    ops = ops_app(
        manager.journal,
        metrics=make_aiohttp_handler(registry),
        environment=settings.environment,
        version=__version__,
    )
    listening = asyncio.Event()
    urls: dict[str, str] = {}

    def announce(listener: str, url: str) -> None:
        urls[listener] = url
        if len(urls) == _LISTENERS:
            listening_at(urls["ops"], urls["api"])
            log.info("service_starting", version=__version__, environment=settings.environment, **urls)
            listening.set()

    services = [
        listen(ops, settings.host, settings.port, bound=partial(announce, "ops")),
        serve_api(settings, manager, metrics.observe_request, log=log, bound=partial(announce, "api")),
        measure_lag(metrics.observe_lag),
    ]
    if notifier and service_manager and service_manager.watchdog_seconds:
        services.append(notifier.keep_alive(manager.journal, service_manager.watchdog_seconds))
    with reload_on_sighup(manager.reload_credentials):
        async with background(*services) as servants:
            async with background(listening.wait()) as (up,):
                await asyncio.wait([up, *servants], return_when=asyncio.FIRST_COMPLETED)
            _raise_first(servants)
            async with background(manager.run()) as (keeping,):
                await asyncio.wait([keeping, *servants], return_when=asyncio.FIRST_COMPLETED)
                _raise_first([keeping, *servants])


_LISTENERS = 2


def _raise_first(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()
