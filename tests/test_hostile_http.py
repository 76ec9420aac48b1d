"""The ops listener under hostile clients: it answers the next probe, and nothing they do costs memory or the heartbeat.

What needs no process of its own runs in this one, with the listener's patience shortened; the crowds run against the
daemon as a process, with the simulator counting its pings.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import resource
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from sidecar.api.ledger import Ledger
from sidecar.api.mailroom import Mailroom
from sidecar.api.updates import Updates
from sidecar.http import connection, server
from sidecar.http.api import api_app, improper
from sidecar.http.ops import ops_app
from sidecar.journal import Journal
from sidecar.log import logger
from sidecar.manager import TelegramClientManager
from sidecar.metrics import Metrics
from sidecar.race import background
from sidecar.settings import Settings
from sidecar.simulator import DataCentre
from tests.daemon import Daemon
from tests.rig import API_HASH

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
MEGABYTE = 1 << 20
PATIENCE = 10.0
"""Seconds after which a test gives up on an answer."""

LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSE = b"Connection: close\r\n\r\n"
LAST = b"GET /livez HTTP/1.1\r\nHost: x\r\n" + CLOSE
ESTABLISHED = 1
"""As the kernel numbers the states of TCP."""

PING = "ping_delay_disconnect"
PING_INTERVAL, PING_TIMEOUT = 0.25, 3.0
PROBE_TIMEOUT = 3.0
"""Seconds; as in README's manifest."""


class Caller:
    """Speaks bytes with a listener."""

    def __init__(self, address: tuple[str, int], caplog: pytest.LogCaptureFixture) -> None:
        self.address = address
        self._caplog = caplog

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection."""
        return await asyncio.open_connection(*self.address)

    async def say(self, *parts: bytes, half_close: bool = False) -> bytes:
        """Send bytes on a connection of their own, and return everything that is answered until it is closed."""
        reader, writer = await self.connect()
        answer = bytearray()
        try:
            async with asyncio.timeout(PATIENCE):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                if half_close:
                    writer.write_eof()
                while data := await reader.read(65536):
                    answer += data
        except ConnectionError:
            pass  # the listener had heard enough, and did not read the rest
        finally:
            writer.transport.abort()
        return bytes(answer)

    async def well(self) -> None:
        """Check that the listener answers, and that nothing worth a line went wrong."""
        async with asyncio.timeout(1):
            assert (await self.say(LAST)).startswith(b"HTTP/1.1 200 OK\r\n")
        told = [record for record in self._caplog.get_records("call") if record.levelno > logging.INFO]
        assert [record.getMessage() for record in told] == []


@pytest.fixture(params=["ops", "api"])
async def caller(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Caller]:
    """A caller of a listener whose patience is short; the api listener gets the paths of the other one, too."""
    for name in ("IDLE_SECONDS", "UNTAKEN_SECONDS", "BODY_SECONDS"):
        monkeypatch.setattr(connection, name, 0.3)
    registry = CollectorRegistry()
    metrics = Metrics(registry, program_version="1.2.3", clock=asyncio.get_running_loop().time)
    journal = Journal([metrics], due=asyncio.get_running_loop().time() + 60)
    bound: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    if request.param == "ops":
        app = ops_app(journal, metrics=make_aiohttp_handler(registry), environment="test", version="1.2.3")
        listening = server.listen(app, "127.0.0.1", 0, bound=bound.set_result)
    else:
        app = api_of_nobody(metrics)
        app.router.add_get("/metrics", make_aiohttp_handler(registry))
        for path in ("/", "/livez"):
            app.router.add_get(path, fine)
        listening = server.listen(app, "127.0.0.1", 0, bound=bound.set_result, improper=improper, spare_busy=True)
    app.router.add_get("/large", large)
    async with background(listening):
        yield Caller(("127.0.0.1", int((await bound).rpartition(":")[2])), caplog)


def api_of_nobody(metrics: Metrics) -> web.Application:
    """Build the api listener's application, with a keeper that has no credentials and is not running."""
    manager = TelegramClientManager(Settings())
    mailroom = Mailroom(manager, Ledger(None, wall=time.time), metrics.observe_request, channel=None)
    updates = Updates(manager, mailroom.met, wanted=False)
    return api_app(
        manager.journal,
        mailroom,
        updates,
        token=lambda: None,
        open_without=True,
        any_name=True,
        log=logger(),
        version="1.2.3",
    )


async def fine(_: web.Request) -> web.Response:
    """Answer as a probe does."""
    return web.Response(text="fine")


async def large(_: web.Request) -> web.Response:
    """Answer with more than the kernel's buffers hold."""
    return web.Response(body=bytes(16 * MEGABYTE))


def statuses(answer: bytes) -> list[int]:
    """Return the status of every answer in there."""
    return [int(status) for status in re.findall(rb"HTTP/\d\.\d (\d{3}) ", answer)]


# ----------------------------------------------------------------------------------------------------- one bad request

REQUESTS = {
    "request-line-of-1-MB": (b"GET /" + b"a" * MEGABYTE + b" HTTP/1.1\r\nHost: x\r\n\r\n", [400]),
    "header-of-1-MB": (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * MEGABYTE + b"\r\n\r\n", [400]),
    "endless-header-name": (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"a" * MEGABYTE, [400]),
    "ten-thousand-headers": (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", [400]),
    "no-http": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), [400]),
    "nothing-but-noughts": (bytes(5000), [400]),
    "unknown-method": (b"BREW /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [400]),
    "method-connect": (b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", [404]),
    "method-pri": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    "options-star": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [404]),
    "lower-case-method": (b"get /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [400]),
    "http-0.9": (b"GET /livez\r\n\r\n", [200]),
    "http-1.0": (b"GET /livez HTTP/1.0\r\n\r\n", [200]),
    "http-9.9": (b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n", [400]),
    "no-host": (b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n", [400]),
    "gzip-body-claimed": (
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n\r\nno gzip" + LAST,
        [200, 200],
    ),
    "unknown-encoding": (
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Encoding: br, \xff\r\nContent-Length: 1\r\n\r\nx" + LAST,
        [200, 200],
    ),
    "chunks-of-garbage": (
        b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\ngarbage\r\n",
        [400],
    ),
    "chunk-of-a-huge-size": (
        b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        [400],
    ),
    "endless-chunk-extension": (
        b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * MEGABYTE,
        [200],
    ),
    "unfinished-chunks": (b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", [200]),
    "unknown-transfer-encoding": (b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: rot13\r\n\r\n", [400]),
    "content-length-negative": (b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", [400]),
    "content-length-no-number": (b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n", [400]),
    "content-length-huge": (b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n", [400]),
    "content-length-twice": (
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        [400],
    ),
    "length-and-chunks": (
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        [400],
    ),
    "body-on-get": (b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody" + LAST, [200, 200]),
    "body-that-never-comes": (b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", [200]),
    "body-on-post": (b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody" + LAST, [405, 200]),
    "expects-to-continue": (
        b"POST /livez HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        [100, 405],
    ),
    "expects-the-unknown": (
        b"GET /livez HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nConnection: close\r\n\r\n",
        [417],
    ),
    "nought-in-path": (b"GET /live\x00z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [400]),
    "nought-escaped": (b"GET /live%00z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [404]),
    "nought-in-header": (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\nConnection: close\r\n\r\n", [400]),
    "absolute-form": (b"GET http://x/livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [200]),
    "absolute-form-of-nonsense": (b"GET http://[x/livez HTTP/1.1\r\nHost: x\r\n" + CLOSE, [400]),
    "absolute-form-bad-port": (b"GET http://x:99999999/livez HTTP/1.1\r\nHost: x\r\n" + CLOSE, [400]),
    "unicode-path": ("GET /livéz/☃ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode(), [400]),
    "broken-unicode-path": (b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [400]),
    "broken-escapes": (b"GET /%zz%e2%28%a1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [404]),
    "dots": (b"GET /../../livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [404]),
    "no-slash": (b"GET livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [400]),
    "folded-header": (b"GET /livez HTTP/1.1\r\nHost: x\r\n folded: y\r\nConnection: close\r\n\r\n", [400]),
    "bare-line-feeds": (b"GET /livez HTTP/1.1\nHost: x\nConnection: close\n\n", [400]),
    "host-of-nonsense": (b"GET / HTTP/1.1\r\nHost: [::1\r\nConnection: close\r\n\r\n", [200]),
    "host-twice": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n", [400]),
    "upgrade": (
        b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x85garbage",
        [200, 400],
    ),
    "upgrade-and-endless-data": (
        b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + b"a" * MEGABYTE,
        [200, 400],
    ),
    "accept-encoding-of-nonsense": (
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: \xff;q=x\r\nAccept-Encoding: gzip;q=x,,\r\n" + CLOSE,
        [200],
    ),
    "accept-of-nonsense": (
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=\r\n" + CLOSE,
        [200],
    ),
    "names-of-nonsense": (b"GET /metrics?name[]=&name[]=%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [200]),
}


@pytest.mark.parametrize(("request_bytes", "expected"), REQUESTS.values(), ids=REQUESTS)
async def test_a_bad_request_is_answered_and_forgotten(
    caller: Caller, request_bytes: bytes, expected: list[int]
) -> None:
    """Whatever a request is, the answer is no 5xx and no line in the log, the connection ends, the next is served."""
    answer = await caller.say(request_bytes)

    overtaken = not answer and len(request_bytes) > server.RECEIVE_BYTES  # by a reset, as some was not read
    assert overtaken or statuses(answer) == expected, answer[:500]
    await caller.well()


async def test_a_bad_request_is_answered_as_everything_else(caller: Caller, request: pytest.FixtureRequest) -> None:
    """Its answer is JSON, tells no version, and repeats nothing of what was sent."""
    head, _, body = (await caller.say(b"planted\x01 / HTTP/1.1\r\n\r\n")).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.0 400 ")
    assert b"\r\nServer: telethon-sidecar" in head
    assert b"\r\nCache-Control: no-store" in head
    told = "This is no proper HTTP request."
    if "api" in request.node.name:
        title = {"type": "about:blank", "title": "Bad Request", "status": 400}
        assert json.loads(body) == title | {"detail": told}
        assert b"\r\nContent-Type: application/problem+json" in head
    else:
        assert json.loads(body) == {"ok": False, "why": told}


async def test_pipelined_requests_are_all_answered(caller: Caller) -> None:
    """A thousand requests in one go get a thousand answers, in order."""
    missing = LIVE.replace(b"/livez", b"/missing")
    answer = await caller.say((LIVE + missing) * 499 + LIVE + LAST)

    assert statuses(answer) == [200, 404] * 499 + [200, 200]
    await caller.well()


# --------------------------------------------------------------------------------------------------- slow and idle ones


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"", id="idle"),
        pytest.param(b"GET /livez HT", id="half-a-request-line"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ", id="half-a-header"),
        pytest.param(LIVE, id="kept-alive"),
        pytest.param(LIVE + b"GET /livez HTTP/1.1\r\nHo", id="half-a-second-request"),
    ],
)
async def test_who_asks_nothing_is_asked_to_leave(caller: Caller, start: bytes) -> None:
    """A connection without a complete request is closed when the patience is over, and not much later."""
    clock = asyncio.get_running_loop().time
    began = clock()
    await caller.say(start)

    assert 0.25 < clock() - began < 1.5
    await caller.well()


async def test_dripping_does_not_prolong_it(caller: Caller) -> None:
    """A head that comes byte by byte has the same patience as one that does not come."""
    reader, writer = await caller.connect()
    clock = asyncio.get_running_loop().time
    began = clock()

    async def drip() -> None:
        writer.write(b"GET /livez HTTP/1.1\r\nX: ")
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with background(drip()):
        with suppress(ConnectionError):
            assert await reader.read() == b""
    assert clock() - began < 1.5
    writer.transport.abort()
    await caller.well()


async def test_who_does_not_read_is_cut_off(caller: Caller) -> None:
    """An answer that is not taken is given up, and the connection with it."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, caller.address)
        await loop.sock_sendall(client, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            while client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED:  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # the kernel reports no state by itself
    await caller.well()


@pytest.mark.parametrize("path", ["/livez", "/metrics", "/"])
async def test_who_closes_one_half_is_answered(caller: Caller, path: str) -> None:
    """A client may close its side once it has asked: it gets its answer, and the connection ends soon after."""
    clock = asyncio.get_running_loop().time
    began = clock()
    answer = await caller.say(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), half_close=True)

    assert statuses(answer) == [200]
    assert clock() - began < 1.0
    await caller.well()


@pytest.mark.parametrize("start", [b"", b"GET /li", LIVE[:-2]], ids=["nothing", "half-a-line", "half-a-head"])
async def test_who_closes_one_half_too_early_is_let_go(caller: Caller, start: bytes) -> None:
    """Half a request and a half-closed connection get no answer, and an end."""
    assert await caller.say(start, half_close=True) == b""
    await caller.well()


async def test_who_resets_is_forgotten(caller: Caller) -> None:
    """A reset in the middle of anything leaves no line in the log."""
    for start in (b"", b"GET /li", LIVE, LIVE * 50, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"):
        _, writer = await caller.connect()
        writer.write(start)
        await asyncio.sleep(0)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
    await caller.well()


async def test_the_number_of_connections_is_bounded(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one too many is let in, and the oldest is cut."""
    monkeypatch.setattr(connection, "CONNECTIONS", 3)
    monkeypatch.setattr(connection, "IDLE_SECONDS", 60.0)
    open_ones = [await caller.connect() for _ in range(3)]
    for reader, writer in open_ones:
        writer.write(LIVE)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    await caller.well()

    oldest, second = open_ones[0][0], open_ones[1]
    async with asyncio.timeout(1):
        with suppress(ConnectionError):
            await oldest.read()
    second[1].write(LAST)
    assert statuses(await second[0].read()) == [200]  # the first line of the answer before was read above
    for _, writer in open_ones:
        writer.transport.abort()


# --------------------------------------------------------------------------------------------------------------- fuzz

WORDS = [
    *[b"GET", b"HEAD", b"POST", b" ", b"  ", b"/", b"/livez", b"/metrics", b"*", b"http://", b"HTTP/1.1", b"HTTP/1.0"],
    *[b"\r\n", b"\n", b"\r", b"\r\n\r\n", b":", b": ", b"Host", b"Content-Length", b"Transfer-Encoding", b"chunked"],
    *[
        b"Connection",
        b"close",
        b"keep-alive",
        b"Upgrade",
        b"websocket",
        b"Expect",
        b"100-continue",
        b"gzip",
        b"0",
        b"1",
    ],
    *[
        b"-1",
        b"999999999999999999999",
        b"ffffffff",
        b"\x00",
        b"\xff",
        b"\t",
        b"%",
        b"%00",
        b"?",
        b"#",
        b"[",
        b"@",
        b";",
    ],
    *[b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"GET /metrics HTTP/1.1\r\nHost: x\r\n", b"Content-Encoding", b"Accept"],
]


async def test_fuzz(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of requests made of broken pieces: no 5xx, no line in the log, and it answers afterwards."""
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.1)
    monkeypatch.setattr(connection, "BODY_SECONDS", 0.1)
    loop = asyncio.get_running_loop()
    end = loop.time() + 6
    seen: Counter[int] = Counter()

    async def one_after_the_other(seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - a seed repeats a run
        while loop.time() < end:
            sent = b"".join(_piece(dice) for _ in range(dice.randrange(1, 30)))
            sent = dice.choice([b"", b"", b"GET /metrics HTTP/1.1\r\nHost: x\r\n", LIVE]) + sent
            cut = dice.randrange(len(sent) + 1)
            got = statuses(await caller.say(sent[:cut], sent[cut:], half_close=dice.random() < 0.7))
            assert not [status for status in got if status >= 500], sent
            seen.update(got)

    async with background(*[one_after_the_other(seed) for seed in range(32)]) as working:
        await asyncio.wait(working)
        for task in working:
            task.result()
    assert seen[200], seen
    assert seen[400], seen
    await caller.well()


def _piece(dice: random.Random) -> bytes:
    return dice.randbytes(dice.randrange(1, 9)) if dice.random() < 0.1 else dice.choice(WORDS)


# ------------------------------------------------------------------------------------------- crowds, in real processes

CROWD = """\
import resource, select, socket, sys, time
host, port, count, seconds, again = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
start = sys.stdin.buffer.read()
again = {"nothing": b"", "a byte": b"a", "the same": start}[again]
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
unsent = {}

def push(one):
    try:
        unsent[one] = unsent[one][one.send(unsent[one], socket.MSG_DONTWAIT):] or again
    except BlockingIOError:
        pass
    except OSError:
        unsent[one] = b""

for _ in range(count):
    one = socket.create_connection((host, port))
    unsent[one] = start
    push(one)
print("here", flush=True)
until = time.monotonic() + seconds
while time.monotonic() < until:
    for one in list(unsent)[-300:]:
        if unsent[one]:
            push(one)
    time.sleep(0.01)
alive = select.poll()
for one in unsent:
    alive.register(one, select.POLLIN)
gone = len(alive.poll(0))
print(len(unsent) - gone, flush=True)
"""

LARGEST_HEAD = b"Host: x\r\n" + b"".join(b"X%d: %b\r\n" % (n, b"a" * 4050) for n in range(connection.HEADERS - 2))
"""Header fields, as many and as long as are let in, but for the end of the head."""


class Heartbeat(Counter[str]):
    """The simulator's count of calls, that also remembers when pings came."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def __setitem__(self, name: str, count: int) -> None:
        super().__setitem__(name, count)
        if name == PING:
            self.times.append(asyncio.get_running_loop().time())

    @property
    def longest_gap(self) -> float:
        """Seconds between two pings, at worst."""
        return max(late - early for early, late in zip(self.times, self.times[1:], strict=False))


def need_files(wanted: int) -> None:
    """Skip the test where one process may not hold so many connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < wanted + 100:
        pytest.skip(f"a process may open {most} files here, and {wanted} connections are needed: ulimit -Hn")


@pytest.fixture
async def beaten(dc: DataCentre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Daemon]:
    """The daemon as a process, connected, with a quick heartbeat."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    session = {"API_ID": "1", "API_HASH": API_HASH, "SESSION_STRING": dc.create_session().string}
    dc.requests = Heartbeat()
    async with Daemon(
        tmp_path,
        SIDECAR_PING_INTERVAL=str(PING_INTERVAL),
        SIDECAR_WATCHDOG_INTERVAL="20",
        SIDECAR_LOG_LEVEL="info",
        **session,
    ) as daemon:
        await daemon.logged("telegram_connected")
        yield daemon


@pytest.mark.parametrize(
    ("count", "start", "again"),
    [
        pytest.param(10_000, b"", "nothing", id="10000-idle"),
        pytest.param(2_000, b"GET /livez HTTP/1.1\r\nX: ", "a byte", id="2000-dripping"),
        pytest.param(2_000, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20, "the same", id="2000-pipelining-unread"),
        pytest.param(300, b"GET /livez HTTP/1.1\r\n" + LARGEST_HEAD, "a byte", id="300-largest-heads"),
        pytest.param(
            300, b"GET /metrics HTTP/1.1\r\n" + LARGEST_HEAD + b"\r\n", "the same", id="300-pipelining-largest-heads"
        ),
    ],
)
async def test_a_crowd_costs_neither_memory_nor_heartbeat(
    beaten: Daemon,
    dc: DataCentre,
    record_property: Callable[[str, object], None],
    count: int,
    *,
    start: bytes,
    again: str,
) -> None:
    """/livez answers within the timeout of its probe, pings keep their deadline, and 50 MB is all it takes."""
    host, port = (await beaten.logged("service_starting"))["ops"].removeprefix("http://").split(":")
    pings, loop = dc.requests, asyncio.get_running_loop()
    assert isinstance(pings, Heartbeat)
    await beaten.get("/metrics")
    need_files(count)
    before = beaten.resident
    crowd = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", CROWD, host, port, str(count), "2", again],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    storm: list[float] = []
    answered: list[float] = []
    held: list[int] = []
    try:
        assert crowd.stdin
        assert crowd.stdout
        crowd.stdin.write(start)
        crowd.stdin.close()
        async with asyncio.timeout(60):
            arriving = asyncio.create_task(crowd.stdout.readline())
            while not arriving.done():
                began = loop.time()
                assert (await beaten.get("/livez"))[0] == 200
                storm.append(loop.time() - began)
                await asyncio.wait([arriving], timeout=0.05)
            leaving = asyncio.create_task(crowd.stdout.read())
            while not leaving.done():
                began = loop.time()
                assert (await beaten.get("/livez"))[0] == 200
                answered.append(loop.time() - began)
                held.append(beaten.files)
                await asyncio.wait([leaving], timeout=0.05)
        still_open = int((await leaving).split()[-1])
    finally:
        if crowd.returncode is None:
            crowd.kill()
        await crowd.wait()
    grown = beaten.resident - before
    figures = {
        "connections": count,
        "slowest /livez while they arrive, seconds": round(max(storm), 3),
        "slowest /livez, seconds": round(max(answered), 3),
        "longest gap between pings, seconds": round(pings.longest_gap, 3),
        "growth of memory, MB": round(grown / MEGABYTE, 1),
        "most files open": max(held),
        "connections left open": still_open,
    }
    for name, value in figures.items():
        record_property(name, value)

    print(figures)  # noqa: T201 - shown by -s
    assert max(storm) < PROBE_TIMEOUT, figures
    assert max(answered) < PROBE_TIMEOUT, figures
    assert pings.longest_gap < PING_INTERVAL + PING_TIMEOUT, figures
    assert grown < 50 * MEGABYTE, figures
    assert max(held) < connection.CONNECTIONS + 100, figures
    assert still_open <= connection.CONNECTIONS, figures
    assert "Traceback" not in beaten.output
    assert '"level": "error"' not in beaten.output
    assert '"event": "telegram_connection_lost"' not in beaten.output
    assert (await beaten.get("/readyz"))[0] == 200
