"""One TCP connection, from accept to close.

Rules of this file: the only place that touches a client's socket. Everything that leaves goes through
`send_raw`, where black holes are. A connection is used once; `gone` resolves when its socket is closed.
"""

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, cast

from sidecar.simulator import frames
from sidecar.simulator.dialogue import Dialogue, Reply
from sidecar.simulator.envelope import EnvelopeError
from sidecar.simulator.exchange import Exchange
from sidecar.simulator.outbox import Outbox

if TYPE_CHECKING:
    from sidecar.simulator.datacentre import DataCentre
    from sidecar.simulator.session import Session

_KEY_ID_BYTES = 8
_NO_KEY = 0
_LINGER_ZERO = struct.pack("ii", 1, 0)
_TCP_ESTABLISHED = 1


class Connection(asyncio.Protocol):
    """Answers one client until either side closes."""

    def __init__(self, dc: "DataCentre") -> None:
        self._dc = dc
        self._loop = asyncio.get_running_loop()
        self._transport = cast("asyncio.Transport", None)  # set by connection_made, before anything else
        self._frames = frames.FrameReader()
        self._outbox = Outbox(self._loop, self.send_packet)
        self._sent = 0
        self._sessions: dict[Session, Dialogue] = {}  # with the MTProto session that each used last
        self._silent = False
        self._untouched = True  # no packet has come yet
        self._late: set[asyncio.TimerHandle] = set()  # answers of calls that take their time
        self._drop_delay = 0.0
        self._drop: asyncio.TimerHandle | None = None
        self.gone: asyncio.Future[None] = self._loop.create_future()

    # ------------------------------------------------------------------ what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has been accepted."""
        self._transport = cast("asyncio.Transport", transport)
        self._dc.admit(self)
        levers = self._dc.levers
        self._silent = levers.silent_accept
        self.obey_levers()
        if levers.garbage_on_accept:
            self.send_raw(levers.garbage_on_accept)
        if levers.accept_then_close:
            self.close()

    def data_received(self, data: bytes) -> None:
        """Some bytes have come; answer the packets that are complete."""
        try:
            for packet in self._frames.feed(data):
                self._receive(packet)
                if self._transport.is_closing():
                    return
        except (frames.FrameError, EnvelopeError) as error:
            self._dc.violate(str(error))
            self.close()
        except Exception as error:  # noqa: BLE001 - kept, and raised where the data centre is left
            self._dc.errors.append(error)
            self.reset()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature is asyncio's
        """The socket is closed, by whomever."""
        self._outbox.close()
        self._cancel_drop()
        for timer in self._late:
            timer.cancel()
        for session in self._sessions:
            session.detach(self)
        self._dc.dismiss(self)
        self.gone.set_result(None)

    # --------------------------------------------------------------------- what the server does

    @property
    def alive(self) -> bool:
        """Whether both sides still hold the connection open, as far as the kernel knows.

        The kernel is asked because a FIN behind unread data is news to it alone (lever `stop_reading`, or a
        client that reconnects faster than the loop comes around). Where it cannot be asked, outside Linux, a
        connection that is not being read counts as alive.
        """
        if self._transport.is_closing():
            return False
        if not hasattr(socket, "TCP_INFO"):  # pragma: no cover - not Linux
            return True
        state = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        return state[0] == _TCP_ESTABLISHED

    @property
    def answered(self) -> bool:
        """Whether what the client asks now would be answered."""
        return self.alive and not self._swallowed and not self._dc.levers.stop_reading

    def fall_silent(self) -> None:
        """Be a black hole for the rest of this connection's life."""
        self._silent = True

    def obey_levers(self) -> None:
        """Stop or resume reading."""
        if self._dc.levers.stop_reading:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def close(self) -> None:
        """Send FIN, at once. Answers that are still delayed are dropped."""
        self._outbox.close()
        self._transport.close()

    def reset(self) -> None:
        """Send RST, at once."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._transport.abort()

    def discard(self) -> None:
        """Close for certain, even if the client does not read what waits for it."""
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self.close()

    def send_packet(self, payload: bytes) -> None:
        """Send a payload as the next frame, at once."""
        # Numbered here, and not where it was made: a transport error may overtake delayed answers, and what falls
        # into a black hole must leave no gap.
        self._sent += self.send_raw(frames.encode(payload, self._sent))

    def send_raw(self, data: bytes) -> bool:
        """Send bytes that need not be a frame, at once; False if nothing can leave."""
        if self._swallowed or self._transport.is_closing():
            return False
        self._transport.write(data)
        return True

    def listens(self, session: "Session", but: Dialogue | None = None) -> bool:
        """Whether updates of this key are wanted here, by another MTProto session than `but`."""
        dialogue = self._sessions[session]
        return dialogue.wants_updates and dialogue is not but

    def push(self, session: "Session", update: bytes) -> None:
        """Send something that the client has not asked for."""
        if self._dc.levers.lose_updates > 0:
            self._dc.levers.lose_updates -= 1
            return
        self._put(session, self._sessions[session], [Reply(update, content_related=True, answer=False)])

    def reply_later(self, session: "Session", dialogue: Dialogue, reply: Reply, delay: float) -> None:
        """Send an answer after so many seconds of loop time; others may overtake it. Closing drops it."""

        def put() -> None:
            self._late.discard(timer)
            self._put(session, dialogue, [reply])

        timer = self._loop.call_later(delay, put)
        self._late.add(timer)

    def send_truncated(self) -> None:
        """Send the first half of a frame and then FIN."""
        frame = frames.encode(bytes(64), self._sent)
        self.send_raw(frame[: len(frame) // 2])
        self.close()

    def drop_after(self, delay: float) -> None:
        """Close the connection `delay` seconds of loop time from now, unless this is called again before.

        Source: https://core.telegram.org/mtproto/service_messages#deferred-connection-closure-ping
        """
        self._cancel_drop()
        self._drop_delay = delay
        self._drop = self._loop.call_later(delay, self._drop_now)

    # -------------------------------------------------------------------------------- internals

    @property
    def _socket(self) -> socket.socket:
        return cast("socket.socket", self._transport.get_extra_info("socket"))

    @property
    def _swallowed(self) -> bool:
        return self._silent or self._dc.levers.black_hole

    def _receive(self, packet: bytes) -> None:
        untouched, self._untouched = self._untouched, False
        if untouched and self._dc.levers.transport_error is not None:
            self._refuse(self._dc.levers.transport_error)
            return
        key_id = int.from_bytes(packet[:_KEY_ID_BYTES], "little")
        if key_id == _NO_KEY and self._dc.unencrypted is not None:
            self._receive_unencrypted(self._dc.unencrypted(packet))
            return
        session = self._dc.sessions.get(key_id)
        if session is None:
            self._refuse(404)
            return
        envelope = session.key.open(packet)
        session.attach(self)
        dialogue = self._sessions[session] = session.dialogue(envelope.session_id)
        replies = Exchange(self._dc, self, session, dialogue).receive(envelope)
        if replies:
            self._put(session, dialogue, replies)

    def _receive_unencrypted(self, answer: bytes | None) -> None:
        if answer is None:
            self._refuse(404)
        else:
            self._outbox.put(answer, self._dc.levers.latency)

    def _put(self, session: "Session", dialogue: Dialogue, replies: list[Reply]) -> None:
        answer = dialogue.pack(replies, session.salt, self._dc.now())
        self._outbox.put(session.key.seal(answer, self._dc.rng.randbytes), self._dc.levers.latency)

    def _refuse(self, code: int) -> None:
        self.send_packet(frames.transport_error(code))
        if not self._swallowed:
            self.close()

    def _drop_now(self) -> None:
        if self._silent or self._dc.levers.frozen:  # the FIN could not get out; see the levers
            self.drop_after(self._drop_delay)
        else:
            self.close()

    def _cancel_drop(self) -> None:
        if self._drop is not None:
            self._drop.cancel()
