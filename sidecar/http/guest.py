"""One connection to a listener: bounded in number, in time, in memory, and in what it makes us log.

Who may connect is not ours to choose, so nothing that a client does may cost the heartbeat to Telegram its times, or
the process its memory. Every number below is a bound on one client's patience or greed; together they bound the memory
of a listener to some 40 MB, whatever comes (256 connections with a head of 32 fields of 4 KiB each).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import Any, cast

from aiohttp import web

from sidecar.http.answers import as_json, be_discreet

CONNECTIONS = 256
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


class Guest(web.RequestHandler):
    """One connection: aiohttp's own handler, that is also bounded in number, in time and in what it makes us log."""

    def __init__(self, house: web.Server, guests: dict[Guest, asyncio.Transport]) -> None:
        self._running = asyncio.get_running_loop()
        super().__init__(
            house,
            loop=self._running,
            access_log=None,  # type: ignore[arg-type] # aiohttp's own way to have none
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=BODY_SECONDS,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
            max_headers=HEADERS,
            auto_decompress=False,
        )
        self._guests = guests
        self._unasked = self._untaken = self._running.call_later(IDLE_SECONDS, self._leave_unasked)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the client in; if the house is full, the oldest one goes."""
        if len(self._guests) >= CONNECTIONS:
            oldest = next(iter(self._guests))
            cut(self._guests.pop(oldest))
        self._guests[self] = wire = cast("asyncio.Transport", transport)
        wire.set_write_buffer_limits(high=0)  # so that we hear of every answer that is not taken at once
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the client."""
        self._guests.pop(self, None)
        self._unasked.cancel()
        self._untaken.cancel()
        super().connection_lost(exc)

    def _leave_unasked(self) -> None:
        # aiohttp does this itself since 3.14; before, its timer began with the first answer.
        if not self._request_count:
            self.force_close()

    def pause_writing(self) -> None:
        """Start to lose patience: an answer is not being taken."""
        super().pause_writing()
        if wire := self._guests.get(self):
            self._untaken = self._running.call_later(UNTAKEN_SECONDS, cut, wire)

    def resume_writing(self) -> None:
        """Be patient again: the answer was taken."""
        self._untaken.cancel()
        super().resume_writing()

    def eof_received(self) -> bool:  # type: ignore[override] # aiohttp's returns None, and so closes at once
        """Answer what was asked by a client that has nothing more to say, for a moment."""
        if wire := self._guests.get(self):
            self._running.call_later(HALF_CLOSED_SECONDS, wire.close)
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
            answer: web.StreamResponse = as_json({"ok": False, "why": "This is no proper HTTP request."}, status)
            answer.force_close()
        else:
            answer = super().handle_error(request, status, exc, message)
        be_discreet(answer)
        return answer

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log what went wrong, unless it is the client's own doing: a body that makes no sense."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)


def cut(wire: asyncio.Transport) -> None:
    """End a connection at once, with a reset: after a mere close the kernel would keep for minutes what is unsent."""
    wire.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.abort()
