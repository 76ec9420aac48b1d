"""What all answers have in common: JSON where they are for programs, never cached, and silent about what made them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler


def as_json(body: object, status: int = HTTPStatus.OK) -> web.Response:
    """Answer with JSON."""
    return web.json_response(body, status=status, dumps=_dumps)


def _dumps(body: object) -> str:
    return json.dumps(body, ensure_ascii=False) + "\n"  # for whoever reads it in a terminal


async def discreet_headers(_: web.Request, answer: web.StreamResponse) -> None:
    """Let nobody cache an answer, and tell nobody the versions of what made it."""
    be_discreet(answer)


def be_discreet(answer: web.StreamResponse) -> None:
    """Put on an answer the headers that every answer has."""
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
