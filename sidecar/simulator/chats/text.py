"""What Telegram makes of a text and its entities before it becomes a message.

Source: https://core.telegram.org/constructor/config: `message_length_max` is 4096, a "length in utf8 codepoints";
https://core.telegram.org/api/entities#entity-length: offsets and lengths of entities count UTF-16 code units. The two
rules differ for whatever lies outside the basic plane: 4096 emoji are a message of the greatest length.

Rules of this file: pure functions. Telegram adds entities of its own (links, mentions, hashtags); this does not.
"""

from collections.abc import Callable
from copy import copy
from typing import Any

from telethon.tl import types

from sidecar.simulator.fault import RpcFault

LENGTH_MAX = 4096
"""Code points in a message, at most."""


def units(text: str) -> int:
    """The length in UTF-16 code units."""
    return len(text) + sum(character > "\uffff" for character in text)


def judge(text: str, entities: list[Any], who: Callable[[Any], int]) -> tuple[str, list[Any]]:
    """The text without white space at its ends, and its entities moved along with it.

    Args:
        text: what is to be written.
        entities: how it is styled.
        who: tells the user id of an InputUser that is mentioned.

    Raises:
        RpcFault: MESSAGE_EMPTY, MESSAGE_TOO_LONG or ENTITY_BOUNDS_INVALID, and what `who` raises.
    """
    length = units(text)
    for entity in entities:
        if entity.offset < 0 or entity.length <= 0 or entity.offset + entity.length > length:
            raise RpcFault(400, "ENTITY_BOUNDS_INVALID")
    stripped = text.strip()
    if not stripped:
        raise RpcFault(400, "MESSAGE_EMPTY")
    if len(stripped) > LENGTH_MAX:
        raise RpcFault(400, "MESSAGE_TOO_LONG")
    first = units(text[: len(text) - len(text.lstrip())])
    kept = []
    for entity in entities:
        start = max(entity.offset - first, 0)
        end = min(entity.offset + entity.length - first, units(stripped))
        if start < end:  # else it styled nothing but white space
            kept.append(_moved(entity, start, end - start, who))
    return stripped, kept


def _moved(entity: Any, offset: int, length: int, who: Callable[[Any], int]) -> Any:
    if isinstance(entity, types.InputMessageEntityMentionName):
        return types.MessageEntityMentionName(offset, length, who(entity.user_id))
    moved = copy(entity)
    moved.offset, moved.length = offset, length
    return moved
