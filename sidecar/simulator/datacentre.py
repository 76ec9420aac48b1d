"""The data centre: sessions, listener, connections, counters and levers in one place.

Rules of this file: it owns, and delegates. Its life is an `async with` block, used once; when the block ends,
every socket is closed, and what went wrong inside a handler meanwhile is raised.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sidecar.simulator import frames
from sidecar.simulator.chats import Chats
from sidecar.simulator.connection import Connection
from sidecar.simulator.flood import Flood
from sidecar.simulator.levers import Levers
from sidecar.simulator.listener import Listener
from sidecar.simulator.methods import METHODS
from sidecar.simulator.naming import METHOD_NAMES
from sidecar.simulator.plan import Failure, Mishap, Plan, RawAnswer
from sidecar.simulator.session import Account, Session

if TYPE_CHECKING:
    import socket

    from sidecar.simulator.methods.table import Method


class DataCentre:
    """One Telegram data centre on a local address."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        dc_id: int = 2,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare; nothing listens yet.

        Args:
            host: literal IPv4 or IPv6 address to listen on; it goes into session strings.
            port: TCP port, 0 to have one chosen.
            dc_id: number of this data centre.
            clock: wall clock, seconds since 1970. Telethon judges answers by `time.time`.
            rng: source of keys, salts and padding. Seed it to repeat a run. It protects nothing.
        """
        self.host = host
        self.port = port
        self.dc_id = dc_id
        self.rng = random.Random() if rng is None else rng  # noqa: S311 - keys of a simulator guard nothing
        self.tmp_sessions: int | None = None
        """What help.getConfig says about sessions per key; Telegram leaves it out for one."""
        self.levers = Levers()
        self.plan = Plan()
        self.methods: Mapping[type, Method] = METHODS
        """What answers each class of request. `login.LogIn` adds to it."""
        self.unencrypted: Callable[[bytes], bytes | None] | None = None
        """Answers a packet that no key encrypts, with None for -404. Set by `login.LogIn`; else all get -404."""
        self.sessions: dict[int, Session] = {}
        """The keys that are known, by identifier."""
        self.chats = Chats(self)
        """The people and places that exist, and everything that was written there."""
        self.floods: dict[str, Flood] = {}
        """Methods that are held back, by `flood`."""
        self.accepted = 0
        """TCP connections accepted so far."""
        self.requests: Counter[str] = Counter()
        """Calls received, by method as the schema names it ("users.getUsers"), wrappers removed."""
        self.violations: list[str] = []
        """What clients did against the rules of MTProto, in words."""
        self.errors: list[Exception] = []
        """What went wrong in the simulator itself. Raised at the end of the block."""
        self._clock = clock
        self._user_ids = count(1_000_001)
        self._connections: dict[Connection, None] = {}  # in order of arrival
        self._listener: Listener | None = None
        self._reserved: socket.socket | None = None
        self._entered = False

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a DataCentre is used once")
        self._entered = True
        self.levers.watch(self._obey_levers)
        await self.start_listening()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop_listening()
        self._release()
        leaving = list(self._connections)
        for connection in leaving:
            connection.discard()
        await asyncio.gather(*(connection.gone for connection in leaving))
        if error is None:
            if self.errors:
                raise ExceptionGroup("faults inside the simulator", self.errors)
            return
        for fault in self.errors:  # the block's own exception matters more, and may be a consequence
            error.add_note(f"a fault inside the simulator, too: {fault!r}")

    # --------------------------------------------------------------------------------- sessions

    def create_session(
        self,
        *,
        user_id: int | None = None,
        first_name: str = "Simulated",
        last_name: str | None = "User",
        username: str | None = "simulated_user",
        phone: str | None = "15550100",
        is_bot: bool = False,
    ) -> Session:
        """Log an account in, with a random key. A bot has neither phone nor last name, whatever is given."""
        account = Account(
            user_id=next(self._user_ids) if user_id is None else user_id,
            first_name=first_name,
            last_name=None if is_bot else last_name,
            username=username,
            phone=None if is_bot else phone,
            is_bot=is_bot,
        )
        session = Session(self, account, self.rng)
        self.sessions[session.key_id] = session
        return session

    # ----------------------------------------------------------------------------------- faults

    def fail(self, method: str, *, code: int, message: str, times: int | None = 1) -> Failure:
        """Let the next calls of a method fail with an rpc_error; all of them if `times` is None.

        Raises:
            ValueError: Telegram has no such method.
        """
        failure = Failure(method=method, code=code, message=message, times=times)
        self.plan.add(failure)
        return failure

    def answer_raw(self, method: str, body: bytes, times: int | None = 1) -> RawAnswer:
        """Answer the next calls of a method with these bytes inside rpc_result.

        Raises:
            ValueError: Telegram has no such method.
        """
        answer = RawAnswer(method=method, body=body, times=times)
        self.plan.add(answer)
        return answer

    def lose_answers(self, method: str, times: int | None = 1) -> Mishap:
        """Execute the next calls of a method without an answer; the connection stays.

        Raises:
            ValueError: Telegram has no such method.
        """
        return self._mishap(Mishap(method=method, times=times, lost=True))

    def drop(self, method: str, times: int | None = 1) -> Mishap:
        """Execute the next calls of a method, and send RST on their connection instead of an answer.

        Raises:
            ValueError: Telegram has no such method.
        """
        return self._mishap(Mishap(method=method, times=times, reset=True))

    def slow(self, method: str, seconds: float, times: int | None = 1) -> Mishap:
        """Execute the next calls of a method, and answer each only after so many seconds of loop time.

        Until then a message that is sent so counts as in flight: a repeat of its random_id is RANDOM_ID_DUPLICATE.

        Raises:
            ValueError: Telegram has no such method.
        """
        return self._mishap(Mishap(method=method, times=times, seconds=seconds))

    def flood(self, method: str, seconds: float) -> None:
        """Answer a method by FLOOD_WAIT_n, with what is left of so many seconds of loop time, until they are over.

        Raises:
            ValueError: Telegram has no such method.
        """
        if method not in METHOD_NAMES:
            raise ValueError(f"{method!r} is not a method of Telegram; names are like 'messages.sendMessage'")
        self.floods[method] = Flood(asyncio.get_running_loop().time() + seconds)

    def clear_failures(self, method: str | None = None) -> None:
        """Forget what `fail`, `answer_raw`, `lose_answers`, `drop` and `slow` planned, for one method or for all."""
        self.plan.clear(method)

    def force_bad_salt(self) -> None:
        """Make every salt in use invalid: the next message of each client gets bad_server_salt."""
        for session in self.sessions.values():
            session.change_salt()

    def close_all(self) -> None:
        """Send FIN on every live connection."""
        for connection in self._open():
            connection.close()

    def reset_all(self) -> None:
        """Send RST on every live connection."""
        for connection in self._open():
            connection.reset()

    def silence_all(self) -> None:
        """Make every live connection a black hole for the rest of its life; new ones are answered.

        So it looks when a firewall or a NAT forgets a connection.
        """
        for connection in self._open():
            connection.fall_silent()

    def send_all(self, data: bytes) -> None:
        """Send bytes, framed by nothing, on every live connection."""
        for connection in self._open():
            connection.send_raw(data)

    def send_transport_error(self, code: int, *, bare: bool = False, repeat: int = 1) -> None:
        """Send a transport error (404, 429) on every live connection, and leave it open.

        Args:
            code: the error, positive.
            bare: the four bytes alone instead of in a frame.
            repeat: how many times. Telethon waits for twelve bytes: three bare errors.
        """
        for connection in self._open():
            for _ in range(repeat):
                if bare:
                    connection.send_raw(frames.transport_error(code))
                else:
                    connection.send_packet(frames.transport_error(code))

    def send_truncated(self) -> None:
        """Send half a frame and then FIN on every live connection."""
        for connection in self._open():
            connection.send_truncated()

    # --------------------------------------------------------------------------------- listener

    async def start_listening(self) -> None:
        """Accept connections, on the same port as before. Nothing happens if it is listening.

        Raises:
            OSError: the address is in use by someone else.
        """
        if self._listener is None:
            self._release()
            self._listener = Listener(self.host, self.port, lambda: Connection(self))
            self.port = self._listener.port

    async def stop_listening(self) -> None:
        """Refuse connections from now on. Live ones stay. Nothing happens if it is not listening."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._reserved = await listener.close()

    def _release(self) -> None:
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    # ---------------------------------------------------------------- what the parts come back to

    @property
    def live(self) -> int:
        """TCP connections that are open on both sides now."""
        return len(self._open())

    def now(self) -> float:
        """The server's wall clock, seconds since 1970."""
        return self._clock() + self.levers.clock_skew

    def violate(self, rule: str) -> None:
        """Note that a client broke a rule."""
        self.violations.append(rule)

    def admit(self, connection: Connection) -> None:
        """Count a connection that was accepted."""
        self.accepted += 1
        self._connections[connection] = None

    def dismiss(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._connections.pop(connection, None)

    def _mishap(self, mishap: Mishap) -> Mishap:
        if "." not in mishap.method:
            raise ValueError(f"{mishap.method!r} is no method of the API; the levers are for service messages")
        self.plan.add(mishap)
        return mishap

    def _open(self) -> list[Connection]:
        return [connection for connection in self._connections if connection.alive]

    def _obey_levers(self) -> None:
        for connection in self._connections:
            connection.obey_levers()
