"""A listener as one coroutine, from bound to closed. What a client may cost is bounded in `connection`."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from aiohttp import web

from sidecar.address import host_port
from sidecar.http.answers import as_json
from sidecar.http.connection import Connection, cut

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
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

SOCKET_MODE = 0o660
"""Who may connect to a Unix socket: the user and the group of this process (`fsGroup` in Kubernetes)."""


class ListenerError(Exception):
    """A listener cannot listen.

    Attributes:
        in_use: whether that is because somebody else does, there.
        settings: the fields of `Settings` that say where.
    """

    settings: tuple[str, ...] = ("host", "port")

    def __init__(self, where: str, error: OSError | UnicodeError) -> None:
        number = getattr(error, "errno", None) or 0
        self.in_use = number == errno.EADDRINUSE
        # asyncio wraps the system's own words into a sentence that repeats the address; a resolver's are below zero.
        reason = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error)
        super().__init__(f"cannot listen on {where}: {reason[:1].lower()}{reason[1:]}")


def improper_request(status: int) -> web.Response:
    """Answer what is no proper HTTP request."""
    return as_json({"ok": False, "why": "This is no proper HTTP request."}, status)


async def listen(
    app: web.Application,
    host: str,
    port: int,
    *,
    bound: Callable[[str], None],
    improper: Callable[[int], web.Response] = improper_request,
    spare_busy: bool = False,
) -> Never:
    """Serve an application on a TCP port until cancelled.

    Args:
        app: what to serve.
        host: address or host name to bind.
        port: TCP port; 0 takes any free one.
        bound: called with the URL once requests are accepted.
        improper: answers, with this status, what is no proper request.
        spare_busy: whether a connection that waits for an answer is kept, even if there are too many.

    Raises:
        ListenerError: the address cannot be bound.
    """

    async def bind(connection: Callable[[], Connection]) -> asyncio.Server:
        create = asyncio.get_running_loop().create_server
        return await create(connection, host, port, backlog=ACCEPTS)

    def announce(listening: socket.socket) -> None:
        ours, port, *_ = listening.getsockname()
        bound(f"http://{host_port(ours, port)}")

    await _serve(app, bind, announce, where=f"{host}:{port}", improper=improper, spare_busy=spare_busy)


async def listen_on_socket(
    app: web.Application,
    path: Path,
    *,
    bound: Callable[[str], None],
    improper: Callable[[int], web.Response] = improper_request,
    spare_busy: bool = False,
) -> Never:
    """Serve an application on a Unix socket of mode 0660 until cancelled; the arguments are those of `listen`.

    A socket that nobody listens on any more is replaced. One that somebody listens on, and a file that is none, is not.

    Raises:
        ListenerError: the socket cannot be bound.
    """
    ours: list[int] = []

    async def bind(connection: Callable[[], Connection]) -> asyncio.Server:
        # Bound under another name, and put in place when it has its mode: nobody connects to it before.
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        with socket.socket(socket.AF_UNIX) as listening:
            _make_way(path)
            fresh.unlink(missing_ok=True)
            listening.bind(str(fresh))
            try:
                fresh.chmod(SOCKET_MODE)
                ours.append(fresh.stat().st_ino)
                create = asyncio.get_running_loop().create_unix_server
                server = await create(connection, sock=listening.dup(), backlog=ACCEPTS)
                fresh.rename(path)
            except BaseException:
                fresh.unlink(missing_ok=True)
                raise
        return server

    try:
        await _serve(
            app, bind, lambda _: bound(f"unix:{path}"), where=str(path), improper=improper, spare_busy=spare_busy
        )
    finally:
        _remove(path, ours)


def _remove(path: Path, ours: list[int]) -> None:
    with suppress(FileNotFoundError):
        if path.lstat().st_ino in ours:  # and not another one's, which may be there by now
            path.unlink()


def _make_way(path: Path) -> None:
    """See that nothing is lost if a socket is put there.

    Raises:
        OSError: something is there that is not ours to replace.
    """
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_socket():
        raise OSError("a file is there that is no socket; remove it, or name another path")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(1)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


async def _serve(
    app: web.Application,
    bind: Callable[[Callable[[], Connection]], Awaitable[asyncio.Server]],
    announce: Callable[[socket.socket], None],
    *,
    where: str,
    improper: Callable[[int], web.Response],
    spare_busy: bool,
) -> Never:
    app.middlewares.insert(0, _in_turn())
    # Cancellation, because a client that is gone must not go on waiting for its turn.
    runner = web.AppRunner(
        app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS, handler_cancellation=True
    )
    await runner.setup()
    open_ones: dict[Connection, asyncio.Transport] = {}

    def connection() -> Connection:
        return Connection(cast("web.Server", runner.server), open_ones, improper=improper, spare_busy=spare_busy)

    server: asyncio.Server | None = None
    try:
        try:
            server = await bind(connection)
        except (OSError, UnicodeError) as error:  # the latter for what cannot be a host name
            raise ListenerError(where, error) from error
        for listening in server.sockets:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)  # what is accepted inherits it
            with listening.dup() as same:
                same.listen(QUEUE)  # asyncio has one number for this and for ACCEPTS
        announce(server.sockets[0])
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
