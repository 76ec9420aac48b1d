"""Messages that no key encrypts.

Source: https://core.telegram.org/mtproto/description#unencrypted-message

    auth_key_id:int64 = 0  msg_id:int64  length:int32  body
"""

import struct

_HEADER = struct.Struct("<qqi")


class PlainError(Exception):
    """The packet is no unencrypted message."""


def unpack(packet: bytes) -> bytes:
    """The body of a client's message.

    Raises:
        PlainError: it is torn, or its identifier is not one that a client makes.
    """
    if len(packet) < _HEADER.size:
        raise PlainError(f"an unencrypted message of {len(packet)} bytes")
    _, msg_id, length = _HEADER.unpack_from(packet)
    if length != len(packet) - _HEADER.size:
        raise PlainError(f"an unencrypted message that says {length} and has {len(packet) - _HEADER.size} bytes")
    if msg_id <= 0 or msg_id % 4:
        raise PlainError(f"an unencrypted message with the identifier {msg_id}")
    return packet[_HEADER.size :]


def pack(msg_id: int, body: bytes) -> bytes:
    """The packet that carries a body to the client."""
    return _HEADER.pack(0, msg_id, len(body)) + body
