"""Messages, asked of Telegram: plain functions over the lent client, whose errors become those of `sidecar.messages`.

Requests go to Telethon's sender directly (as a ping does, see `link`). Calling the client would sleep 2 s after every
fault of Telegram's, which RANDOM_ID_DUPLICATE is one of to Telethon, it would hold back in its own way after a flood
wait, and it would keep every user and chat that an answer names.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from telethon import errors, functions, types, utils
from telethon.errors import rpcerrorlist
from telethon.extensions import html, markdown

from sidecar.link import LinkBusy, LinkError, LinkLost, Reason
from sidecar.messages import (
    LONGEST_TEXT,
    Call,
    CallError,
    Draft,
    Duplicate,
    HeldBack,
    Letter,
    Message,
    Peer,
    Refusal,
    Refused,
    Sent,
    ServerFault,
)
from sidecar.race import asked_to_stop, outcome
from sidecar.telegram.verdicts import UNTIMED_FLOOD_WAIT, verdict

if TYPE_CHECKING:
    from telethon import TelegramClient

_NO_SUCH_CHAT = frozenset(
    {
        "CHANNEL_INVALID",
        "CHANNEL_PRIVATE",
        "CHAT_ID_INVALID",
        "INPUT_USER_DEACTIVATED",
        "PEER_ID_INVALID",
        "USER_ID_INVALID",
        "USERNAME_INVALID",
        "USERNAME_NOT_OCCUPIED",
        "INVITE_HASH_EMPTY",
        "INVITE_HASH_EXPIRED",
        "INVITE_HASH_INVALID",
    }
)
_NO_SUCH_MESSAGE = frozenset({"MESSAGE_ID_INVALID", "MSG_ID_INVALID", "REPLY_MESSAGE_ID_INVALID", "REPLY_TO_INVALID"})
_NO_RIGHT = frozenset(
    {
        "BOT_METHOD_INVALID",
        "CHAT_ADMIN_REQUIRED",
        "CHAT_GUEST_SEND_FORBIDDEN",
        "CHAT_RESTRICTED",
        "CHAT_SEND_PLAIN_FORBIDDEN",
        "CHAT_WRITE_FORBIDDEN",
        "MESSAGE_AUTHOR_REQUIRED",
        "MESSAGE_DELETE_FORBIDDEN",
        "MESSAGE_EDIT_TIME_EXPIRED",
        "PEER_FLOOD",
        "TOPIC_CLOSED",
        "USER_BANNED_IN_CHANNEL",
        "USER_IS_BLOCKED",
        "USER_IS_BOT",
        "USER_PRIVACY_RESTRICTED",
        "YOU_BLOCKED_USER",
    }
)
"""Telegram's names for the same no. Source: https://core.telegram.org/method/messages.sendMessage, .editMessage and
.deleteMessages, "Possible errors"; what is in no list is judged by its code."""

_NAMES = {kind: name for name, kind in reversed(rpcerrorlist.rpc_errors_dict.items())}
_PATTERNS = {kind: pattern for pattern, kind in rpcerrorlist.rpc_errors_re}


# ------------------------------------------------------------------------------------------------------------- chats


async def resolve(client: TelegramClient, name: str) -> Peer:
    """Find a chat by its @name or link (of a public chat, or of an invitation that the account has taken).

    Raises:
        CallError: it is not to be found, or not now.
        LinkError: Telegram could not be asked.
    """
    username, invited = utils.parse_username(name)
    if not username:
        raise Refused(Refusal.UNKNOWN_CHAT, f"{name} is no name or link of a chat; use @name, a t.me link or an id.")
    if invited:
        return await _invited(client, name, username)
    found = await _ask(client, functions.contacts.ResolveUsernameRequest(username), Call.RESOLVE)
    wanted = utils.get_peer_id(found.peer)
    for entity in (*found.users, *found.chats):
        if utils.get_peer_id(entity) == wanted and (peer := peer_of(entity)):
            return peer
    raise Refused(Refusal.UNKNOWN_CHAT, f"Nobody has the name {name}; check its spelling.", "USERNAME_NOT_OCCUPIED")


async def _invited(client: TelegramClient, name: str, invitation: str) -> Peer:
    found = await _ask(client, functions.messages.CheckChatInviteRequest(invitation), Call.INVITE)
    peer = peer_of(found.chat) if isinstance(found, types.ChatInviteAlready) else None
    if not peer:
        raise Refused(Refusal.UNKNOWN_CHAT, f"The account is not in the chat behind {name}; join it, and ask again.")
    return peer


def peer_of(entity: Any) -> Peer | None:
    """Return how a user, group or channel is addressed; None where Telegram told too little of it."""
    match entity:
        case types.User(access_hash=int()) if not entity.min:
            return Peer("user", entity.id, entity.access_hash, _username(entity))
        case types.Chat():
            return Peer("group", entity.id)
        case types.Channel(access_hash=int()) if not entity.min:
            return Peer("channel", entity.id, entity.access_hash, _username(entity))
        case _:
            return None


def _username(entity: Any) -> str | None:
    others = [other.username for other in entity.usernames or () if other.active]
    username: str | None = entity.username or (others[0] if others else None)
    return username


def _input(peer: Peer) -> Any:
    match peer.kind:
        case "user":
            return types.InputPeerUser(peer.id, peer.access_hash)
        case "group":
            return types.InputPeerChat(peer.id)
        case "channel":
            return types.InputPeerChannel(peer.id, peer.access_hash)
        case "me":
            return types.InputPeerSelf()


# ---------------------------------------------------------------------------------------------------------- messages


def letter(draft: Draft) -> Letter:
    """Take the formatting marks out of a draft. A long text full of marks can take seconds.

    Raises:
        Refused: the text is empty, or longer than Telegram takes.
    """
    if len(draft.text) > LONGEST_FORMATTED and draft.parse_mode != "none":
        told = f"The text has {len(draft.text)} characters with its formatting marks; {LONGEST_FORMATTED} are accepted."
        raise Refused(Refusal.TOO_LONG, told, "MESSAGE_TOO_LONG")
    match draft.parse_mode:
        case "markdown":
            text, entities = markdown.parse(draft.text)
        case "html":
            text, entities = html.parse(draft.text)
        case _:
            text, entities = draft.text.strip(), []
    if not text.strip():
        raise Refused(Refusal.EMPTY, "The text is empty, without its formatting marks.", "MESSAGE_EMPTY")
    if len(text) > LONGEST_TEXT:
        told = f"The text has {len(text)} characters; Telegram takes {LONGEST_TEXT}. Split it."
        raise Refused(Refusal.TOO_LONG, told, "MESSAGE_TOO_LONG")
    return Letter(text, tuple(entities), draft)


LONGEST_FORMATTED = 4 * LONGEST_TEXT
"""Characters with formatting marks that are read: what takes them out needs a time that grows with their square."""


async def send(client: TelegramClient, peer: Peer, letter: Letter, random_id: int) -> tuple[Sent, str | None]:
    """Send a message; with a `random_id` that was used in that chat before, get what that call got.

    Source: https://core.telegram.org/api/updates, "Preventing duplicates": the ids that were used do not expire. What
    they led to is answered whatever the text says now. So what the message says is returned, too, where Telegram tells
    it.

    Raises:
        Duplicate: the call before is still under way.
        CallError: Telegram did not take it (after a `ServerFault` it may have).
        LinkError: the connection is lost: it may have been sent.
    """
    reply_to = letter.draft.reply_to
    request = functions.messages.SendMessageRequest(
        peer=_input(peer),
        message=letter.text,
        random_id=random_id,
        entities=list(letter.formatting) or None,
        no_webpage=not letter.draft.link_preview,
        silent=letter.draft.silent or None,
        reply_to=None if reply_to is None else types.InputReplyToMessage(reply_to),
    )
    answer = await _ask(client, request, Call.SEND)
    match answer:
        case types.UpdateShortSentMessage():
            return Sent(answer.id, peer.marked_id, answer.date, peer.link(answer.id)), None
        case types.Updates() | types.UpdatesCombined():
            for update in answer.updates:
                if isinstance(update, types.UpdateMessageID) and update.random_id == random_id:
                    message = _message_in(answer.updates, update.id)
                    date = message.date if message else answer.date
                    sent = Sent(update.id, peer.marked_id, date, peer.link(update.id))
                    return sent, message.message if message else None
    raise ServerFault("Telegram took the message, and did not say under which id.")


async def edit(client: TelegramClient, peer: Peer, message: int, letter: Letter) -> Message | None:
    """Put another text in the place of a message's; return it, unless Telegram does not tell: the same text again.

    Raises:
        CallError: Telegram did not take it.
        LinkError: the connection is lost.
    """
    request = functions.messages.EditMessageRequest(
        peer=_input(peer),
        id=message,
        message=letter.text,
        entities=list(letter.formatting) or None,
        no_webpage=not letter.draft.link_preview,
    )
    try:
        answer = await _ask(client, request, Call.EDIT)
    except Refused as refused:
        if refused.telegram_error != "MESSAGE_NOT_MODIFIED":
            raise
    else:
        if found := _message_in(getattr(answer, "updates", ()), message):
            return message_of(found, peer)
    return None


async def get(client: TelegramClient, peer: Peer, message: int) -> Message:
    """Return a message as it is now.

    Raises:
        CallError: there is none of that id in that chat, or it cannot be asked for.
        LinkError: the connection is lost.
    """
    wanted = [types.InputMessageID(message)]
    request: Any = functions.messages.GetMessagesRequest(wanted)
    if peer.kind == "channel":
        request = functions.channels.GetMessagesRequest(types.InputChannel(peer.id, peer.access_hash), wanted)
    answer = await _ask(client, request, Call.GET)
    for found in answer.messages:
        # Outside channels an id is the account's own, and says nothing of the chat.
        if isinstance(found, types.Message) and found.id == message and _is_in(found, peer):
            return message_of(found, peer)
    raise Refused(Refusal.UNKNOWN_MESSAGE, f"There is no message {message} in this chat.")


async def delete(client: TelegramClient, peer: Peer, message: int) -> None:
    """Delete a message, for everybody.

    Outside channels and supergroups an id is the account's own: see first that it is one of this chat's.

    Raises:
        CallError: Telegram did not do it; it may be gone already.
        LinkError: the connection is lost.
    """
    request: Any
    if peer.kind == "channel":
        request = functions.channels.DeleteMessagesRequest(types.InputChannel(peer.id, peer.access_hash), [message])
    else:
        request = functions.messages.DeleteMessagesRequest([message], revoke=True)
    await _ask(client, request, Call.DELETE)


async def own_messages(
    client: TelegramClient, peer: Peer, letter: Letter, *, since: datetime | None, pages: int
) -> list[Sent]:
    """Return the account's own recent messages that say what a letter says, the oldest first.

    Raises:
        CallError: the chat's history cannot be asked for; no bot may.
        LinkError: the connection is lost.
    """
    found: list[Sent] = []
    before = 0
    for _page in range(pages):
        request = functions.messages.GetHistoryRequest(
            peer=_input(peer), offset_id=before, offset_date=None, add_offset=0, limit=_PAGE, max_id=0, min_id=0, hash=0
        )
        answer = await _ask(client, request, Call.HISTORY)
        messages = [one for one in answer.messages if isinstance(one, types.Message | types.MessageService)]
        found += [
            Sent(one.id, peer.marked_id, one.date, peer.link(one.id))
            for one in messages
            if isinstance(one, types.Message) and one.out and _says(one, letter)
        ]
        if len(messages) < _PAGE or (since and messages[-1].date < since):
            break
        before = messages[-1].id
    return sorted((one for one in found if since is None or one.date >= since), key=lambda one: one.id)


_PAGE = 100
"""Messages of a chat's history that are asked for at once; Telegram gives no more."""


def message_of(message: Any, peer: Peer) -> Message:
    """Return what Telethon says of a message in our words."""
    return Message(
        id=message.id,
        chat_id=peer.marked_id,
        date=message.date,
        text=message.message or "",
        out=bool(message.out),
        edit_date=None if message.edit_hide else message.edit_date,
        link=peer.link(message.id),
    )


def _message_in(updates: Any, wanted: int) -> Any:
    for update in updates:
        message = getattr(update, "message", None)
        if isinstance(message, types.Message) and message.id == wanted:
            return message
    return None


def _is_in(message: Any, peer: Peer) -> bool:
    return peer.kind == "channel" or bool(utils.get_peer_id(message.peer_id) == peer.marked_id)


def _says(message: Any, letter: Letter) -> bool:
    answers = getattr(message.reply_to, "reply_to_msg_id", None)
    return bool(message.message.strip() == letter.text.strip() and answers == letter.draft.reply_to)


# ------------------------------------------------------------------------------------------------------------ asking


async def _ask(client: TelegramClient, request: Any, call: Call) -> Any:
    """Ask Telegram, and let out nothing but the errors of `sidecar.messages`, a `LinkError`, or a real cancellation."""
    if client._no_updates:  # noqa: SLF001 - as the client itself does
        request = functions.InvokeWithoutUpdatesRequest(request)
    try:
        return await outcome(client._sender.send(request))  # noqa: SLF001 - see the top of this file
    except asyncio.CancelledError:
        if asked_to_stop():
            raise
        raise LinkLost(Reason.CLOSED, "Telethon dropped the connection with the question unanswered") from None
    except Exception as error:
        raise _judged(error, call) from error


def _judged(error: Exception, call: Call) -> CallError | LinkError:
    name = name_of(error)
    if name == "RANDOM_ID_DUPLICATE":
        return Duplicate("The message is being sent, or was sent before.", name)
    if isinstance(error, errors.FloodError):
        seconds = float(getattr(error, "seconds", UNTIMED_FLOOD_WAIT))
        slow = isinstance(error, errors.SlowModeWaitError)
        return HeldBack(call, max(seconds, 1.0), everywhere=not slow, telegram_error=name)
    judged = verdict(error)
    if judged.reason is Reason.UNEXPECTED:
        raise error
    if not isinstance(judged, LinkBusy):
        return judged
    if judged.reason is Reason.SERVER_ERROR:
        return ServerFault("Telegram has a fault of its own.", name)
    if name in _NO_SUCH_CHAT:
        told = "There is no such chat, or the account cannot see it; use its @name or link, and add the account to it."
        return Refused(Refusal.UNKNOWN_CHAT, told, name)
    if name in _NO_SUCH_MESSAGE:
        return Refused(Refusal.UNKNOWN_MESSAGE, "There is no such message in this chat.", name)
    if name in _NO_RIGHT or isinstance(error, errors.ForbiddenError):
        return Refused(Refusal.FORBIDDEN, "The account may not do that there; look at its rights in the chat.", name)
    if name == "MESSAGE_EMPTY":
        return Refused(Refusal.EMPTY, "The text is empty.", name)
    if name == "MESSAGE_TOO_LONG":
        return Refused(Refusal.TOO_LONG, f"The text is longer than {LONGEST_TEXT} characters.", name)
    if isinstance(error, errors.RPCError):
        return Refused(Refusal.UNACCEPTABLE, "Telegram does not take it as it is.", name)
    return ServerFault("Telegram answered with something that this version cannot read.")


def name_of(error: Exception) -> str | None:
    """Return Telegram's own name for an error; None if it is none of Telegram's."""
    if not isinstance(error, errors.RPCError):
        return None
    kind = type(error)
    if kind in _NAMES:
        return str(_NAMES[kind])
    if kind in _PATTERNS:
        captured = next((value for value in vars(error).values() if isinstance(value, int)), "N")
        return str(_PATTERNS[kind].replace(r"(\d+)", str(captured)))
    return str(error.message)


def as_utc(moment: float) -> datetime:
    """Return a time of day, in seconds since 1970, as Telegram writes it."""
    return datetime.fromtimestamp(moment, UTC)
