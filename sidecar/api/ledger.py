"""What was sent under which Idempotency-Key, so that a repeat is answered as the first was, and sends nothing.

A key makes the `random_id` that Telegram knows the message by; Telegram takes each but once. So this book is not what
keeps a message from being sent twice: it is what answers a repeat, and what notices that a repeat says something else.
What it loses costs an answer, and never a second message (docs/api.md has every case).

It holds digests and answers, and neither a key nor a text.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sidecar.messages import Sent

MOST = 20_000
"""Keys that are remembered; the oldest is forgotten first."""

OLDEST_SECONDS = 86_400.0
"""How long a key is remembered."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one key.

    Attributes:
        name: a digest of the account and the key.
        body: a digest of what was to be sent.
        first_try: when it was first tried, by the wall clock, in seconds since 1970.
        answer: what Telegram said; None while nobody knows whether it was sent.
    """

    name: str
    body: str
    first_try: float
    answer: Sent | None = None

    @property
    def random_id(self) -> int:
        """What Telegram knows the message by: the first 64 bits of the name."""
        return int.from_bytes(bytes.fromhex(self.name)[:8], "big", signed=True)


class Store(Protocol):
    """Keeps entries beyond the end of the process. Never raises: one that fails must not keep anybody from sending."""

    def load(self, *, since: float, most: int) -> Iterable[Entry]:
        """Return the newest entries, the oldest of them first."""
        ...

    async def save(self, entry: Entry) -> None:
        """Keep an entry in place of the one of that name; return when it is safe."""
        ...

    async def drop(self, name: str) -> None:
        """Keep an entry no longer."""
        ...


def name_of(account: int, key: str) -> str:
    """Return the name of a key of an account.

    The account and not its session is in it: a repeat after a new log-in is still the same message.
    """
    return hashlib.sha256(f"{account}\n{key}".encode()).hexdigest()


class Ledger:
    """The book, with the store that outlives the process if there is one."""

    def __init__(self, store: Store | None, *, wall: Callable[[], float]) -> None:
        self._store = store
        self._wall = wall
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._taken: OrderedDict[tuple[int, int], None] = OrderedDict()
        for entry in store.load(since=wall() - OLDEST_SECONDS, most=MOST) if store else ():
            self._put(entry)

    def find(self, name: str) -> Entry | None:
        """Return what is known of a key."""
        entry = self._entries.get(name)
        return entry if entry and entry.first_try > self._wall() - OLDEST_SECONDS else None

    async def begin(self, name: str, body: str) -> Entry:
        """Write down that a message is about to be sent."""
        entry = Entry(name, body, self.now())
        self._put(entry)
        if self._store:
            await self._store.save(entry)
        return entry

    async def conclude(self, entry: Entry, answer: Sent) -> None:
        """Write down that it was sent, and what Telegram said."""
        entry = replace(entry, answer=answer)
        self._put(entry)
        if self._store:
            await self._store.save(entry)

    async def forget(self, name: str) -> None:
        """Forget a key under which nothing was sent."""
        self._entries.pop(name, None)
        if self._store:
            await self._store.drop(name)

    def claim(self, found: Iterable[Sent], *, only: bool) -> Sent | None:
        """Take the first of some messages that nothing has led to yet, as what a lost answer would have told.

        Args:
            found: messages that say the same.
            only: take it only if there is no other one.
        """
        free = [sent for sent in found if (sent.chat_id, sent.id) not in self._taken]
        if not free or (only and len(free) > 1):
            return None
        self.take(free[0])
        return free[0]

    def take(self, sent: Sent) -> None:
        """Remember that some call has led to this message."""
        self._taken[sent.chat_id, sent.id] = None
        if len(self._taken) > MOST:
            self._taken.popitem(last=False)

    def now(self) -> float:
        """Return the time of day, in seconds since 1970."""
        return self._wall()

    def _put(self, entry: Entry) -> None:
        self._entries.pop(entry.name, None)
        self._entries[entry.name] = entry
        if entry.answer:
            self.take(entry.answer)
        if len(self._entries) > MOST:
            self._entries.popitem(last=False)
