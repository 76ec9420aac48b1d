"""A listener as one coroutine, and what all listeners have in common: JSON for every answer, no access log."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Never

    from aiohttp.typedefs import Handler

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
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, UnicodeError) as error:  # the latter for what cannot be a host name
            raise ListenerError(f"{host}:{port}", error) from error
        address = runner.addresses[0]
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        bound(f"http://{shown}:{address[1]}")
        await asyncio.Event().wait()
        raise AssertionError("for ever is over")
    finally:
        await runner.cleanup()


def as_json(body: object, status: int = HTTPStatus.OK) -> web.Response:
    """Answer with JSON."""
    return web.json_response(body, status=status, dumps=_dumps)


def _dumps(body: object) -> str:
    return json.dumps(body, ensure_ascii=False)


async def discreet_headers(_: web.Request, answer: web.StreamResponse) -> None:
    """Let nobody cache an answer, and tell nobody the versions of what made it."""
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Server"] = "telethon-sidecar"


@web.middleware
async def json_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer unknown paths and methods with JSON, as everything else."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        answer = as_json({"ok": False, "why": f"{request.method} is not allowed here; use {allowed}."}, error.status)
        answer.headers["Allow"] = allowed
        return answer
    except web.HTTPNotFound as error:
        return as_json({"ok": False, "why": "There is nothing at this path; / lists what there is."}, error.status)
