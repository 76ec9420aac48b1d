"""The api listener: the application's calls, over HTTP.

Rules of this file: it reads requests and writes answers. What a call means is in `sidecar.api`; whatever goes wrong is
a `Problem`, and nothing is answered that /openapi.json does not describe.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web
from pydantic import BaseModel, TypeAdapter, ValidationError

from sidecar import health
from sidecar.api import models, problems
from sidecar.api.asked import check_host, check_token, idempotency_key, patience
from sidecar.api.openapi import describe
from sidecar.api.problems import Problem, malformed
from sidecar.http.answers import as_json, discreet_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    import structlog
    from aiohttp.typedefs import Handler, Middleware
    from pydantic import SecretStr

    from sidecar.api.mailroom import Mailroom
    from sidecar.api.updates import Reader, Updates
    from sidecar.journal import Journal

    Log = structlog.stdlib.BoundLogger

LARGEST_BODY = 64 * 1024
"""Bytes of a body: the longest text needs at most a quarter of it."""

KEEP_ALIVE_SECONDS = 15.0
"""A stream without events gets a comment so often, so that both sides notice if the other one is gone."""

MOST_CHATS = 100
"""Chats of one stream."""

_CHAT: TypeAdapter[str] = TypeAdapter(models.Chat)
M = TypeVar("M", bound=BaseModel)


def api_app(
    journal: Journal,
    mailroom: Mailroom,
    updates: Updates,
    *,
    token: Callable[[], SecretStr | None],
    open_without: bool,
    any_name: bool,
    log: Log,
    version: str,
) -> web.Application:
    """Build the api listener's application.

    Args:
        journal: where the snapshot is.
        mailroom: carries calls to Telegram.
        updates: knows what happened to messages.
        token: gives the token that is asked for now; None if none is.
        open_without: whether everybody is let in without one.
        any_name: whether they may call us by any name then: where no browser gets to.
        log: where a status that is none is logged.
        version: ours.
    """
    clock = asyncio.get_running_loop().time
    description = describe(version)

    async def openapi(_: web.Request) -> web.StreamResponse:
        return as_json(description)

    async def status(_: web.Request) -> web.StreamResponse:
        snapshot = journal.snapshot
        identity = snapshot.identity
        if identity is None or not health.ready(snapshot, clock()).ok:
            log.warning("session_status_failed", state=snapshot.state, reason=snapshot.reason)
            raise problems.not_connected(snapshot, clock())
        return _told(
            models.Status(
                user_id=identity.user_id,
                username=identity.username,
                phone=identity.phone,
                is_bot=identity.is_bot,
                first_name=identity.first_name,
                last_name=identity.last_name,
            )
        )

    async def send(request: web.Request) -> web.StreamResponse:
        wait, key = (
            patience(_header(request, "Request-Timeout")),
            idempotency_key(request.headers.getall("Idempotency-Key", [])),
        )
        asked = await _body(request, models.NewMessage)
        sent = await mailroom.send(asked.chat, asked.draft(), key=key, patience=wait)
        return _told(models.Sent.of(sent), HTTPStatus.CREATED)

    async def edit(request: web.Request) -> web.StreamResponse:
        message, wait = _message(request), patience(_header(request, "Request-Timeout"))
        asked = await _body(request, models.ChangedMessage)
        return _told(models.Message.of(await mailroom.edit(asked.chat, message, asked.draft(), patience=wait)))

    async def get(request: web.Request) -> web.StreamResponse:
        message, wait, chat = _message(request), patience(_header(request, "Request-Timeout")), _chat(request)
        return _told(models.Message.of(await mailroom.get(chat, message, patience=wait)))

    async def delete(request: web.Request) -> web.StreamResponse:
        message, wait, chat = _message(request), patience(_header(request, "Request-Timeout")), _chat(request)
        await mailroom.delete(chat, message, patience=wait)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def stream(request: web.Request) -> web.StreamResponse:
        wait, last = patience(_header(request, "Request-Timeout")), _header(request, "Last-Event-ID")
        named = request.query.getall("chat", [])
        _known(request, "chat")
        if len(named) > MOST_CHATS:
            raise malformed(f"At most {MOST_CHATS} chats at a time.")
        reader = updates.reader(last)  # from here on, and not from when the chats are found
        with updates.place():
            if models.EVERY_CHAT not in named:
                found = [await mailroom.whereabouts(_parsed(chat), patience=wait) for chat in named]
                reader.chats = frozenset(found or [await mailroom.whereabouts(None, patience=wait)])
            return await _stream(request, updates, reader)

    app = web.Application(
        middlewares=[_problems(log), _guarded(token, open_without=open_without, any_name=any_name)],
        client_max_size=LARGEST_BODY,
    )
    app.on_response_prepare.append(discreet_headers)
    app.router.add_get("/openapi.json", openapi)
    app.router.add_get("/telegram/session/status", status)
    app.router.add_post("/telegram/messages", send)
    app.router.add_get("/telegram/messages/{id}", get)
    app.router.add_patch("/telegram/messages/{id}", edit)
    app.router.add_delete("/telegram/messages/{id}", delete)
    app.router.add_get("/telegram/updates", stream, allow_head=False)

    async def hang_up(_: web.Application) -> None:
        updates.end()

    app.on_shutdown.append(hang_up)
    return app


# ------------------------------------------------------------------------------------------------ reading requests


def _header(request: web.Request, name: str) -> str | None:
    values = request.headers.getall(name, [])
    if len(values) > 1:
        raise malformed(f"{name} is given {len(values)} times; send it once.")
    return values[0] if values else None


def _message(request: web.Request) -> int:
    text = request.match_info["id"]
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(models.LARGEST_ID))):
        raise malformed("The id of a message is a whole number, 1 to 2147483647.")
    number = int(text)
    if not 1 <= number <= models.LARGEST_ID:
        raise malformed("The id of a message is a whole number, 1 to 2147483647.")
    return number


def _known(request: web.Request, *names: str) -> None:
    if unknown := sorted(set(request.query) - {*names}):
        raise malformed(f"There is no parameter {unknown[0][:50]!r} here; accepted: {', '.join(names) or 'none'}.")


def _chat(request: web.Request) -> str | None:
    _known(request, "chat")
    values = request.query.getall("chat", [])
    if len(values) > 1:
        raise malformed("Name one chat.")
    return _parsed(values[0]) if values else None


def _parsed(chat: str) -> str:
    try:
        return _CHAT.validate_python(chat)
    except ValidationError as error:
        raise malformed(_words(error, at="chat")) from None


async def _body(request: web.Request, model: type[M]) -> M:
    if request.content_type != "application/json" or request.headers.get("Content-Encoding", "identity") != "identity":
        # A page in a browser can send any other kind to this address without asking anybody.
        told = "Send Content-Type: application/json, and no Content-Encoding."
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, told)
    _known(request)
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge:
        told = f"A body has at most {LARGEST_BODY} bytes."
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, told) from None
    except web.RequestPayloadError:
        raise malformed("The body is broken off, or not encoded as it says.") from None
    try:
        return model.model_validate(json.loads(raw.decode("utf-8"), parse_constant=_no_number))
    except UnicodeDecodeError:
        raise malformed("The body is not UTF-8.") from None
    except ValidationError as error:
        raise malformed(_words(error)) from None
    except (ValueError, RecursionError):  # the former is a JSONDecodeError, too, whose text repeats the body
        raise malformed("The body is not JSON.") from None


def _no_number(_: str) -> None:
    raise ValueError("NaN and Infinity are no JSON")


def _words(error: ValidationError, at: str = "") -> str:
    """Say what is wrong with each field, without repeating what was in it."""
    wrong = error.errors(include_input=False, include_url=False, include_context=False)
    faults = []
    for fault in wrong[:5]:
        path = ".".join(str(part)[:50] for part in fault["loc"]) or at or "the body"
        faults.append(f"{path}: {fault['msg'].removeprefix('Value error, ')}")
    return "; ".join(faults) + "."


# ------------------------------------------------------------------------------------------------ writing answers


def _told(model: BaseModel, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return as_json(model.model_dump(mode="json", exclude_none=not isinstance(model, models.Status)), status)


def _answer(problem: Problem) -> web.Response:
    answer = as_json(problem.body(), problem.status)
    answer.content_type = problems.MEDIA_TYPE
    if problem.retry_after is not None:
        answer.headers["Retry-After"] = str(problem.retry_after)
    if problem.status is HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def improper(status: int) -> web.Response:
    """Answer what is no proper HTTP request."""
    return _answer(Problem(HTTPStatus(status), "This is no proper HTTP request.", title=HTTPStatus(status).phrase))


def _problems(log: Log) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Problem as problem:
            return _answer(problem)
        except web.HTTPMethodNotAllowed as error:
            allowed = ", ".join(sorted(error.allowed_methods))
            answer = _answer(Problem(HTTPStatus.METHOD_NOT_ALLOWED, f"Accepted here: {allowed}."))
            answer.headers["Allow"] = allowed
            return answer
        except web.HTTPNotFound:
            told = "There is nothing at this path; /openapi.json lists what there is."
            return _answer(Problem(HTTPStatus.NOT_FOUND, told, title="There is nothing here"))
        except web.HTTPException as error:
            return _answer(
                Problem(HTTPStatus(error.status), "This is no request that is understood here.", title=error.reason)
            )
        except Exception:
            # Never a traceback to the caller.
            log.exception(
                "api_fault", method=request.method, path=getattr(request.match_info.route.resource, "canonical", "")
            )
            told = "Report the traceback in the log as a defect."
            return _answer(Problem(HTTPStatus.INTERNAL_SERVER_ERROR, told))

    return middleware


def _guarded(token: Callable[[], SecretStr | None], *, open_without: bool, any_name: bool) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        ours = token()
        check_token(request.headers.getall("Authorization", []), ours, open_without=open_without)
        if ours is None and not any_name:
            check_host(request.headers.get("Host"))
        return await handler(request)

    return middleware


async def _stream(request: web.Request, updates: Updates, reader: Reader) -> web.StreamResponse:
    """Write events for as long as there are any and somebody reads. Source: the HTML standard, section 9.2."""
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    with suppress(ConnectionError):  # nobody reads any more
        await answer.prepare(request)
        await answer.write(b": welcome\n\n")
        while not updates.over():
            event = await reader.next(KEEP_ALIVE_SECONDS)
            if updates.over():
                break
            told = f"id: {event.id}\nevent: {event.kind}\ndata: {event.data}" if event else ": still here"
            await answer.write(f"{told}\n\n".encode())
        await answer.write_eof()
    return answer
