"""The "full" transport: how packets are cut out of a TCP stream, and put into one.

Source: https://core.telegram.org/mtproto/mtproto-transports#full

    length:int32  sequence:int32  payload  crc32:uint32        (little endian; the length covers all four)

Rules of this file: bytes in, bytes out, no I/O. Each side counts its frames from 0. Nothing can be salvaged
from a stream with a bad frame, so every fault is a `FrameError` and the connection is closed without an
answer.
"""

import struct
from collections.abc import Iterator
from zlib import crc32

MAX_FRAME = 1 << 20
"""Longest frame in bytes. Telegram closes the connection on anything above about one MiB."""

_HEADER = struct.Struct("<ii")
_CRC = struct.Struct("<I")
_ERROR = struct.Struct("<i")
_OVERHEAD = _HEADER.size + _CRC.size


class FrameError(Exception):
    """The stream is not a sequence of good frames."""


class FrameReader:
    """Cuts the incoming stream of one connection into payloads."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._expected = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add what was read; yield the payload of every frame that is complete by now.

        Raises:
            FrameError: absurd length, sequence out of order, or wrong checksum.
        """
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            length, sequence = _HEADER.unpack_from(self._buffer)
            # Judged on the header alone: waiting for the rest of a senseless frame would wait for ever.
            if not _OVERHEAD <= length <= MAX_FRAME or length % 4:
                raise FrameError(f"frame of {length} bytes")
            if sequence != self._expected:
                raise FrameError(f"frame number {sequence} where {self._expected} was due")
            if len(self._buffer) < length:
                return
            frame = bytes(self._buffer[:length])
            del self._buffer[:length]
            if _CRC.unpack_from(frame, length - _CRC.size)[0] != crc32(frame[: -_CRC.size]):
                raise FrameError(f"frame number {sequence} has a wrong checksum")
            self._expected += 1
            yield frame[_HEADER.size : -_CRC.size]


def encode(payload: bytes, sequence: int) -> bytes:
    """The frame that carries a payload; `sequence` counts the frames of this direction from 0."""
    frame = _HEADER.pack(len(payload) + _OVERHEAD, sequence) + payload
    return frame + _CRC.pack(crc32(frame))


def transport_error(code: int) -> bytes:
    """The payload that reports a fault below MTProto: minus the code, in four bytes.

    404: the key is unknown. 429: too many connections.
    Source: https://core.telegram.org/mtproto/mtproto-transports#transport-errors
    """
    return _ERROR.pack(-code)
