"""What goes into the calls and what comes out, as the models that validate it; OpenAPI is made of them.

Rules of this file: unknown fields are faults, for a misspelt `silent` must not send aloud. A chat is brought into one
form here (`Chat`), so that the same chat is the same text everywhere.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from sidecar import messages
from sidecar.messages import ParseMode  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from typing import Self

LARGEST_ID = 2**31 - 1
"""Ids of messages are signed 32-bit numbers on the wire."""

LARGEST_CHAT_ID = 2**52
"""Ids of users and chats have at most 52 significant bits, so that every language can hold them in a double.

Source: https://core.telegram.org/bots/api#chat"""

CHAT_PATTERN = r"^(me|-?[1-9][0-9]{0,15}|@[A-Za-z0-9_]{1,64}|(https?://)?(t|telegram)\.me/[A-Za-z0-9_+/-]{1,128})$"
EVERY_CHAT = "*"


def _whole(value: object) -> object:
    """Take 5.0 for 5, as JSON does, which has one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _encodable(text: str) -> str:
    """Refuse half of a surrogate pair, which JSON can write and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("not Unicode text: it has half of a surrogate pair") from None
    return text


def canonical_chat(value: object) -> str:
    """Bring what names a chat into one form: "me", an id, "@name" in small letters, or an invitation "t.me/+…".

    Raises:
        ValueError: it names none.
    """
    value = _whole(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("not a chat; accepted: an id, @name, a t.me link, or me")  # noqa: TRY004 - pydantic's rule
    text = str(value).strip()
    if not re.fullmatch(CHAT_PATTERN[1:-1], text, re.ASCII):
        raise ValueError("not a chat; accepted: an id, @name, a t.me link, or me")
    if text == "me":
        return text
    if re.fullmatch(r"-?[0-9]+", text):
        if abs(int(text)) > LARGEST_CHAT_ID:
            raise ValueError("not the id of a chat; they have at most 52 bits")
        return text
    if text.startswith("@"):
        return text.lower()
    first, *rest = text.partition("me/")[2].strip("/").split("/")
    if first == "c" and rest and rest[0].isdigit():
        return canonical_chat(f"-100{rest[0]:0>10}")
    if first == "joinchat" and rest:
        return f"t.me/+{rest[0]}"
    if first.startswith("+") and len(first) > 1:
        return f"t.me/{first}"
    if re.fullmatch(r"\w+", first, re.ASCII):
        return f"@{first.lower()}"
    raise ValueError("not a link to a chat; accepted: https://t.me/name, https://t.me/+invitation")


Chat = Annotated[
    str,
    BeforeValidator(canonical_chat),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": CHAT_PATTERN},
                {"type": "integer", "minimum": -LARGEST_CHAT_ID, "maximum": LARGEST_CHAT_ID, "not": {"const": 0}},
            ],
            "description": "An id (as in the Bot API: -100… for channels and supergroups), @name, a t.me link, or me "
            "(Saved Messages). CHANNEL_URL, unless given.",
            "examples": ["@my_channel", -1001234567890, "https://t.me/my_channel"],
        }
    ),
]
"""A chat, in one form."""

MessageId = Annotated[int, Field(strict=True, ge=1, le=LARGEST_ID), BeforeValidator(_whole)]
Moment = Annotated[
    datetime,
    PlainSerializer(lambda moment: moment.astimezone(UTC).isoformat().replace("+00:00", "Z")),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Text = Annotated[str, StringConstraints(strict=True), AfterValidator(_encodable)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=False)


class NewMessage(_Asked):
    """A message to be sent."""

    chat: Chat | None = Field(default=None)
    text: Text = Field(description="At most 4096 characters, when the formatting marks are taken out.")
    parse_mode: ParseMode = Field(default="none", description="What the formatting marks in the text are.")
    reply_to: MessageId | None = Field(default=None, description="The id of the message that this one answers.")
    silent: Annotated[bool, Field(strict=True)] = Field(default=False, description="Do not ring at the receivers.")
    link_preview: Annotated[bool, Field(strict=True)] = Field(default=True, description="Show what a link leads to.")

    def draft(self) -> messages.Draft:
        """Return what is to be sent."""
        return messages.Draft(self.text, self.parse_mode, self.reply_to, self.silent, self.link_preview)


class ChangedMessage(_Asked):
    """What a message is to say instead."""

    chat: Chat | None = Field(default=None)
    text: Text = Field(description="At most 4096 characters, when the formatting marks are taken out.")
    parse_mode: ParseMode = Field(default="none", description="What the formatting marks in the text are.")
    link_preview: Annotated[bool, Field(strict=True)] = Field(default=True, description="Show what a link leads to.")

    def draft(self) -> messages.Draft:
        """Return what is to be put in its place."""
        return messages.Draft(self.text, self.parse_mode, link_preview=self.link_preview)


class Sent(_Told):
    """A message that was sent."""

    id: int
    chat_id: int = Field(description="As in the Bot API: -100… for channels and supergroups, -… for groups.")
    date: Moment
    link: str | None = Field(default=None, description="Where it can be seen; in channels and supergroups alone.")

    @classmethod
    def of(cls, sent: messages.Sent) -> Self:
        """Make it of what Telegram said."""
        return cls(id=sent.id, chat_id=sent.chat_id, date=sent.date, link=sent.link)


class Message(_Told):
    """A message as it is now."""

    id: int
    chat_id: int
    date: Moment
    text: str = Field(description="Without formatting marks; empty where there is no text.")
    out: bool = Field(description="Whether this account sent it.")
    edit_date: Moment | None = None
    link: str | None = None

    @classmethod
    def of(cls, message: messages.Message) -> Self:
        """Make it of what Telegram said."""
        return cls(
            id=message.id,
            chat_id=message.chat_id,
            date=message.date,
            text=message.text,
            out=message.out,
            edit_date=message.edit_date,
            link=message.link,
        )


class Status(_Told):
    """The account, while Telegram is connected."""

    status: Literal["connected"] = "connected"
    user_id: int
    username: str | None
    phone: str | None
    is_bot: bool
    first_name: str | None
    last_name: str | None


class ProblemDetails(_Told):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    telegram_error: str | None = Field(default=None, description="Telegram's own name for it, where it had one.")
    sent: Literal["no", "unknown", "yes"] | None = Field(
        default=None,
        description="On POST: whether the message was sent. After unknown repeat the call with its Idempotency-Key.",
    )
    state: str | None = Field(default=None, description="What the keeper is doing instead.")
    reason: str | None = Field(default=None, description="Why, from the closed set in docs/runbook.md.")
    why: str | None = Field(default=None, description="The same in a line that a person can act on.")


class Deleted(_Told):
    """What an event `deleted` says."""

    chat_id: int | None = Field(description="null outside channels and supergroups: Telegram does not say.")
    ids: list[int]


class Gap(_Told):
    """What an event `gap` says: something may have been missed."""

    reason: Literal["connection", "missed", "buffer", "restart"]
    why: str
