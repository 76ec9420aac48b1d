"""Telethon behind `Link`: dialled, asked, and closed.

How Telethon is held, and why (measured with 1.45):

* A client is used once. A reused one keeps a stuck ping, queued requests and flood memory.
* All of its own retrying is off: it hammers a peer that accepts and drops, and hides a dead connection for minutes.
* `connect()` succeeds with a revoked session, and `get_me()` turns every 401 into `None`; so who we are is asked with
  the raw request, which raises the true error.
* When Telethon drops a connection, awaits in flight get a `CancelledError` that nobody asked for. Here it is a loss.
* Of its private parts four are touched, each in one place: `_sender.send` (a ping must go bare, as Telethon's own
  does), `_sender._connection` (to learn why dialling failed, whether packets get through, and to cut a connection),
  `_sender._state._ignore_count` (to tell silence from answers that Telethon drops), and `_switch_dc` (Telegram's "go to
  another data centre" makes Telethon wipe the auth key; we go nowhere).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from telethon import TelegramClient, functions, types
from telethon.sessions import StringSession

from sidecar.link import CUT_SECONDS, Endpoint, Identity, LinkError, LinkLost, Reason
from sidecar.race import asked_to_stop, look_at, outcome
from sidecar.telegram.proxy import transport
from sidecar.telegram.verdicts import verdict
from sidecar.telegram.wire import transport_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import Never

    from sidecar.credentials import Credentials


SHOWN_AS = {"device_model": "telethon-sidecar", "system_version": "1.0", "app_version": "1.0"}
"""What the account's owner reads in the list of sessions: always the same, whatever the node."""


@asynccontextmanager
async def dial(credentials: Credentials, *, close_timeout: float, disconnect_delay: int) -> AsyncIterator[TelegramLink]:
    """Make a connection to Telegram with these credentials, to be opened in the block; close it when that is left.

    Args:
        credentials: the account and the application.
        close_timeout: seconds that closing may take before the socket is cut; cut, it is gone within `CUT_SECONDS`.
        disconnect_delay: seconds after the last ping at which Telegram drops a connection that went silent.
    """
    facts = credentials.facts
    connection, proxy = transport(credentials.proxy)
    client = _Client(
        _Session(credentials.session.get_secret_value()),
        credentials.api_id,
        credentials.api_hash.get_secret_value(),
        connection=connection,
        proxy=proxy,
        use_ipv6=facts.ipv6,
        # Without a timeout of its own Telethon awaits the dialling plainly. With one it uses asyncio.wait_for, which
        # before Python 3.12 can swallow the cancellation that is our deadline.
        timeout=None,
        auto_reconnect=False,
        connection_retries=0,
        retry_delay=0,
        request_retries=0,
        raise_last_call_error=True,
        flood_sleep_threshold=0,
        receive_updates=False,
        **SHOWN_AS,
    )
    try:
        yield TelegramLink(client, facts.dc, disconnect_delay, proxied=connection.proxied)
    finally:
        await _close(client, close_timeout)


class TelegramLink:
    """One live connection to Telegram."""

    def __init__(self, client: TelegramClient, dc: int, disconnect_delay: int, *, proxied: bool) -> None:
        self.client = client
        self._dc = dc
        self._disconnect_delay = disconnect_delay
        self._proxied = proxied
        self._held_until = 0.0

    async def open(self) -> Endpoint:
        """Connect, and tell where the connection leads."""
        with self._verdicts():
            await self.client.connect()
            config = await self.client(functions.help.GetConfigRequest())
        if not isinstance(config, types.Config):
            raise LinkLost(Reason.PROTOCOL, "Telegram answered help.getConfig with no configuration")
        # Telegram tells whole seconds; half a second is the expected rest.
        return Endpoint(dc=self._dc, clock_offset=config.date.timestamp() + 0.5 - time.time())

    async def ping(self) -> None:
        """Ping, and have Telegram drop this connection if no other ping follows in time.

        The answer's future is never cancelled: Telethon would complain when the answer came after all.
        """
        with self._verdicts():
            request = functions.PingDelayDisconnectRequest(
                ping_id=secrets.randbits(63), disconnect_delay=self._disconnect_delay
            )
            answer = self.client._sender.send(request)  # noqa: SLF001 - client(request) would wrap it
            self._held_until = asyncio.get_running_loop().time() + self._disconnect_delay
            await outcome(answer)

    async def check(self) -> Identity:
        """Ask Telegram who we are."""
        with self._verdicts():
            users = await self.client(functions.users.GetUsersRequest([types.InputUserSelf()]))
        match users:
            case [types.User() as me]:
                return Identity(
                    user_id=me.id,
                    is_bot=bool(me.bot),
                    username=me.username,
                    first_name=me.first_name,
                    last_name=me.last_name,
                    phone=me.phone,
                )
            case _:
                raise LinkLost(Reason.PROTOCOL, "Telegram answered get_me with no user")

    def given_up(self, reason: Reason, detail: str) -> LinkLost:
        """Give the verdict on a connection that we leave, and name what can be seen behind a silence.

        Telethon drops answers whose time is far from ours, and tells only its log. And where packets are lost, Telegram
        does not hear that we give the connection up: it holds it until the last ping's delay is over, and a second one
        beside it can cost the session. Whether and when a proxy tells Telegram cannot be seen at all.
        """
        wire = transport_of(self.client)
        if wire and wire.stuck:
            return LinkLost(Reason.PROXY_TIMEOUT, f"{detail}: {wire.stuck}")
        wait = 0.0
        if dropped := self.client._sender._state._ignore_count:  # noqa: SLF001 - see the top of this file
            detail += f"; {dropped} answers were dropped, for they are repeated or the clock of one side is wrong"
        if wire and wire.unacknowledged():
            detail += "; nothing that we send is acknowledged: packets are lost on the way"
            wait = self._held_for()
        elif self._proxied:
            wait = self._held_for()
        return LinkLost(reason, detail, wait=wait)

    def _held_for(self) -> float:
        """Return the seconds for which Telegram may hold this connection, if it has not heard of its end."""
        return max(0.0, self._held_until - asyncio.get_running_loop().time())

    def cut(self) -> None:
        """Give the connection up at once: what is still to be sent is dropped."""
        if wire := transport_of(self.client):
            wire.cut()

    async def lost(self) -> Never:
        """Wait for the connection to end, then raise why."""
        with self._verdicts():
            await outcome(self.client.disconnected)
        raise LinkLost(Reason.CLOSED, "Telethon gave the connection up")

    @contextmanager
    def _verdicts(self) -> Iterator[None]:
        """Let out nothing but verdicts, and cancellations that were asked for."""
        try:
            yield
        except asyncio.CancelledError:
            if asked_to_stop():
                raise
            raise LinkLost(Reason.CLOSED, "Telethon dropped the connection with the question unanswered") from None
        except LinkError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever Telethon lets out gets a verdict
            wire = transport_of(self.client)
            cause = (wire and wire.failure) or error
            judged = verdict(cause)
            if self._proxied and judged.reason in {Reason.CLOSED, Reason.RESET}:
                judged.detail += "; the proxy may have done that"
            if judged.reason is Reason.UNREACHABLE:  # we were told, and Telegram was not
                judged.wait = self._held_for()
            raise judged from cause


MOST_ENTITIES = 20_000
"""Users and chats that a connection remembers for whoever borrows its client; some 10 MB."""


class _Session(StringSession):  # type: ignore[misc]
    """Telethon's own session in memory, that begins anew when it holds too much: it keeps every entity it ever sees."""

    def process_entities(self, tlo: Any) -> None:
        """Remember the users and chats in an answer."""
        if len(self._entities) >= MOST_ENTITIES:
            self._entities.clear()
        super().process_entities(tlo)


_CATCHING_UP = (functions.updates.GetDifferenceRequest, functions.updates.GetChannelDifferenceRequest)
_TOO_MUCH = (types.updates.DifferenceTooLong, types.updates.ChannelDifferenceTooLong)


class _Client(TelegramClient):  # type: ignore[misc]
    """Telethon's own client, that stays with the data centre of its session, and says what updates it drops.

    Attributes:
        missed: called when Telegram told of more than new messages at once: Telethon takes those alone out of it.
    """

    missed: Callable[[], None] | None = None

    async def __call__(self, request: Any, ordered: bool = False, flood_sleep_threshold: int | None = None) -> Any:
        answer = await super().__call__(request, ordered, flood_sleep_threshold)
        if (
            self.missed
            and isinstance(request, _CATCHING_UP)
            and (isinstance(answer, _TOO_MUCH) or getattr(answer, "other_updates", None))
        ):
            self.missed()
        return answer

    async def _switch_dc(self, new_dc: int) -> Never:
        raise LinkLost(
            Reason.MIGRATED, f"Telegram sends the account to data centre {new_dc}, the session is for another"
        )


async def _close(client: TelegramClient, close_timeout: float) -> None:
    """Disconnect within so many seconds, by force if need be. Never raises, but for a cancellation."""
    wire = transport_of(client)
    closing = client.disconnect()
    for future in (closing, client.disconnected):
        future.add_done_callback(look_at)
    try:
        await asyncio.wait({closing}, timeout=close_timeout)
    finally:
        if wire:
            wire.cut()
    await asyncio.wait({closing}, timeout=CUT_SECONDS)
