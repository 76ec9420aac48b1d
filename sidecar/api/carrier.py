"""Asks Telegram on behalf of a call: over whatever connection there is, through the gates, until the deadline.

What is asked again, in prose:

* A call whose connection was lost, over the next one: a message with the `random_id` that Telegram knows it by, so that
  it cannot be sent twice; what edits, deletes or gets may be done twice anyway.
* A call that is not answered while the connection is alive, and one that met a fault of Telegram's own, after a second.
* What is held back waits at its gate if that opens soon (see `gates`), and is a 429 otherwise.
* A refusal is final, be it of the message or of the session.

Nothing here touches the keeper: its connection is borrowed, and the number of calls under way is bounded.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sidecar.api import problems
from sidecar.api.addresses import Addresses
from sidecar.api.gates import Closed, Gates
from sidecar.api.problems import Problem
from sidecar.health import left
from sidecar.link import LinkError, LinkRefused
from sidecar.manager import TelegramUnavailableError
from sidecar.messages import Call, CallError, HeldBack, Refusal, Refused, ServerFault
from sidecar.state import State
from sidecar.telegram import messages as telegram

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sidecar.manager import TelegramClientManager
    from sidecar.messages import Peer

T = TypeVar("T")

MOST_UNDER_WAY = 64
"""Calls that are carried at a time, those that wait at a gate among them."""

GRACE_SECONDS = 1.0
"""How long a call that begins while there is no connection waits for one: a reconnect takes some milliseconds."""

ANSWER_SECONDS = 5.0
"""How long an answer may take while the connection is alive, before the question is asked again."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between a lost connection and the next try: a lost one is lent until the keeper has heard of its end."""

FAULT_SECONDS = 1.0
"""Seconds between a fault of Telegram's own and the next try."""

_HOPEFUL = frozenset({State.STARTING, State.CONNECTING, State.CONNECTED, State.WAITING})
"""The states in which a connection may be there in a moment."""


class Account(NamedTuple):
    """Whose connection a call uses. What was begun for one account is never done by another."""

    user_id: int
    is_bot: bool


class NoAnswer(ServerFault):
    """Telegram kept the connection, and did not answer."""


class Carrier:
    """The way to Telegram."""

    def __init__(self, manager: TelegramClientManager) -> None:
        self._manager = manager
        self._gates: dict[int, Gates] = {}
        self._addresses: dict[int, Addresses] = {}
        self._under_way = 0

    # ---------------------------------------------------------------------------------------------- before it is asked

    def account(self) -> Account:
        """Return whose session it is; it is known from the first connection on.

        Raises:
            Problem: it is not known yet.
        """
        identity = self._manager.journal.snapshot.identity
        if identity is None:
            raise self._not_connected()
        return Account(identity.user_id, identity.is_bot)

    def admit(self) -> None:
        """Let a call in, until `release`.

        Raises:
            Problem: there is no connection, nor will be one in a moment; or too many calls are under way.
        """
        snapshot = self._manager.journal.snapshot
        if snapshot.state not in _HOPEFUL or left(snapshot.retry_at, _now()) > GRACE_SECONDS:
            raise self._not_connected()
        if self._under_way >= MOST_UNDER_WAY:
            told = f"{MOST_UNDER_WAY} calls are under way already; wait for some of them."
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, told, retry_after=problems.SOON_SECONDS)
        self._under_way += 1

    def release(self) -> None:
        """Take note that a call is over."""
        self._under_way -= 1

    def met(self, peer: Peer) -> None:
        """Remember a chat that an update has named."""
        if identity := self._manager.journal.snapshot.identity:
            self._addresses_of(identity.user_id).learn(peer)

    # ------------------------------------------------------------------------------------------------------- asking it

    async def again(self, until: float, attempt: Callable[[], Awaitable[T]]) -> T:
        """Make attempts until one has an outcome, or the deadline does not allow another one.

        Args:
            until: the deadline, by the event loop's clock. An attempt that is under way then is not broken off.
            attempt: asks through `ask`.

        Raises:
            CallError: the outcome.
            Problem: there is no connection, or not in time.
        """
        pause, connected = FIRST_PAUSE, False
        while True:
            try:
                return await attempt()
            except TelegramUnavailableError:
                # There was none for the grace. Once there was one, the next is waited for.
                if not connected or _now() >= until or self._manager.journal.snapshot.state not in _HOPEFUL:
                    raise self._not_connected() from None
                await asyncio.sleep(FIRST_PAUSE)  # in the instant of a stop nobody waits, and this would spin
            except LinkRefused as error:
                raise problems.refused(error) from error
            except LinkError:
                connected = True
                if _now() + pause >= until:
                    raise self._not_connected() from None
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            except ServerFault as fault:
                connected = True
                rest = until - _now()
                if rest <= (0 if isinstance(fault, NoAnswer) else FAULT_SECONDS):
                    raise
                await asyncio.sleep(min(FAULT_SECONDS, rest))

    async def ask(
        self, account: Account, call: Call, peer: Peer, until: float, question: Callable[[Any, Peer], Awaitable[T]]
    ) -> T:
        """Ask Telegram about a chat once, when its gates are open.

        The question must be of that one call: another one has gates of its own, and would go round them.

        Raises:
            CallError: what Telegram says, or a gate that is closed for too long.
            LinkError: the connection was lost.
            TelegramUnavailableError: there is none.
        """
        try:
            return await self._through(account, call, peer.marked_id, until, lambda client: question(client, peer))
        except Refused as refused:
            if refused.why is Refusal.UNKNOWN_CHAT:
                self._addresses_of(account.user_id).forget(peer)
            raise

    async def peer(self, account: Account, chat: str, until: float) -> Peer:
        """Return how a chat is addressed, asking Telegram only for a name that is not known.

        Raises:
            CallError: there is no such chat, or Telegram cannot be asked for it now.
            LinkError: the connection was lost.
            TelegramUnavailableError: there is none.
        """
        addresses = self._addresses_of(account.user_id)
        if known := addresses.find(chat, me=account.user_id, is_bot=account.is_bot):
            return known
        call = Call.INVITE if "+" in chat else Call.RESOLVE
        peer = await self._through(account, call, None, until, lambda client: telegram.resolve(client, chat))
        addresses.learn(peer, chat)
        return peer

    async def _through(
        self, account: Account, call: Call, chat: int | None, until: float, question: Callable[[Any], Awaitable[T]]
    ) -> T:
        gates = self._gates.setdefault(account.user_id, Gates())
        while True:
            try:
                async with gates.through(call, chat, until=until):
                    return await self._borrow(account, until, question)
            except Closed:
                raise
            except HeldBack as held:
                gates.close(held, chat)  # and see whether it opens soon

    async def _borrow(self, account: Account, until: float, question: Callable[[Any], Awaitable[T]]) -> T:
        refused: CallError
        async with self._manager.client(min(GRACE_SECONDS, max(until - _now(), 0.0))) as client:
            identity = self._manager.journal.snapshot.identity
            if identity is None or identity.user_id != account.user_id:
                told = "The session was replaced by one of another account while this call was under way."
                raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, told, retry_after=problems.SOON_SECONDS)
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await question(client)
            except CallError as error:
                refused = error  # an answer, and no fault of the connection: not for the manager's log
            except TimeoutError:
                refused = NoAnswer(f"Telegram did not answer within {ANSWER_SECONDS:g} s.")
        raise refused

    def _not_connected(self) -> Problem:
        return problems.not_connected(self._manager.journal.snapshot, _now())

    def _addresses_of(self, user_id: int) -> Addresses:
        return self._addresses.setdefault(user_id, Addresses(_now))


def _now() -> float:
    return asyncio.get_running_loop().time()
