"""What MTProto calls a session, which is not what Telegram's users call one.

A client makes up a random 64-bit session_id; identifiers and sequence numbers are counted within it. Telethon
makes a new one for every connection, but the specification lets it outlive a connection, so it hangs on the
key.

Source: https://core.telegram.org/mtproto/description#session
"""

import struct
from typing import NamedTuple

from sidecar.simulator.envelope import Envelope
from sidecar.simulator.sequence import ClientSequence, ServerSequence

_MESSAGE = struct.Struct("<qii")
_CONTAINER = struct.Struct("<Ii")
CONTAINER_ID = 0x73F1F8DC
"""Constructor of msg_container."""


class Reply(NamedTuple):
    """One message to the client that has no identifier yet."""

    body: bytes
    content_related: bool
    """Whether the client has to acknowledge it; rpc_result is the usual case."""
    answer: bool = True
    """Whether a message of the client asked for it."""


class Dialogue:
    """The state of one MTProto session."""

    def __init__(self, session_id: int) -> None:
        self.session_id = session_id
        self.client = ClientSequence()
        self.server = ServerSequence()
        self.announced = False
        """Whether new_session_created has been sent."""
        self.wants_updates = False
        """Whether a call has come outside invokeWithoutUpdates: without one, Telegram sends no updates.
        Source: https://core.telegram.org/method/invokeWithoutUpdates"""

    def pack(self, replies: list[Reply], salt: int, now: float) -> Envelope:
        """Number the replies and put them into one envelope, in a container if there are several."""
        server = self.server
        numbered = [
            (
                server.next_id(now, answer=reply.answer),
                server.next_seqno(content_related=reply.content_related),
                reply.body,
            )
            for reply in replies
        ]
        if len(numbered) == 1:
            return Envelope(salt, self.session_id, *numbered[0])
        parts = [_CONTAINER.pack(CONTAINER_ID, len(numbered))]
        for msg_id, seqno, body in numbered:
            parts += (_MESSAGE.pack(msg_id, seqno, len(body)), body)
        msg_id = server.next_id(now, answer=any(reply.answer for reply in replies))
        return Envelope(salt, self.session_id, msg_id, server.next_seqno(content_related=False), b"".join(parts))
