"""MTProto 2.0 encryption, from the server's side.

Source: https://core.telegram.org/mtproto/description (defining the AES key, message key) and
https://core.telegram.org/mtproto/security_guidelines (what a receiver has to check).

    packet:  key_id:int64  msg_key:16 bytes  AES-256-IGE( plaintext )
    plain:   salt:int64  session_id:int64  msg_id:int64  seqno:int32  length:int32  body  padding (12..1024)

Rules of this file: pure functions of key and bytes. Telegram never answers what it cannot decrypt, so every
fault is an `EnvelopeError` and closes the connection.
"""

import struct
from collections.abc import Callable
from hashlib import sha1, sha256
from typing import NamedTuple

from telethon.crypto import AES

KEY_BYTES = 256
"""Length of an authorisation key."""

_KEY_ID = struct.Struct("<q")
_INNER = struct.Struct("<qqqii")
_OUTER_BYTES = _KEY_ID.size + 16
_BLOCK = 16
_MIN_PADDING, _MAX_PADDING = 12, 1024


class EnvelopeError(Exception):
    """The packet cannot have been made by a client that holds the key and follows the rules."""


class Envelope(NamedTuple):
    """The plaintext of one packet, its padding removed."""

    salt: int
    session_id: int
    msg_id: int
    seqno: int
    body: bytes


class _Direction:
    """The slices of a key that one direction uses: x is 0 for client to server, 8 for server to client."""

    def __init__(self, key: bytes, x: int) -> None:
        self._check = key[88 + x : 120 + x]
        self._a = key[x : 36 + x]
        self._b = key[40 + x : 76 + x]

    def msg_key(self, plain: bytes) -> bytes:
        """The middle 128 bits of the hash that ties the plaintext, padding included, to the key."""
        return sha256(self._check + plain).digest()[8:24]

    def aes(self, msg_key: bytes) -> tuple[bytes, bytes]:
        """AES key and initialisation vector for one message."""
        a = sha256(msg_key + self._a).digest()
        b = sha256(self._b + msg_key).digest()
        return a[:8] + b[8:24] + a[24:], b[:8] + a[8:24] + b[24:]


class AuthKey:
    """One authorisation key: the 256 bytes that *are* the login."""

    def __init__(self, data: bytes) -> None:
        if len(data) != KEY_BYTES:
            raise ValueError(f"an authorisation key has {KEY_BYTES} bytes, not {len(data)}")
        self.data = data
        # The specification calls it the 64 lower-order bits of the SHA-1 of the key.
        self.id_bytes = sha1(data, usedforsecurity=False).digest()[-8:]
        self._incoming = _Direction(data, 0)
        self._outgoing = _Direction(data, 8)

    @property
    def id(self) -> int:
        """The key's identifier, as the unsigned number that Telethon shows."""
        return int.from_bytes(self.id_bytes, "little")

    def open(self, packet: bytes) -> Envelope:
        """Decrypt and check a packet from a client that starts with our key's identifier.

        Raises:
            EnvelopeError: not whole blocks, wrong message key, or a length that does not fit the padding.
        """
        msg_key, sealed = packet[_KEY_ID.size : _OUTER_BYTES], packet[_OUTER_BYTES:]
        if len(sealed) < _INNER.size + _BLOCK or len(sealed) % _BLOCK:
            raise EnvelopeError(f"{len(sealed)} bytes of ciphertext")
        plain = bytes(AES.decrypt_ige(sealed, *self._incoming.aes(msg_key)))
        # The check comes before any use of the plaintext, lest an answer become an oracle.
        if self._incoming.msg_key(plain) != msg_key:
            raise EnvelopeError("msg_key does not match the message")
        salt, session_id, msg_id, seqno, length = _INNER.unpack_from(plain)
        padding = len(plain) - _INNER.size - length
        if length < 0 or length % 4 or not _MIN_PADDING <= padding <= _MAX_PADDING:
            raise EnvelopeError(f"body of {length} bytes with {padding} bytes of padding")
        return Envelope(salt, session_id, msg_id, seqno, plain[_INNER.size : _INNER.size + length])

    def seal(self, envelope: Envelope, randbytes: Callable[[int], bytes]) -> bytes:
        """Encrypt a message to the client. `randbytes(n)` supplies the padding."""
        salt, session_id, msg_id, seqno, body = envelope
        plain = _INNER.pack(salt, session_id, msg_id, seqno, len(body)) + body
        plain += randbytes(_MIN_PADDING + -(len(plain) + _MIN_PADDING) % _BLOCK)
        msg_key = self._outgoing.msg_key(plain)
        return self.id_bytes + msg_key + bytes(AES.encrypt_ige(plain, *self._outgoing.aes(msg_key)))
