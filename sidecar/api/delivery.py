"""Sends each message once, and knows what became of it.

What makes it once is Telegram's: a `random_id` that was used in a chat before is not sent again, but answered as the
first time. The id is made of the account and the caller's Idempotency-Key, so a repeat has the same one, whatever was
lost meanwhile: the answer, the connection, or this process. Without a key it is a new one for each call, and serves the
repeats that are made here.

A message is sent by a task of its own, which goes on when its caller hangs up or loses patience; whoever repeats the
call waits for the same task.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from dataclasses import asdict, dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from sidecar.api import ledger as ledgers
from sidecar.api import problems
from sidecar.api.carrier import FAULT_SECONDS
from sidecar.api.problems import Problem
from sidecar.link import LinkError
from sidecar.messages import Call, CallError, Duplicate, HeldBack, Letter, Refused, Sent, ServerFault
from sidecar.telegram import messages as telegram

if TYPE_CHECKING:
    from datetime import datetime

    from sidecar.api.carrier import Account, Carrier
    from sidecar.api.ledger import Entry, Ledger
    from sidecar.api.problems import Delivery
    from sidecar.messages import Peer

DUPLICATES = 3
"""So many answers in a row that an earlier try is under way, a second apart, are believed; then it is looked for."""

HISTORY_PAGES = 3
"""How much of a chat's history is searched for a message that was sent, in pages of 100."""

CLOCK_SLACK = timedelta(seconds=5)
"""By how much Telegram's clock and ours may disagree about when a message was sent."""


@dataclass(frozen=True, slots=True)
class Post:
    """A message on its way.

    Attributes:
        account: whose.
        chat: where to.
        letter: what it says.
        name: what the ledger knows it by.
        body: what tells it from another.
        until: the deadline of its first caller, by the event loop's clock.
        keep: whether it has a key under which it may be repeated.
    """

    account: Account
    chat: str
    letter: Letter
    name: str
    body: str
    until: float
    keep: bool

    @classmethod
    def of(cls, account: Account, chat: str, letter: Letter, key: str | None, until: float) -> Post:
        """Give a message its name. Fields that were left out count as their defaults."""
        name = ledgers.name_of(account.user_id, secrets.token_hex(32) if key is None else key)
        body = hashlib.sha256(json.dumps([chat, asdict(letter.draft)], sort_keys=True).encode()).hexdigest()
        return cls(account, chat, letter, name, body, until, keep=key is not None)


@dataclass(slots=True)
class _Tries:
    """What is known of a message that is being sent.

    Attributes:
        perhaps: whether a try may have reached Telegram, and its answer not us.
        dated: whether we know of the first try, and since when there may be a message.
        surely: whether Telegram said that it has the message.
        duplicates: how often it said so without telling its id.
    """

    perhaps: bool
    dated: bool
    surely: bool = False
    duplicates: int = 0

    @property
    def sent(self) -> Delivery:
        """Whether it was sent."""
        return "yes" if self.surely else "unknown" if self.perhaps else "no"


class Deliveries:
    """All messages that are under way, and the book of those that were."""

    def __init__(self, carrier: Carrier, ledger: Ledger) -> None:
        self._carrier = carrier
        self._ledger = ledger
        self._under_way: dict[str, tuple[str, asyncio.Task[Sent]]] = {}

    async def send(self, post: Post, *, patience: float) -> Sent:
        """Send a message, or tell what became of it when it was sent before.

        Args:
            post: the message.
            patience: seconds that the caller waits.

        Raises:
            Problem: it was not sent, or nobody knows; the problem says which.
        """
        while True:
            known = self._ledger.find(post.name)
            body, others = self._under_way.get(post.name, (known.body if known else post.body, None))
            if body != post.body:
                raise _used_before()
            if known and known.answer:
                return known.answer
            task = others or self._begin(post, known)
            await asyncio.wait({task}, timeout=max(0.0, post.until - _now()))  # the caller may go, and not the message
            if not task.done():
                raise problems.too_late(patience, sent="unknown")
            error = task.exception()
            if not (others and isinstance(error, Problem) and error.status is HTTPStatus.SERVICE_UNAVAILABLE):
                return task.result()
            # It was begun by a caller with less patience than this one.

    def _begin(self, post: Post, known: Entry | None) -> asyncio.Task[Sent]:
        self._carrier.admit()
        task = asyncio.create_task(self._deliver(post, known), name="telegram-send")
        self._under_way[post.name] = post.body, task
        task.add_done_callback(lambda done: self._delivered(post.name, done))
        return task

    async def close(self) -> None:
        """Give up what is under way. What was sent is in the ledger, or will be found by a repeat."""
        tasks = [task for _, task in self._under_way.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _deliver(self, post: Post, known: Entry | None) -> Sent:
        tries = _Tries(perhaps=known is not None, dated=known is not None)
        try:
            entry = known or await self._entry(post)
            sent = await self._carrier.again(post.until, lambda: self._try(post, entry, tries))
        except (CallError, Problem) as error:
            if post.keep and tries.sent == "no":
                await self._ledger.forget(post.name)
            problem = error if isinstance(error, Problem) else problems.of(error)
            problem.sent = tries.sent
            raise problem from error
        self._ledger.take(sent)
        if post.keep:
            await self._ledger.conclude(entry, sent)
        return sent

    async def _entry(self, post: Post) -> Entry:
        if post.keep:
            return await self._ledger.begin(post.name, post.body)
        return ledgers.Entry(post.name, post.body, self._ledger.now())

    async def _try(self, post: Post, entry: Entry, tries: _Tries) -> Sent:
        peer = await self._carrier.peer(post.account, post.chat, post.until)

        async def question(client: Any, peer: Peer) -> Sent:
            before, tries.perhaps = tries.perhaps, True
            try:
                sent, said = await telegram.send(client, peer, post.letter, entry.random_id)
            except (Refused, HeldBack):
                tries.perhaps = before
                raise
            except Duplicate:
                raise
            except (LinkError, ServerFault, TimeoutError, asyncio.CancelledError):
                tries.dated = True
                raise
            if not tries.dated and said is not None and _gist(said) != _gist(post.letter.text):
                tries.perhaps = False
                raise _used_before()
            return sent

        try:
            return await self._carrier.ask(post.account, Call.SEND, peer, post.until, question)
        except Duplicate:
            tries.surely = True
            tries.duplicates += 1
            if tries.duplicates >= DUPLICATES:
                # If we know of no try before this one, it was made in another life, and nobody knows when.
                since = telegram.as_utc(entry.first_try) - CLOCK_SLACK if tries.dated else None
                if sent := await self._search(post, peer, since):
                    return sent
            if _now() + FAULT_SECONDS >= post.until:
                raise
            raise ServerFault("An earlier try is under way.", "RANDOM_ID_DUPLICATE") from None

    async def _search(self, post: Post, peer: Peer, since: datetime | None) -> Sent | None:
        """Find a message that Telegram says it has, and does not tell the id of.

        It should: what repeats a finished call is answered as that was. This is for when it does not. Some messages may
        say the same: those that other calls have led to are none of it; of the others the oldest is taken, for they are
        alike in everything. If nobody knows since when to look, only one that is alone will do.
        """

        async def question(client: Any, peer: Peer) -> list[Sent]:
            return await telegram.own_messages(client, peer, post.letter, since=since, pages=HISTORY_PAGES)

        try:
            found = await self._carrier.ask(post.account, Call.HISTORY, peer, post.until, question)
        except Refused:  # no bot may
            return None
        return self._ledger.claim(found, only=since is None)

    def _delivered(self, name: str, task: asyncio.Task[Sent]) -> None:
        self._carrier.release()
        del self._under_way[name]
        if not task.cancelled():
            task.exception()  # look at it, or asyncio complains that nobody did


def _used_before() -> Problem:
    told = "This Idempotency-Key was used with another body; a new message needs a new key."
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, told, title="The key was used before", sent="no")


def _gist(text: str) -> str:
    """Return what Telegram leaves as it is, whatever it does to white space and signs."""
    return "".join(filter(str.isalnum, text))


def _now() -> float:
    return asyncio.get_running_loop().time()
