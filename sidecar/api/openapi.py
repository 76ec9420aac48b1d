"""The description of the api listener as OpenAPI 3.1, made of the models that validate.

Source: https://spec.openapis.org/oas/v3.1.1
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic.json_schema import models_json_schema

from sidecar.api import asked, models
from sidecar.api.problems import MEDIA_TYPE, TITLES

_REF = "#/components/schemas/{model}"

_CHAT = {
    "name": "chat",
    "in": "query",
    "description": "An id, @name, a t.me link, or me. CHANNEL_URL, unless given.",
    "schema": {"type": "string", "pattern": models.CHAT_PATTERN},
}
_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The id of the message.",
    "schema": {"type": "integer", "minimum": 1, "maximum": models.LARGEST_ID},
}
_TIMEOUT = {
    "name": "Request-Timeout",
    "in": "header",
    "description": f"Seconds that the caller waits: above 0, up to {asked.LONGEST_SECONDS:g}. "
    f"{asked.DEFAULT_SECONDS:g}, unless given.",
    "schema": {"type": "string", "pattern": asked.TIMEOUT_PATTERN},
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A name for this message, chosen by the caller. Under one name a message is sent but once: a repeat "
    "is answered as the first call was.",
    "schema": {"type": "string", "pattern": asked.KEY_PATTERN},
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}

_EVERYWHERE = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.MISDIRECTED_REQUEST,
    HTTPStatus.INTERNAL_SERVER_ERROR,
)
_ASKING = (
    *_EVERYWHERE,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
_WRITING = (*_ASKING, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
_WITH_RETRY = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


def describe(version: str) -> dict[str, Any]:
    """Return the description.

    Args:
        version: ours.
    """
    _, schemas = models_json_schema(
        [
            (models.NewMessage, "validation"),
            (models.ChangedMessage, "validation"),
            *[
                (model, "serialization")
                for model in (
                    models.Sent,
                    models.Message,
                    models.Status,
                    models.ProblemDetails,
                    models.Deleted,
                    models.Gap,
                )
            ],
        ],
        ref_template=_REF,
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "telethon-sidecar",
            "version": version,
            "summary": "The Telegram session of this pod, lent to the application beside it.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": _paths(),
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Where SIDECAR_API_TOKEN is set."}
            },
        },
    }


def _paths() -> dict[str, Any]:
    return {
        "/telegram/session/status": {
            "get": {
                "operationId": "status",
                "summary": "Whose session it is, from memory: Telegram is not asked",
                "responses": _answers("200", "Connected.", "Status", *_EVERYWHERE, HTTPStatus.SERVICE_UNAVAILABLE),
            }
        },
        "/telegram/messages": {
            "post": {
                "operationId": "send",
                "summary": "Send a message, once",
                "parameters": [_KEY, _TIMEOUT],
                "requestBody": _body("NewMessage"),
                "responses": _answers("201", "Sent.", "Sent", *_WRITING, HTTPStatus.CONFLICT),
            }
        },
        "/telegram/messages/{id}": {
            "parameters": [_ID],
            "get": {
                "operationId": "get",
                "summary": "The message as it is now",
                "parameters": [_CHAT, _TIMEOUT],
                "responses": _answers("200", "The message.", "Message", *_ASKING),
            },
            "patch": {
                "operationId": "edit",
                "summary": "Put another text in the place of a message's",
                "parameters": [_TIMEOUT],
                "requestBody": _body("ChangedMessage"),
                "responses": _answers("200", "The message, as it is now.", "Message", *_WRITING),
            },
            "delete": {
                "operationId": "delete",
                "summary": "Delete a message; one that is gone already stays so",
                "parameters": [_CHAT, _TIMEOUT],
                "responses": _answers("204", "It is gone.", None, *_ASKING),
            },
        },
        "/telegram/updates": {
            "get": {
                "operationId": "updates",
                "summary": "What happens to messages, as server-sent events",
                "description": "Events `new` and `edited` carry a Message, `deleted` a Deleted, `gap` a Gap: something "
                "may have been missed. A comment comes every 15 s.",
                "parameters": [_CHATS, _LAST, _TIMEOUT],
                "responses": {
                    "200": {
                        "description": "A stream of events, until either side ends it.",
                        "content": {"text/event-stream": {"schema": {"type": "string"}}},
                    },
                    **_problems(*_ASKING),
                },
            }
        },
        "/openapi.json": {
            "get": {
                "operationId": "openapi",
                "summary": "This description",
                "responses": {
                    "200": {
                        "description": "OpenAPI 3.1.",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    },
                    **_problems(*_EVERYWHERE),
                },
            }
        },
    }


_CHATS = {
    "name": "chat",
    "in": "query",
    "description": "Chats to hear of, any number of them; * for all. CHANNEL_URL, unless given.",
    "schema": {
        "type": "array",
        "maxItems": 100,
        "items": {"type": "string", "pattern": f"{models.CHAT_PATTERN[:-2]}|\\*)$"},
    },
}
_LAST = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The id of the last event that was seen: the stream begins after it.",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{1,8}-[0-9]{1,17}$"},
}


def _body(model: str) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": {"$ref": _REF.format(model=model)}}}}


def _answers(status: str, what: str, model: str | None, *wrong: HTTPStatus) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": what}
    if model:
        answer["content"] = {"application/json": {"schema": {"$ref": _REF.format(model=model)}}}
    return {status: answer, **_problems(*wrong)}


def _problems(*statuses: HTTPStatus) -> dict[str, Any]:
    schema = {"schema": {"$ref": _REF.format(model="ProblemDetails")}}
    return {
        str(int(status)): {
            "description": TITLES[status] + ".",
            "content": {MEDIA_TYPE: schema},
            **({"headers": _RETRY_AFTER} if status in _WITH_RETRY else {}),
        }
        for status in sorted(set(statuses))
    }
