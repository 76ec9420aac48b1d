"""Messages, as the application and Telegram mean them, and every way in which a call about one can end.

Rules of this file: standard library only; nothing here knows Telethon or HTTP. Whoever asks Telegram translates what
comes back into the values and errors below, and lets nothing else out but a `LinkError`:

    CallError
    ├── Refused        Telegram, or its rules, say no; asking again will not help
    ├── HeldBack       not now: a flood wait of that call, or slow mode of that chat
    ├── ServerFault    Telegram has a fault of its own; what was asked may have been done
    └── Duplicate      this very message is being sent, or was: its `random_id` is known to Telegram
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from datetime import datetime

LONGEST_TEXT = 4096
"""Most characters of a text message, as Telegram counts: in code points, after the formatting marks and the white space
around it were taken off. Source: `message_length_max` in https://core.telegram.org/constructor/config"""

CHANNELS_FROM = 1_000_000_000_000
"""What is added to the id of a channel before the minus. Source: https://core.telegram.org/api/bots/ids"""

ParseMode = Literal["none", "markdown", "html"]


class Method(StrEnum):
    """What the application can ask for. A closed set, because each member is a value of a metric label."""

    SEND = "send"
    EDIT = "edit"
    DELETE = "delete"
    GET = "get"


class Result(StrEnum):
    """How a call ended. A closed set, because each member is a value of a metric label."""

    OK = "ok"
    REFUSED = "refused"
    FLOOD_WAIT = "flood_wait"
    FAILED = "failed"


class Call(StrEnum):
    """A call to Telegram that may be held back by itself, named as in Telegram's schema."""

    RESOLVE = "contacts.resolveUsername"
    INVITE = "messages.checkChatInvite"
    SEND = "messages.sendMessage"
    EDIT = "messages.editMessage"
    DELETE = "messages.deleteMessages"
    GET = "messages.getMessages"
    HISTORY = "messages.getHistory"


class Refusal(StrEnum):
    """Why Telegram says no."""

    UNKNOWN_CHAT = "unknown_chat"
    UNKNOWN_MESSAGE = "unknown_message"
    FORBIDDEN = "forbidden"
    EMPTY = "empty"
    TOO_LONG = "too_long"
    UNACCEPTABLE = "unacceptable"


@dataclass(frozen=True, slots=True)
class Peer:
    """A chat that can be addressed.

    Attributes:
        kind: user, group (a basic one) or channel (also a supergroup), or me (Saved Messages).
        id: the bare id, as Telegram counts it within the kind.
        access_hash: what proves that the account has met it; 0 where none is needed.
        username: its public name, where it is known.
    """

    kind: Literal["user", "group", "channel", "me"]
    id: int
    access_hash: int = 0
    username: str | None = None

    @property
    def marked_id(self) -> int:
        """The id that tells the kind, as in the Bot API and in Telethon: -n for a group, -100n for a channel."""
        match self.kind:
            case "group":
                return -self.id
            case "channel":
                return -CHANNELS_FROM - self.id
            case _:
                return self.id

    def link(self, message: int) -> str | None:
        """Return where a message of this chat can be seen; there are links into channels and supergroups alone."""
        if self.kind != "channel":
            return None
        return f"https://t.me/{self.username or f'c/{self.id}'}/{message}"


@dataclass(frozen=True, slots=True)
class Draft:
    """A text to be sent, or to be put in the place of another, as the application wrote it."""

    text: str
    parse_mode: ParseMode = "none"
    reply_to: int | None = None
    silent: bool = False
    link_preview: bool = True


@dataclass(frozen=True, slots=True)
class Letter:
    """A draft, ready to be sent.

    Attributes:
        text: without formatting marks, and without the white space around that Telegram takes off.
        formatting: what they meant; of Telethon's own types.
        draft: what it was made of.
    """

    text: str
    formatting: tuple[Any, ...]
    draft: Draft


@dataclass(frozen=True, slots=True)
class Sent:
    """What Telegram said of a message that it took."""

    id: int
    chat_id: int
    date: datetime
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it is now. `text` is without formatting marks; it is empty where there is only a picture, say."""

    id: int
    chat_id: int
    date: datetime
    text: str
    out: bool
    edit_date: datetime | None = None
    link: str | None = None


class CallError(Exception):
    """How a call ended that did not end well.

    Attributes:
        detail: one line for a person, free of what was sent.
        telegram_error: Telegram's own name for it, where it had one.
    """

    def __init__(self, detail: str, telegram_error: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.telegram_error = telegram_error


class Refused(CallError):
    """Telegram, or its rules, say no."""

    def __init__(self, why: Refusal, detail: str, telegram_error: str | None = None) -> None:
        super().__init__(detail, telegram_error)
        self.why = why


class HeldBack(CallError):
    """Not now.

    Attributes:
        seconds: how long not.
        call: what must not be asked meanwhile.
        everywhere: whether that is about every chat (a flood wait), or about one alone (slow mode).
    """

    def __init__(self, call: Call, seconds: float, *, everywhere: bool, telegram_error: str | None = None) -> None:
        about = f"{call} by this account" if everywhere else "messages to this chat (slow mode)"
        super().__init__(f"Telegram wants no {about} for another {seconds:.0f} s.", telegram_error)
        self.call = call
        self.seconds = seconds
        self.everywhere = everywhere


class ServerFault(CallError):
    """Telegram has a fault of its own; what was asked may have been done."""


class Duplicate(CallError):
    """A message with this `random_id` is being sent, or was sent before."""
