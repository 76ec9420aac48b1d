"""Message identifiers and sequence numbers of one MTProto session, in both directions.

Source: https://core.telegram.org/mtproto/description (message identifier, message sequence number) and
https://core.telegram.org/mtproto/service_messages_about_messages (the codes, in bad_msg_notification).

Rules of this file: numbers in, a `Fault` or nothing out. What the fault is answered with is not decided here.
"""

from enum import IntEnum
from itertools import islice

_REMEMBERED = 512
"""How many client messages stay known at least. Older ones are `UNVERIFIABLE`, whatever they are."""

_MAX_AGE, _MAX_LEAD = 300, 30
"""Seconds by which a client's message may be behind and ahead of the server's clock."""


class Fault(IntEnum):
    """Why a message is ignored: the error_code of bad_msg_notification."""

    TOO_LOW = 16  # most likely the client's clock is slow
    TOO_HIGH = 17
    LOW_BITS = 18  # an identifier made by a client is divisible by four
    DUPLICATE_CONTAINER = 19
    UNVERIFIABLE = 20
    SEQNO_TOO_LOW = 32
    SEQNO_TOO_HIGH = 33
    EVEN_EXPECTED = 34
    ODD_EXPECTED = 35
    BAD_SALT = 48  # travels in bad_server_salt, with the salt to use instead
    BAD_CONTAINER = 64

    @property
    def is_violation(self) -> bool:
        """False for what happens to an honest client too: its clock is off, or its salt has expired."""
        return self not in {Fault.TOO_LOW, Fault.TOO_HIGH, Fault.BAD_SALT}


class ClientSequence:
    """What a client has sent in one MTProto session."""

    def __init__(self) -> None:
        self._seqnos: dict[int, int] = {}  # by message identifier, in order of arrival
        self._forgotten = 0  # no identifier up to this one can be told from a duplicate
        self._newest = 0
        self._highest_seqno = 0

    def __contains__(self, msg_id: int) -> bool:
        return msg_id in self._seqnos

    def state_of(self, msg_id: int) -> int:
        """One byte of msgs_state_info. Source: service_messages_about_messages, message status."""
        if msg_id in self._seqnos:
            return 4  # received
        if msg_id <= self._forgotten:
            return 1  # nothing is known about it
        return 3 if msg_id > self._newest else 2  # not received: not yet, or not at all

    def check_id(self, msg_id: int, now: float | None) -> Fault | None:
        """Judge an identifier against the server's clock, or against none.

        Messages *inside* a container are not held against the clock: a client re-sends an old message in a
        new container for just that reason.
        """
        if msg_id % 4:
            return Fault.LOW_BITS
        if now is not None:
            age = now - (msg_id >> 32)
            if age > _MAX_AGE:
                return Fault.TOO_LOW
            if age < -_MAX_LEAD:
                return Fault.TOO_HIGH
        return Fault.UNVERIFIABLE if msg_id <= self._forgotten else None

    def check_seqno(self, msg_id: int, seqno: int, *, odd: bool | None) -> Fault | None:
        """Judge a sequence number. `odd`: what its kind of message demands; None when either will do."""
        if odd is not None and seqno % 2 != odd:
            return Fault.ODD_EXPECTED if odd else Fault.EVEN_EXPECTED
        if msg_id > self._newest:  # nearly always, so the history is not searched
            too_low = self._highest_seqno > seqno or (self._highest_seqno == seqno and seqno % 2)
            return Fault.SEQNO_TOO_LOW if too_low else None
        for other_id, other in self._seqnos.items():
            same = other == seqno and seqno % 2
            if other_id < msg_id and (other > seqno or same):
                return Fault.SEQNO_TOO_LOW
            if other_id > msg_id and (other < seqno or same):
                return Fault.SEQNO_TOO_HIGH
        return None

    def accept(self, msg_id: int, seqno: int) -> None:
        """Remember a message that passed."""
        self._seqnos[msg_id] = seqno
        self._newest = max(self._newest, msg_id)
        self._highest_seqno = max(self._highest_seqno, seqno)
        if len(self._seqnos) > 2 * _REMEMBERED:  # half at once: cheaper than one with every message
            for old in list(islice(self._seqnos, _REMEMBERED)):
                del self._seqnos[old]
                self._forgotten = max(self._forgotten, old)


class ServerSequence:
    """What the server sends in one MTProto session."""

    def __init__(self) -> None:
        self._last = 0
        self._content_related = 0

    def next_id(self, now: float, *, answer: bool) -> int:
        """A higher identifier than any before: 1 modulo 4 for an answer to a client's message, else 3."""
        self._last = max(int(now * 2**32) & ~3, self._last + 4)
        return self._last | (1 if answer else 3)

    def next_seqno(self, *, content_related: bool) -> int:
        """Twice the number of content-related messages so far, plus one if this is another."""
        seqno = 2 * self._content_related + content_related
        self._content_related += content_related
        return seqno
