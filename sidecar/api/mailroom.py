"""All calls about messages, from what was asked to the answer or the `Problem`; each is measured.

Rules of this file: it decides nothing. How Telegram is asked is in `carrier`, how a message is sent once in `delivery`.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from sidecar.api import problems
from sidecar.api.carrier import Carrier
from sidecar.api.delivery import Deliveries, Post
from sidecar.api.models import canonical_chat
from sidecar.api.problems import Problem, malformed
from sidecar.messages import Call, CallError, Method, Refusal, Refused, Result
from sidecar.telegram import messages as telegram

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from sidecar.api.ledger import Ledger
    from sidecar.manager import TelegramClientManager
    from sidecar.messages import Draft, Letter, Message, Peer, Sent

    Observer = Callable[[Method, Result, float], None]
    Ask = Callable[[Call, Callable[[Any, Peer], Awaitable[Any]]], Awaitable[Any]]
    """Asks Telegram one question, of one call, about the chat."""

T = TypeVar("T")

LONG_TEXT = 512
"""Characters of a formatted text above which it is read in a thread: what is full of marks takes its time."""

_RESULTS = {
    HTTPStatus.TOO_MANY_REQUESTS: Result.FLOOD_WAIT,
    HTTPStatus.SERVICE_UNAVAILABLE: Result.FAILED,
    HTTPStatus.GATEWAY_TIMEOUT: Result.FAILED,
    HTTPStatus.CONFLICT: Result.FAILED,
}
"""How a call ended, by the status of its answer; it was refused otherwise."""


class Mailroom:
    """All calls about messages."""

    def __init__(
        self, manager: TelegramClientManager, ledger: Ledger, observe: Observer, *, channel: str | None
    ) -> None:
        """Begin without any call.

        Args:
            manager: lends the connection.
            ledger: knows what was sent.
            observe: told of the end of each call: what, how it ended, and after how many seconds.
            channel: the chat of a call that names none.
        """
        self._carrier = Carrier(manager)
        self._deliveries = Deliveries(self._carrier, ledger)
        self._observe = observe
        self._channel = channel
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="formatting")

    async def send(self, chat: str | None, draft: Draft, *, key: str | None, patience: float) -> Sent:
        """Send a message once, and answer a repeat as the first was answered.

        Args:
            chat: where; the default chat unless given.
            draft: what.
            key: under which it may be repeated; without one nobody can repeat it.
            patience: seconds that the caller waits.

        Raises:
            Problem: it was not sent, or nobody knows; the problem says which.
        """
        until = _now() + patience
        with self._measured(Method.SEND):
            try:
                target, letter = self._target(chat), await self._letter(draft, patience)
                post = Post.of(self._carrier.account(), target, letter, key, until)
                return await self._deliveries.send(post, patience=patience)
            except Problem as problem:
                problem.sent = problem.sent or "no"
                raise

    async def edit(self, chat: str | None, message: int, draft: Draft, *, patience: float) -> Message:
        """Put another text in the place of a message's.

        Raises:
            Problem: it was not done, or nobody knows.
        """
        until = _now() + patience
        with self._measured(Method.EDIT):
            letter = await self._letter(draft, patience)

            async def steps(_: Peer, ask: Ask) -> Message:
                edited: Message | None = await ask(
                    Call.EDIT, lambda client, peer: telegram.edit(client, peer, message, letter)
                )
                return edited or await ask(Call.GET, lambda client, peer: telegram.get(client, peer, message))

            return await self._about(chat, until, patience, steps)

    async def delete(self, chat: str | None, message: int, *, patience: float) -> None:
        """Delete a message; one that is gone already stays so.

        Raises:
            Problem: it was not done, or nobody knows.
        """
        with self._measured(Method.DELETE):

            async def steps(peer: Peer, ask: Ask) -> None:
                try:
                    if peer.kind != "channel":  # or a message of another chat would go
                        await ask(Call.GET, lambda client, peer: telegram.get(client, peer, message))
                    await ask(Call.DELETE, lambda client, peer: telegram.delete(client, peer, message))
                except Refused as refused:
                    if refused.why is not Refusal.UNKNOWN_MESSAGE:
                        raise

            await self._about(chat, _now() + patience, patience, steps)

    async def get(self, chat: str | None, message: int, *, patience: float) -> Message:
        """Return a message as it is now.

        Raises:
            Problem: there is none, or Telegram cannot be asked.
        """
        with self._measured(Method.GET):

            async def steps(_: Peer, ask: Ask) -> Message:
                found: Message = await ask(Call.GET, lambda client, peer: telegram.get(client, peer, message))
                return found

            return await self._about(chat, _now() + patience, patience, steps)

    async def whereabouts(self, chat: str | None, *, patience: float) -> int:
        """Return the id of a chat, as in the Bot API.

        Raises:
            Problem: there is no such chat, or Telegram cannot be asked.
        """
        target, until = self._target(chat), _now() + patience
        if target.lstrip("-").isdigit():
            return int(target)
        account = self._carrier.account()
        found = await self._carried(until, patience, lambda: self._carrier.peer(account, target, until))
        return found.marked_id

    def met(self, peer: Peer) -> None:
        """Remember a chat that an update has named."""
        self._carrier.met(peer)

    async def close(self) -> None:
        """Give up what is under way."""
        await self._deliveries.close()
        self._reader.shutdown(wait=False, cancel_futures=True)

    # ---------------------------------------------------------------------------------------------------- the ways in

    @contextmanager
    def _measured(self, method: Method) -> Iterator[None]:
        """Tell how a call ended, and after how long."""
        began, result = _now(), Result.FAILED
        try:
            yield
            result = Result.OK
        except Problem as problem:
            result = _RESULTS.get(problem.status, Result.REFUSED)
            raise
        finally:
            self._observe(method, result, _now() - began)

    def _target(self, chat: str | None) -> str:
        if chat is not None:
            return chat
        try:
            return canonical_chat(self._channel)
        except ValueError:
            told = "Name a chat: CHANNEL_URL is not set, or is no chat that messages can be sent to."
            raise malformed(told) from None

    async def _letter(self, draft: Draft, patience: float) -> Letter:
        try:
            if draft.parse_mode == "none" or len(draft.text) <= LONG_TEXT:
                return telegram.letter(draft)
            async with asyncio.timeout(patience):
                return await asyncio.get_running_loop().run_in_executor(self._reader, telegram.letter, draft)
        except TimeoutError:
            raise problems.too_late(patience) from None
        except Refused as refused:
            raise problems.of(refused) from refused

    async def _about(
        self, chat: str | None, until: float, patience: float, steps: Callable[[Peer, Ask], Awaitable[T]]
    ) -> T:
        """Carry through what does no harm if it is done twice."""
        target, account = self._target(chat), self._carrier.account()

        async def attempt() -> T:
            peer = await self._carrier.peer(account, target, until)
            return await steps(peer, lambda call, question: self._carrier.ask(account, call, peer, until, question))

        return await self._carried(until, patience, attempt)

    async def _carried(self, until: float, patience: float, attempt: Callable[[], Awaitable[T]]) -> T:
        self._carrier.admit()
        try:
            async with asyncio.timeout_at(until):
                return await self._carrier.again(until, attempt)
        except TimeoutError:
            raise problems.too_late(patience) from None
        except CallError as error:
            raise problems.of(error) from error
        finally:
            self._carrier.release()


def _now() -> float:
    return asyncio.get_running_loop().time()
