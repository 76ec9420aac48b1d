"""A listener as one coroutine, from bound to closed. What a client may cost is bounded in `connection`."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import defaultdict
from typing import TYPE_CHECKING, cast

from aiohttp import web

from sidecar.address import host_port
from sidecar.http.connection import Connection, cut

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Never

    from aiohttp.typedefs import Handler, Middleware

ACCEPTS = 8
"""Connections accepted in one turn of the event loop. A request is answered within some five turns of its connection;
in so many, a flood must not fill `CONNECTIONS` and push it out again."""

RECEIVE_BYTES = 8 << 10
"""Receive buffer of a connection in the kernel (which doubles it), and so what one turn of the event loop reads of it:
room for every honest request, and little for a flood of large ones."""

QUEUE = 1024
"""Connections that wait in the kernel. A full queue drops a probe's first packet, which comes again after a second."""

SHUTDOWN_SECONDS = 0.5
"""Seconds that open requests get when the listener closes; every answer comes from memory, so none needs more. With
`SIDECAR_SHUTDOWN_TIMEOUT` before it, all of a stop stays below 6 s."""


class ListenerError(Exception):
    """A listener cannot listen. `in_use` tells whether that is because somebody else does, there."""

    def __init__(self, where: str, error: OSError | UnicodeError) -> None:
        number = getattr(error, "errno", None) or 0
        self.in_use = number == errno.EADDRINUSE
        # asyncio wraps the system's own words into a sentence that repeats the address; a resolver's are below zero.
        reason = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error)
        super().__init__(f"cannot listen on {where}: {reason[:1].lower()}{reason[1:]}")


async def listen(app: web.Application, host: str, port: int, *, bound: Callable[[str], None]) -> Never:
    """Serve an application until cancelled.

    Args:
        app: what to serve.
        host: address or host name to bind.
        port: TCP port; 0 takes any free one.
        bound: called with the URL once requests are accepted.

    Raises:
        ListenerError: the address cannot be bound.
    """
    app.middlewares.insert(0, _in_turn())
    # Cancellation, because a client that is gone must not go on waiting for its turn.
    runner = web.AppRunner(
        app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS, handler_cancellation=True
    )
    await runner.setup()
    open_ones: dict[Connection, asyncio.Transport] = {}

    def connection() -> Connection:
        return Connection(cast("web.Server", runner.server), open_ones)

    server: asyncio.Server | None = None
    try:
        try:
            create = asyncio.get_running_loop().create_server
            server = await create(connection, host, port, backlog=ACCEPTS)
        except (OSError, UnicodeError) as error:  # the latter for what cannot be a host name
            raise ListenerError(f"{host}:{port}", error) from error
        for listening in server.sockets:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)  # what is accepted inherits it
            with listening.dup() as same:
                same.listen(QUEUE)  # asyncio has one number for this and for ACCEPTS
        ours, port, *_ = server.sockets[0].getsockname()
        bound(f"http://{host_port(ours, port)}")
        await asyncio.Event().wait()
        raise AssertionError("for ever is over")
    finally:
        if server:
            server.close()
        await runner.cleanup()
        for transport in list(open_ones.values()):
            cut(transport)  # what is not taken by now is not waited for


def _in_turn() -> Middleware:
    """Let the event loop turn between two answers of one route.

    A page of metrics takes a millisecond or two, and a ping some six turns: answers to hundreds of clients in each of
    them would cost the heartbeat its deadline. Each route has its own queue, so that a probe waits behind no scrape.
    """
    turns: defaultdict[object, asyncio.Lock] = defaultdict(asyncio.Lock)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        async with turns[request.match_info.route.resource]:  # None for what does not exist
            await asyncio.sleep(0)
        return await handler(request)

    return middleware
