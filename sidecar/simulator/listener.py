"""The listening socket.

Rules of this file: accepting is a callback of the loop, so stopping cannot lose a socket between two awaits,
and behaves the same on every version of Python (`asyncio.Server.wait_closed` does not). Connections outlive
it.
"""

import asyncio
import socket
from collections.abc import Callable

_BACKLOG = 128
"""Connections that the kernel holds for us; more than any test opens at once."""


class Listener:
    """Accepts TCP connections and gives each to a protocol of its own."""

    def __init__(self, host: str, port: int, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Listen at once. Port 0 lets the kernel choose.

        Raises:
            OSError: the address is in use, or not ours.
        """
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket, self._accept)

    @property
    def port(self) -> int:
        """The port, chosen by the kernel or not."""
        return int(self._socket.getsockname()[1])

    async def close(self) -> socket.socket:
        """Stop listening; return when every connection accepted before is with its protocol.

        The port stays reserved until the socket that is returned is closed: whoever connects is refused, and no other
        process is given the port, whose answers would be taken for ours.
        """
        self._loop.remove_reader(self._socket)
        address = self._socket.getsockname()
        self._socket.close()
        reserved = socket.socket(self._socket.family)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections may live on
        reserved.bind(address)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # nobody else may have it
        await asyncio.gather(*self._opening)
        return reserved

    def _accept(self) -> None:
        try:
            peer, _ = self._socket.accept()
        except BlockingIOError:  # pragma: no cover - the peer left between select and accept
            return
        # asyncio does this for its own sockets only. Without it, the second of two small answers waits for the
        # kernel's delayed acknowledgement: 40 ms of real time, and for ever in fake time.
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opening: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(self._protocol, peer), name="simulator accepts"
        )
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
