"""An MTProxy for the tests: obfuscated2 towards the client, the "full" transport towards the simulator.

Source: https://core.telegram.org/mtproto/mtproto-transports#transport-obfuscation

The client opens with 64 bytes. Bytes 8 to 40 are, hashed with the proxy's secret, the key in which it sends, and 40 to
56 the counter; reversed, 8 to 56 are the same for what it receives. The last eight bytes go encrypted: the transport's
mark and the number of the data centre.

It plays in the test's own loop, in fake time or real.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import struct
from typing import TYPE_CHECKING, Self

from telethon.crypto import AESModeCTR

from sidecar.simulator import frames

if TYPE_CHECKING:
    from sidecar.simulator import DataCentre

INTERMEDIATE, PADDED = b"\xee" * 4, b"\xdd" * 4
SECRET = bytes.fromhex("dd0123456789abcdef0123456789abee")
"""The secret: it begins with what some take for a mark."""


def undelayed(writer: asyncio.StreamWriter) -> None:
    """Send small packets at once: waiting for the kernel's delayed acknowledgement takes for ever in fake time."""
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class MTProxy:
    """A relay to a data centre.

    Attributes:
        openings: (the transport's mark, the number of the data centre) of every client so far.
        tampered: bytes to send to each client in place of what Telegram answers, in the transport's encryption.
    """

    def __init__(self, dc: DataCentre, *, secret: bytes = SECRET) -> None:
        self._dc = dc
        self._secret = secret
        self._server: asyncio.Server
        self._working: set[asyncio.Task[None]] = set()
        self.openings: list[tuple[bytes, int]] = []
        self.tampered: bytes | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._working.add(task)
        try:
            await self._relay(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._working.discard(task)
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        undelayed(writer)
        opening = await reader.readexactly(64)
        back = opening[55:7:-1]
        coming = AESModeCTR(hashlib.sha256(opening[8:40] + self._secret).digest(), opening[40:56])
        going = AESModeCTR(hashlib.sha256(back[:32] + self._secret).digest(), back[32:48])
        mark, dc = struct.unpack("<4sh2x", coming.encrypt(opening)[56:])
        if mark not in {INTERMEDIATE, PADDED}:  # another secret, or something else altogether
            return
        self.openings.append((mark, dc))
        below, above = await asyncio.open_connection(self._dc.host, self._dc.port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._up(reader, coming, above, padded=mark == PADDED))
                both.create_task(self._down(below, going, writer, padded=mark == PADDED))
        except* (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            above.close()

    @staticmethod
    async def _up(
        reader: asyncio.StreamReader, cipher: AESModeCTR, above: asyncio.StreamWriter, *, padded: bool
    ) -> None:
        sent = 0
        while True:
            (length,) = struct.unpack("<i", cipher.encrypt(await reader.readexactly(4)))
            packet = cipher.encrypt(await reader.readexactly(length))
            if padded:
                packet = packet[: length - (length - 24) % 16]
            above.write(frames.encode(packet, sent))
            sent += 1

    async def _down(
        self, below: asyncio.StreamReader, cipher: AESModeCTR, writer: asyncio.StreamWriter, *, padded: bool
    ) -> None:
        inside, rng = frames.FrameReader(), random.Random(1)  # noqa: S311 - it protects nothing
        while data := await below.read(65536):
            for packet in inside.feed(data):
                if self.tampered is not None:
                    writer.write(cipher.encrypt(self.tampered))
                    continue
                padding = rng.randbytes(rng.randrange(16)) if padded else b""
                writer.write(cipher.encrypt(struct.pack("<i", len(packet + padding)) + packet + padding))
        raise ConnectionResetError("Telegram has left")
