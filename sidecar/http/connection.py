"""One connection to a listener: bounded in number, in time, in memory, and in what it makes us log.

Who may connect is not ours to choose, so nothing that a client does may cost the heartbeat to Telegram its times, or
the process its memory. Every number below is a bound on one client's patience or greed; together they bound the memory
of a listener to some 50 MB, whatever comes: 64 connections, each with three heads of 32 fields of 4 KiB (one that is
answered, one that waits, one that is still coming), which are about twice as large in Python as on the wire.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from sidecar.http.answers import be_discreet

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTIONS = 64
"""Open connections of a listener. The next one is let in, and the oldest is cut: a probe is always new, and an answer
takes milliseconds, so the oldest is an idle or a hostile one. A pod's own guests are a handful."""

IDLE_SECONDS = 10.0
"""How long a connection may go without a complete request: a new one, one kept alive, and one that sends its request
byte by byte. Longer would save nobody anything: probes connect anew, and a scraper that finds its connection closed
opens another."""

BODY_SECONDS = 1.0
"""How long the rest of a body, which no answer needs, is waited for before the connection is closed."""

UNTAKEN_SECONDS = 5.0
"""How long an answer may wait for a client that does not read, before the connection is cut."""

HALF_CLOSED_SECONDS = 0.25
"""How long a client that has closed its side is still answered; every answer takes milliseconds."""

LINE_BYTES = 4096
"""Longest request line and longest header field: room for a cluster's bearer token, which nobody here reads."""

HEADERS = 32
"""Most header fields of a request; a scrape through two proxies has about fifteen."""

WAITING_REQUESTS = 1
"""Requests of one connection that wait while another is answered; the next ones wait in the kernel."""


class Connection(web.RequestHandler):
    """One connection: aiohttp's own handler, that is also bounded in number, in time and in what it makes us log."""

    def __init__(
        self,
        server: web.Server,
        open_ones: dict[Connection, asyncio.Transport],
        *,
        improper: Callable[[int], web.Response],
        spare_busy: bool,
    ) -> None:
        """Prepare for a client.

        Args:
            server: aiohttp's own.
            open_ones: all connections of this listener.
            improper: answers, with this status, what is no proper request.
            spare_busy: cut none that waits for an answer to make room for another one; cut the new one rather.
        """
        self._running = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=self._running,
            access_log=None,  # type: ignore[arg-type] # aiohttp's own way to have none
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=BODY_SECONDS,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
            max_headers=HEADERS,
            auto_decompress=False,
        )
        # aiohttp keeps 32 of them, heads and all, and offers no way to say otherwise.
        self._max_msg_queue_size, self._msg_queue_resume_size = WAITING_REQUESTS, 0
        self._open_ones = open_ones
        self._improper = improper
        self._spare_busy = spare_busy
        self._untaken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the client in; if there are too many, the oldest one goes."""
        self._open_ones[self] = stream = cast("asyncio.Transport", transport)
        stream.set_write_buffer_limits(high=0)  # so that we hear of every answer that is not taken at once
        super().connection_made(transport)
        if len(self._open_ones) > CONNECTIONS:
            spared = (one for one in self._open_ones if not (self._spare_busy and one.busy))
            cut(self._open_ones.pop(next(spared)))

    @property
    def busy(self) -> bool:
        """Whether a request is being answered here."""
        return self._current_request is not None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the client."""
        self._open_ones.pop(self, None)
        self._be_patient()
        super().connection_lost(exc)

    def _be_patient(self) -> None:
        if self._untaken:
            self._untaken.cancel()

    def pause_writing(self) -> None:
        """Start to lose patience: an answer is not being taken."""
        super().pause_writing()
        if stream := self._open_ones.get(self):
            self._untaken = self._running.call_later(UNTAKEN_SECONDS, cut, stream)

    def resume_writing(self) -> None:
        """Be patient again: the answer was taken."""
        self._be_patient()
        super().resume_writing()

    def eof_received(self) -> bool:  # type: ignore[override] # aiohttp's returns None, and so closes at once
        """Answer what was asked by a client that has nothing more to say, for a moment."""
        if stream := self._open_ones.get(self):
            self._running.call_later(HALF_CLOSED_SECONDS, stream.close)
        return True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no proper request in our own words, without a line in the log; the rest is aiohttp's."""
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            answer: web.StreamResponse = self._improper(status)
            answer.force_close()
        else:
            answer = super().handle_error(request, status, exc, message)
        be_discreet(answer)
        return answer

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log what went wrong, unless it is the client's own doing: a body that makes no sense."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)


def cut(transport: asyncio.Transport) -> None:
    """End a connection at once, with a reset: after a mere close the kernel would keep for minutes what is unsent."""
    stream = transport.get_extra_info("socket")
    if stream.family != socket.AF_UNIX:  # which has no reset, and keeps nothing
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
