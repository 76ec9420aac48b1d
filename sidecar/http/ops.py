"""The ops listener: probes for Kubernetes, metrics for Prometheus, a page for people.

Rules of this file: every answer comes from memory. No request ever causes a call to Telegram, so that no probe, scrape
or curious person can earn the session a flood wait.
"""

from __future__ import annotations

import asyncio
import html
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from sidecar import health
from sidecar.clock import as_time
from sidecar.http.answers import as_json, discreet_headers, json_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler

    from sidecar.journal import Journal
    from sidecar.state import Snapshot

_PATHS = {
    "/healthz": "all that is known, as JSON; 503 if it cannot dial or this process is stuck; also /health",
    "/readyz": "200 while Telegram answers",
    "/livez": "200 while this process makes progress, whatever Telegram does",
    "/startupz": "200 once the first attempt is over, or cannot be made",
    "/metrics": "for Prometheus",
}

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5"><title>telethon-sidecar</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 44rem; padding: 0 1rem }}
strong {{ text-transform: capitalize; color: {colour} }}
dt {{ font-family: monospace }} dd {{ margin: 0 0 .5rem 1rem }}</style></head>
<body><h1>telethon-sidecar {version}</h1>
<p><strong>{state}</strong></p><p>{why}</p>
<p>Environment {environment}, as of {now}.</p>
<dl>{links}</dl></body>
</html>
"""


def ops_app(journal: Journal, *, metrics: Handler, environment: str, version: str) -> web.Application:
    """Build the ops listener's application.

    Args:
        journal: where the snapshot is.
        metrics: answers /metrics.
        environment: the value of `ENVIRONMENT`.
        version: ours.
    """
    clock = asyncio.get_running_loop().time

    def probe(question: Callable[[Snapshot, float], health.Answer]) -> Handler:
        async def handler(_: web.Request) -> web.StreamResponse:
            answer = question(journal.snapshot, clock())
            status = HTTPStatus.OK if answer.ok else HTTPStatus.SERVICE_UNAVAILABLE
            return as_json({"ok": answer.ok, "why": answer.why}, status)

        return handler

    async def healthz(_: web.Request) -> web.StreamResponse:
        body = health.report(journal.snapshot, clock(), environment=environment, as_time=as_time)
        unhealthy = body["status"] is health.Health.UNHEALTHY
        return as_json(body, HTTPStatus.SERVICE_UNAVAILABLE if unhealthy else HTTPStatus.OK)

    async def page(_: web.Request) -> web.StreamResponse:
        snapshot = journal.snapshot
        readiness = health.ready(snapshot, clock())
        text = _PAGE.format(
            version=html.escape(version),
            state=snapshot.state,
            colour="#1a7f37" if readiness.ok else "#b42318",
            now=as_time(clock()),
            environment=html.escape(environment),
            why=html.escape(readiness.why),
            links="".join(f'<dt><a href="{path}">{path}</a></dt><dd>{what}</dd>' for path, what in _PATHS.items()),
        )
        return web.Response(text=text, content_type="text/html")

    app = web.Application(middlewares=[json_errors])
    app.on_response_prepare.append(discreet_headers)
    app.router.add_get("/", page)
    app.router.add_get("/livez", probe(health.live))
    app.router.add_get("/readyz", probe(health.ready))
    app.router.add_get("/startupz", probe(health.started))
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/health", healthz)
    app.router.add_get("/metrics", metrics)
    return app
