"""What happened to messages, remembered for a while, and handed to whoever listens.

Every event has an id, "epoch-number". The number counts up by one; the epoch is made anew with each start of this
process. Who comes back with the id of the last event it saw gets what came after it, or is told that there is a `gap`:

* "connection": updates began anew with a new connection, and Telegram does not say what happened in between;
* "missed": Telegram told of several things at once, of which Telethon takes out the new messages alone;
* "buffer": more has happened than is remembered here, since the last event that was taken;
* "restart": the id is of another life of this process.

Nothing is asked of Telegram before the first listener comes, or the setting says so. From then on it stays, because a
listener that has lost its connection wants to find what happened meanwhile. One that reads slowly costs nothing: it
has a place in the buffer, and no queue of its own.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, assert_never

from sidecar.api import models, problems
from sidecar.api.problems import Problem
from sidecar.link import LinkBusy, LinkError, LinkRefused
from sidecar.manager import TelegramUnavailableError
from sidecar.state import State
from sidecar.telegram import updates as telegram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Never

    from telethon import TelegramClient

    from sidecar.manager import TelegramClientManager
    from sidecar.messages import Peer

REMEMBERED = 1000
"""Events that are remembered: with the longest texts some 10 MB."""

MOST_LISTENERS = 16
"""Listeners at a time; a pod has a handful, and each holds a connection of the listener's."""

ANSWER_SECONDS = 10.0
"""How long Telegram may take to begin with updates, before it is asked again."""

AGAIN_SECONDS = 1.0
"""Seconds before it is asked again, unless Telegram says how long to wait."""

FULL_SECONDS = 10.0
"""What a listener too many is told to wait."""


class Event(NamedTuple):
    """One event of the stream.

    Attributes:
        id: what to come back with.
        kind: new, edited, deleted or gap.
        data: JSON.
    """

    id: str
    kind: str
    data: str


@dataclass(frozen=True, slots=True)
class _Entry:
    number: int
    kind: str
    chat: int | None
    """Whose it is; None if it is for every listener."""
    data: str


class Updates:
    """The buffer, and what fills it."""

    def __init__(self, manager: TelegramClientManager, met: Callable[[Peer], None], *, wanted: bool) -> None:
        """Begin with nothing.

        Args:
            manager: lends the connection.
            met: told of each chat that an update names.
            wanted: whether to begin before anybody listens.
        """
        self._manager = manager
        self._met = met
        self._epoch = secrets.token_hex(4)
        self._last = 0
        self._entries: deque[_Entry] = deque(maxlen=REMEMBERED)
        self._grew = asyncio.Event()
        self._wanted = asyncio.Event()
        if wanted:
            self._wanted.set()
        self._listeners = 0
        self._ended = False

    # --------------------------------------------------------------------------------------------------- filling it

    async def run(self) -> Never:
        """Keep updates switched on, over whatever connection there is, once they are wanted."""
        await self._wanted.wait()
        client: TelegramClient | None = None
        while True:
            client = await self._next(client)
            try:
                async with self._manager.client(), asyncio.timeout(ANSWER_SECONDS):
                    await telegram.switch_on(client, self._tell, self._met)
            except LinkRefused:
                continue  # the keeper finds out with its next check; only another connection can help
            except (LinkError, TelegramUnavailableError, TimeoutError) as error:
                busy = error.wait if isinstance(error, LinkBusy) else 0.0
                await asyncio.sleep(max(AGAIN_SECONDS, busy))
                client = None
                continue
            self._append("gap", None, _gap("connection", "Updates begin now; what happened before is not known."))

    async def _next(self, last: TelegramClient | None) -> TelegramClient:
        """Return the first connected client that is another one."""
        while True:
            # Nobody lends a client after the keeper's end; who asked again at once would stop the event loop.
            await self._manager.journal.until(lambda now: now.state is State.CONNECTED)
            with suppress(TelegramUnavailableError):
                client = await self._manager.get_client()
                if client is not last:
                    return client
            await self._manager.journal.until(lambda now: now.state is not State.CONNECTED)

    def _tell(self, update: telegram.Update) -> None:
        match update:
            case telegram.NewMessage(message):
                self._append("new", message.chat_id, models.Message.of(message).model_dump_json())
            case telegram.EditedMessage(message):
                self._append("edited", message.chat_id, models.Message.of(message).model_dump_json())
            case telegram.DeletedMessages(chat, ids):
                self._append("deleted", chat, models.Deleted(chat_id=chat, ids=list(ids)).model_dump_json())
            case telegram.Missed():
                self._append("gap", None, _gap("missed", "Messages were edited or deleted, and nobody knows which."))
            case _:
                assert_never(update)

    def _append(self, kind: str, chat: int | None, data: str) -> None:
        self._last += 1
        self._entries.append(_Entry(self._last, kind, chat, data))
        self._grew.set()
        self._grew = asyncio.Event()

    # --------------------------------------------------------------------------------------------------- reading it

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take one of the listeners' places for as long as the block runs.

        Raises:
            Problem: all are taken.
        """
        if self._listeners >= MOST_LISTENERS:
            told = f"{MOST_LISTENERS} listeners are here already; close some of them."
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, told, retry_after=FULL_SECONDS)
        self._listeners += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._listeners -= 1

    def reader(self, last: str | None) -> Reader:
        """Return what reads the events after one, and all that come.

        Args:
            last: the id of the last event that was seen; without one it begins now.

        Raises:
            Problem: the id is none of ours.
        """
        if last is None:
            return Reader(self, self._last)
        epoch, seen = _parse(last)
        if epoch == self._epoch and seen <= self._last:
            return Reader(self, seen)
        told = "This program was started anew since that event."
        return Reader(self, self._last, first=Event(self._id(self._last), "gap", _gap("restart", told)))

    def end(self) -> None:
        """End all streams."""
        self._ended = True
        self._grew.set()

    def after(self, number: int, chats: frozenset[int] | None) -> tuple[int, Event | None]:
        """Return the first event after a number that is about these chats; and the number up to which was looked.

        The buffer may have moved on since that number was given out: then a gap is the first event.
        """
        oldest = self._last - len(self._entries) + 1
        if number + 1 < oldest:
            told = f"More has happened than the {REMEMBERED} events that are remembered."
            return oldest - 1, Event(self._id(oldest - 1), "gap", _gap("buffer", told))
        for entry in islice(self._entries, number + 1 - oldest, None):
            if entry.chat is None or chats is None or entry.chat in chats:
                return entry.number, Event(self._id(entry.number), entry.kind, entry.data)
        return self._last, None

    async def more(self, than: int) -> None:
        """Return when there are events after a number, or will be none."""
        while self._last <= than and not self.over():
            await self._grew.wait()

    def over(self) -> bool:
        """Tell whether there will be no more events."""
        return self._ended

    def _id(self, number: int) -> str:
        return f"{self._epoch}-{number}"


class Reader:
    """A listener's place in the buffer. One that is slow has a place further back, and no queue of its own.

    Attributes:
        chats: of which chats it wants to hear; None for all.
    """

    def __init__(self, updates: Updates, number: int, *, first: Event | None = None) -> None:
        self._updates = updates
        self._number = number
        self.chats: frozenset[int] | None = None
        self._first = first

    async def next(self, within: float) -> Event | None:
        """Return the next event; None if none came within so many seconds, or will come at all."""
        if first := self._first:
            self._first = None
            return first
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not self._updates.over():
                    self._number, event = self._updates.after(self._number, self.chats)
                    if event:
                        return event
                    await self._updates.more(self._number)
        return None


def _parse(last: str) -> tuple[str, int]:
    epoch, _, number = last.partition("-")
    if not (number.isascii() and number.isdigit() and len(number) < _DIGITS):
        raise problems.malformed("Last-Event-ID is none of ours; send the id of the last event that you saw, or none.")
    return epoch, int(number)


_DIGITS = 18


def _gap(reason: str, why: str) -> str:
    return models.Gap.model_validate({"reason": reason, "why": why}).model_dump_json()
