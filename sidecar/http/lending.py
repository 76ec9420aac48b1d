"""The api listener with everything that belongs to it, as one coroutine from bound to closed."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from sidecar import __version__
from sidecar.address import is_loopback
from sidecar.api.ledger import Ledger
from sidecar.api.ledgerfile import LedgerFile
from sidecar.api.mailroom import Mailroom
from sidecar.api.updates import Updates
from sidecar.http.api import api_app, improper
from sidecar.http.server import ListenerError, listen, listen_on_socket
from sidecar.race import background

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Never

    import structlog

    from sidecar.api.mailroom import Observer
    from sidecar.manager import TelegramClientManager
    from sidecar.settings import Settings


async def serve_api(
    settings: Settings,
    manager: TelegramClientManager,
    observe: Observer,
    *,
    log: structlog.stdlib.BoundLogger,
    bound: Callable[[str], None],
    wall: Callable[[], float] = time.time,
) -> Never:
    """Lend the connection to whoever calls, until cancelled.

    Args:
        settings: where to listen, and what to remember.
        manager: has the connection.
        observe: told of the end of each call.
        log: where faults are logged.
        bound: called with the URL once requests are accepted.
        wall: the wall clock, in seconds since 1970.

    Raises:
        ListenerError: the address cannot be bound.
    """
    with ExitStack() as stack:
        store = None
        if settings.state_dir:
            store = LedgerFile(settings.state_dir, log)
            stack.callback(store.close)
        mailroom = Mailroom(manager, Ledger(store, wall=wall), observe, channel=settings.channel_url)
        updates = Updates(manager, mailroom.met, wanted=settings.api_updates)
        app = api_app(
            manager.journal,
            mailroom,
            updates,
            token=lambda: manager.api_token,
            open_without=bool(settings.api_socket) or is_loopback(settings.api_host),
            any_name=bool(settings.api_socket),
            log=log,
            version=__version__,
        )
        if settings.api_socket:
            serve = partial(listen_on_socket, app, settings.api_socket)
        else:
            serve = partial(listen, app, settings.api_host, settings.api_port)
        try:
            async with background(serve(bound=bound, improper=improper, spare_busy=True), updates.run()) as tasks:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.result()
        except ListenerError as error:
            error.settings = ("api_socket",) if settings.api_socket else ("api_host", "api_port")
            raise
        else:
            raise AssertionError("for ever is over")
        finally:
            await mailroom.close()
