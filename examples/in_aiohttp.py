"""The keeper inside an aiohttp program: POST /notify sends the body to CHANNEL_URL, GET /healthz tells how it is.

One process: a second one with the same session can cost the session.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aiohttp import web

from sidecar import TelegramClientManager, TelegramUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MANAGER = web.AppKey("manager", TelegramClientManager)


async def keeper(app: web.Application) -> AsyncIterator[None]:
    """Keep the session connected for as long as the program runs."""
    async with TelegramClientManager() as app[MANAGER]:
        yield


async def notify(request: web.Request) -> web.Response:
    """Send the body of the request."""
    text = await request.text()
    try:
        async with request.app[MANAGER].client(timeout=10) as client:
            sent = await client.send_message(os.environ.get("CHANNEL_URL", "me"), text)
    except TelegramUnavailableError as error:
        raise web.HTTPServiceUnavailable(text=str(error), headers={"Retry-After": "5"}) from None
    return web.json_response({"id": sent.id})


async def healthz(request: web.Request) -> web.Response:
    """Tell how the connection is, from memory."""
    return web.json_response(await request.app[MANAGER].check_health())


def build() -> web.Application:
    """Build the program."""
    app = web.Application()
    app.cleanup_ctx.append(keeper)
    app.add_routes([web.post("/notify", notify), web.get("/healthz", healthz)])
    return app


if __name__ == "__main__":
    web.run_app(build(), host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
