"""What happens to messages, as Telegram tells it: switched on for a connection, and put into our words.

The client is made with `receive_updates=False`: every request then goes inside invokeWithoutUpdates, and Telegram sends
nothing by itself. Telethon's own switch lifts the wrapper and asks for the state of updates once, outside of it, which
is what makes Telegram begin. It holds for that connection; the next one begins without.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from telethon import events, utils

from sidecar.link import LinkError, LinkLost, Reason
from sidecar.messages import Message, Peer
from sidecar.race import asked_to_stop
from sidecar.telegram.messages import message_of, peer_of
from sidecar.telegram.verdicts import verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from telethon import TelegramClient


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message is there that was not."""

    message: Message


@dataclass(frozen=True, slots=True)
class EditedMessage:
    """A message says something else now."""

    message: Message


@dataclass(frozen=True, slots=True)
class DeletedMessages:
    """Messages are gone. Outside channels and supergroups Telegram does not say of which chat: `chat_id` is None."""

    chat_id: int | None
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Missed:
    """More has happened than we were told."""


Update = NewMessage | EditedMessage | DeletedMessages | Missed


async def switch_on(client: TelegramClient, tell: Callable[[Update], None], met: Callable[[Peer], None]) -> None:
    """Have Telegram send updates over this connection, and hand on those about messages for as long as it lasts.

    Args:
        client: connected.
        tell: called with each update; must be quick.
        met: called with each chat that an update names.

    Raises:
        LinkError: Telegram did not begin.
    """

    def seen(event: Any) -> Peer:
        for entity in event.original_update._entities.values():  # noqa: SLF001 - there is no other way to them
            if peer := peer_of(entity):
                met(peer)
        chat = event.message.chat
        bare, kind = utils.resolve_id(event.message.chat_id)
        known = peer_of(chat) if chat else None
        return known or Peer(_KINDS[kind.__name__], bare)  # type: ignore[arg-type]

    async def new(event: Any) -> None:
        tell(NewMessage(message_of(event.message, seen(event))))

    async def edited(event: Any) -> None:
        tell(EditedMessage(message_of(event.message, seen(event))))

    async def deleted(event: Any) -> None:
        tell(DeletedMessages(event.chat_id, tuple(event.deleted_ids)))

    try:
        await client.set_receive_updates(receive_updates=True)
    except asyncio.CancelledError:
        if asked_to_stop():
            raise
        raise LinkLost(Reason.CLOSED, "Telethon dropped the connection with the question unanswered") from None
    except LinkError:
        raise
    except Exception as error:
        raise verdict(error) from error
    # Only now, for whoever tries again after a failure would be told everything twice.
    client.missed = lambda: tell(Missed())
    client.add_event_handler(new, events.NewMessage())
    client.add_event_handler(edited, events.MessageEdited())
    client.add_event_handler(deleted, events.MessageDeleted())


_KINDS = {"PeerUser": "user", "PeerChat": "group", "PeerChannel": "channel"}
