"""The sidecar's contenders: what people write today, each a program of its own.

    python -m bench.contenders loop     (a) get_me in a loop, prometheus_client's own HTTP server
    python -m bench.contenders naive    (b) is_connected() and get_me inside the health handler
    python -m bench.contenders plain    Telethon connected, and nothing else

Credentials come from API_ID, API_HASH and SESSION_STRING. The first line says where it listens.

Rules of this file: Telethon and the HTTP servers with their default settings, and the care that a sensible person takes
without knowing Telethon's inside: errors are caught, a client that gave up is connected again, `None` from get_me is no
success.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from telethon import TelegramClient
from telethon.sessions import StringSession

LOOP_SECONDS = 60
"""As often as the sidecar asks get_me: at the same cost to Telegram."""


def client_from_environment() -> TelegramClient:
    """Make the client, with Telethon's defaults."""
    return TelegramClient(
        StringSession(os.environ["SESSION_STRING"]), int(os.environ["API_ID"]), os.environ["API_HASH"]
    )


async def ask_for_ever(client: TelegramClient) -> None:
    """Ask get_me once a minute, and set a gauge."""
    from prometheus_client import REGISTRY, Gauge  # noqa: PLC0415 - (b) and the plain client do without

    connected = Gauge("telegram_connected", "Whether Telegram answers.", registry=REGISTRY)
    while True:
        try:
            if not client.is_connected():
                await client.connect()
            connected.set(1 if await client.get_me() else 0)
        except Exception:  # noqa: BLE001 - as people write it
            connected.set(0)
        await asyncio.sleep(LOOP_SECONDS)


async def loop() -> None:
    """Run contender (a)."""
    from prometheus_client import start_http_server  # noqa: PLC0415

    server, _ = start_http_server(0, addr="127.0.0.1")
    _tell(server.server_port)
    await ask_for_ever(client_from_environment())


async def naive() -> None:
    """Run contender (b)."""
    from aiohttp import web  # noqa: PLC0415

    client = client_from_environment()

    async def health(_: web.Request) -> web.Response:
        try:
            healthy = client.is_connected() and await client.get_me() is not None
        except Exception:  # noqa: BLE001 - as people write it
            healthy = False
        return web.json_response({"healthy": healthy}, status=200 if healthy else 503)

    await client.connect()
    app = web.Application()
    app.router.add_get("/health", health)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    _tell(runner.addresses[0][1])
    await asyncio.Event().wait()


async def plain() -> None:
    """Run a client that is connected and does nothing."""
    client = client_from_environment()
    await client.connect()
    _tell(0)
    await asyncio.Event().wait()


def _tell(port: int) -> None:
    print(json.dumps({"ops": f"http://127.0.0.1:{port}"}), flush=True)


if __name__ == "__main__":
    asyncio.run({"loop": loop, "naive": naive, "plain": plain}[sys.argv[1]]())
