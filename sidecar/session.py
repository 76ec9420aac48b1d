"""What a session string says of itself, without Telethon and without a network.

Telethon's `StringSession` is the character "1", then URL-safe base64 of: data centre id (1 byte), its address (4 or
16 bytes), its port (2 bytes, big endian) and the 256-byte auth key. The key *is* the account: nothing in this file
puts it, or the string, into an error or a repr.

Telethon itself is too lenient to be asked: it ignores characters that are not base64, takes an all-zero key for "no
key" and would then make a new one, and raises `struct.error` for most faults.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import struct
from dataclasses import dataclass

_VERSION = "1"
_LENGTHS = {353: 4, 369: 16}
"""Length of the whole string → length of the address in it."""

_FINGERPRINT_DIGITS = 8


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """The public part of a session string.

    Attributes:
        dc: the number of the data centre that holds the session.
        host: its address, IPv4 or IPv6.
        port: its TCP port.
        fingerprint: the first 8 hex digits of the SHA-256 of the auth key; it names a session without giving it away.
    """

    dc: int
    host: str
    port: int
    fingerprint: str

    @property
    def ipv6(self) -> bool:
        """Whether the data centre is dialled over IPv6."""
        return ":" in self.host


def read_session(string: str) -> SessionFacts:
    """Read the public part of a session string.

    Raises:
        ValueError: the string is not one that Telethon would use as it is; the message says what is wrong and
            never repeats any of it.
    """
    if not string.startswith(_VERSION):
        raise ValueError('does not start with "1", as a Telethon StringSession does')
    if len(string) not in _LENGTHS:
        raise ValueError(f"has {len(string)} characters; a Telethon StringSession has 353 (IPv4) or 369 (IPv6)")
    if not re.fullmatch(r"[A-Za-z0-9_-]+={0,2}", string):
        raise ValueError("contains characters that a Telethon StringSession never has (it is URL-safe base64)")
    data = base64.urlsafe_b64decode(string[1:])
    try:
        dc, address, port, key = struct.unpack(f">B{_LENGTHS[len(string)]}sH256s", data)
    except struct.error:
        raise ValueError("is padded unlike a Telethon StringSession; was it cut or joined?") from None
    if not any(key):
        raise ValueError("holds no auth key; it was saved before the log-in")
    if port == 0:
        raise ValueError("holds no port of a data centre")
    return SessionFacts(
        dc=dc,
        host=ipaddress.ip_address(address).compressed,
        port=port,
        fingerprint=hashlib.sha256(key).hexdigest()[:_FINGERPRINT_DIGITS],
    )
