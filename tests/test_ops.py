"""The ops listener, asked over real HTTP."""

import asyncio
import gzip
import logging
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession, web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from sidecar.health import explain
from sidecar.http.ops import ops_app
from sidecar.http.server import ListenerError, listen
from sidecar.journal import Journal
from sidecar.link import Endpoint, Identity, LinkLost, LinkRefused, Reason
from sidecar.metrics import Metrics
from sidecar.race import background
from sidecar.state import (
    AttemptFailed,
    AttemptStarted,
    Connected,
    CredentialsMissing,
    Event,
    FloodWaited,
    Problem,
    SessionRefused,
    Stopping,
)

STARTED = AttemptStarted(1, "0badcafe")
CONNECTED = Connected(Identity(7, is_bot=False, phone="491701234567"), Endpoint(4, 0.0), 0.1, None)
FAILED = AttemptFailed(1, LinkLost(Reason.RESET, "the connection was reset"), 20.0)
REFUSED = SessionRefused(LinkRefused(Reason.REVOKED, "the session was ended by its owner"), established=False)
MISSING = CredentialsMissing((Problem("API_ID", "is missing"), Problem("API_HASH", "is missing")))
PROXIED = CredentialsMissing((Problem("SIDECAR_PROXY", "is set, but cannot be used"),))
PATHS = ("/", "/livez", "/readyz", "/startupz", "/healthz", "/health", "/metrics")

Asked = Callable[..., Awaitable[Any]]


@pytest.fixture
def registry() -> CollectorRegistry:
    """The registry that /metrics shows."""
    return CollectorRegistry()


@pytest.fixture
async def journal(registry: CollectorRegistry) -> Journal:
    """The journal that the listener reads."""
    metrics = Metrics(registry, program_version="1.2.3", clock=asyncio.get_running_loop().time)
    return Journal([metrics], due=asyncio.get_running_loop().time() + 60)


@asynccontextmanager
async def serving(app: web.Application, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve for the time of the block, and give the URL; raise what the listener raises."""
    bound: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with background(listen(app, host, port, bound=bound.set_result)) as (listening,):
        await asyncio.wait([listening, bound], return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            listening.result()
        yield bound.result()


def app(journal: Journal, registry: CollectorRegistry, environment: str = "test") -> web.Application:
    """Make the application as the daemon does."""
    return ops_app(journal, metrics=make_aiohttp_handler(registry), environment=environment, version="1.2.3")


@pytest.fixture
async def http(journal: Journal, registry: CollectorRegistry) -> AsyncIterator[ClientSession]:
    """Asks the listener."""
    async with serving(app(journal, registry)) as url, ClientSession(url) as client:
        yield client


async def ask(http: ClientSession, path: str) -> tuple[int, Any]:
    """Ask, and return the status and the JSON body."""
    async with http.get(path) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        return answer.status, await answer.json()


def happen(journal: Journal, *events: Event, within: float = 60.0) -> None:
    """Record events."""
    for event in events:
        journal.record(event, within=within)


# ------------------------------------------------------------------------------------------------------------ probes


@pytest.mark.parametrize(
    ("events", "ready", "started", "healthy"),
    [
        pytest.param((), 503, 503, 200, id="starting"),
        pytest.param((MISSING,), 503, 200, 503, id="unconfigured"),
        pytest.param((STARTED,), 503, 503, 200, id="connecting"),
        pytest.param((STARTED, CONNECTED), 200, 200, 200, id="connected"),
        pytest.param((STARTED, FAILED), 503, 200, 200, id="waiting"),
        pytest.param((STARTED, REFUSED), 503, 200, 200, id="refused"),
        pytest.param((Stopping(),), 503, 503, 200, id="stopping"),
    ],
)
async def test_probes_in_each_state(
    http: ClientSession, journal: Journal, *, events: tuple[Event, ...], ready: int, started: int, healthy: int
) -> None:
    """Each probe answers its own question, with 200 or 503, and says why in JSON."""
    happen(journal, *events)
    why = explain(journal.snapshot, asyncio.get_running_loop().time())
    known = "The start is over. " if started == 200 else ""
    assert await ask(http, "/livez") == (200, {"ok": True, "why": "The keeper is making progress."})
    assert await ask(http, "/readyz") == (ready, {"ok": ready == 200, "why": why})
    assert await ask(http, "/startupz") == (started, {"ok": started == 200, "why": known + why})
    for path in ("/healthz", "/health"):
        status, body = await ask(http, path)
        assert status == healthy
        assert body["checks"]["telegram"]["why"] == why


async def test_a_stuck_keeper(http: ClientSession, journal: Journal) -> None:
    """A keeper 20 s past its next step fails liveness, readiness and health, connected or not."""
    happen(journal, STARTED, CONNECTED, within=-20.0)
    stuck = {"ok": False, "why": "The keeper is stuck: in state connected, 20 s past its next step."}
    assert await ask(http, "/livez") == (503, stuck)
    assert await ask(http, "/readyz") == (503, stuck)
    status, body = await ask(http, "/healthz")
    assert (status, body["status"]) == (503, "unhealthy")


# ----------------------------------------------------------------------------------------------------------- /healthz


def moment(text: str) -> datetime:
    """Read an RFC 3339 time in UTC, to the millisecond."""
    assert len(text) == len("2026-01-01T00:00:00.000Z")
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


async def test_healthz_of_a_connected_keeper(http: ClientSession, journal: Journal) -> None:
    """The body has exactly the keys of the contract, and no phone number."""
    happen(journal, STARTED, CONNECTED)
    status, body = await ask(http, "/healthz")
    assert status == 200
    assert abs(moment(body.pop("timestamp")) - datetime.now(UTC)) < timedelta(seconds=10)
    assert abs(moment(body["checks"]["telegram"].pop("since")) - datetime.now(UTC)) < timedelta(seconds=10)
    assert body == {
        "status": "healthy",
        "environment": "test",
        "checks": {
            "telegram": {
                "status": "healthy",
                "connected": True,
                "state": "connected",
                "reason": None,
                "why": "Connected: Telegram answered 0.0 s ago.",
                "last_contact_age_seconds": 0.0,
                "retry_in_seconds": None,
            },
            "config": {"status": "ok", "missing_vars": []},
        },
    }


async def test_healthz_dates_a_state_by_its_beginning(http: ClientSession, journal: Journal) -> None:
    """`since` lies as far before `timestamp` as the state is old."""
    happen(journal, STARTED)
    clock = asyncio.get_running_loop().time
    began = journal.snapshot.since
    _, body = await ask(http, "/healthz")
    old = (moment(body["timestamp"]) - moment(body["checks"]["telegram"]["since"])).total_seconds()
    assert 0 <= old <= clock() - began + 0.002


async def test_healthz_of_missing_credentials(http: ClientSession, journal: Journal) -> None:
    """What is missing is named, and makes it 503."""
    happen(journal, MISSING)
    status, body = await ask(http, "/healthz")
    assert (status, body["status"]) == (503, "unhealthy")
    assert body["checks"]["config"] == {"status": "error", "missing_vars": ["API_ID", "API_HASH"]}


async def test_healthz_of_a_proxy(http: ClientSession, journal: Journal) -> None:
    """A proxy that cannot be used makes it 503, although no credential is missing."""
    happen(journal, PROXIED)
    status, body = await ask(http, "/healthz")
    assert (status, body["status"]) == (503, "unhealthy")
    assert body["checks"]["config"] == {"status": "error", "missing_vars": []}


async def test_healthz_of_a_flood_wait(http: ClientSession, journal: Journal) -> None:
    """A connected keeper that may not ask get_me is healthy, and says for how long it may not."""
    happen(journal, STARTED, CONNECTED, FloodWaited(600.0))
    status, body = await ask(http, "/healthz")
    assert (status, body["status"]) == (200, "healthy")
    assert body["checks"]["telegram"]["why"] == (
        "Connected: Telegram answered 0.0 s ago. It asked for no get_me for another 600 s."
    )


async def test_healthz_of_a_waiting_keeper(http: ClientSession, journal: Journal) -> None:
    """An outage is degraded, answered with 200, and says the reason and when the next attempt begins."""
    happen(journal, STARTED, FAILED)
    status, body = await ask(http, "/healthz")
    assert (status, body["status"]) == (200, "degraded")
    telegram = body["checks"]["telegram"]
    assert (telegram["status"], telegram["reason"], telegram["retry_in_seconds"]) == ("disconnected", "reset", 20.0)


# ------------------------------------------------------------------------------------------------------------ /metrics


async def test_metrics_as_text(http: ClientSession, journal: Journal) -> None:
    """Without a wish, /metrics answers in Prometheus's text format."""
    happen(journal, STARTED, CONNECTED)
    async with http.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        text = await answer.text()
    assert "\ntelegram_connected 1.0\n" in text
    assert "# TYPE telegram_connect_attempts_total counter\n" in text
    assert "# EOF" not in text


async def test_metrics_as_openmetrics(http: ClientSession) -> None:
    """Whoever accepts OpenMetrics gets it, with its own types."""
    accepted = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with http.get("/metrics", headers=accepted) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        text = await answer.text()
    assert text.endswith("# EOF\n")
    assert "# TYPE telegram_connection_state stateset\n" in text
    assert "# TYPE telegram_session info\n" in text


async def test_metrics_are_compressed_on_request(journal: Journal, registry: CollectorRegistry) -> None:
    """Whoever accepts gzip gets it."""
    async with (
        serving(app(journal, registry)) as url,
        ClientSession(url, auto_decompress=False) as client,
        client.get("/metrics", headers={"Accept-Encoding": "gzip"}) as answer,
    ):
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(await answer.read()).startswith(b"# HELP telegram_connected ")


# ----------------------------------------------------------------------------------------------------- all the others


async def test_the_landing_page(http: ClientSession, journal: Journal) -> None:
    """`/` is a page that tells the version, the state and why, and links everything else."""
    happen(journal, STARTED, CONNECTED)
    async with http.get("/") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        text = await answer.text()
    assert "telethon-sidecar 1.2.3" in text
    assert "<p><strong>connected</strong></p><p>Connected: Telegram answered 0.0 s ago.</p>" in text
    for path in ("/healthz", "/readyz", "/livez", "/startupz", "/metrics"):
        assert f'<a href="{path}">{path}</a>' in text


async def test_the_landing_page_keeps_itself_up_to_date(http: ClientSession) -> None:
    """The page has the browser ask for it again, and says in which environment and as of when it is."""
    async with http.get("/") as answer:
        text = await answer.text()
    assert '<meta http-equiv="refresh" content="5">' in text
    told = re.search(r"<p>Environment test, as of (\S+)\.</p>", text)
    assert told
    assert abs(moment(told[1]) - datetime.now(UTC)) < timedelta(seconds=10)


@pytest.mark.parametrize(
    ("events", "within", "colour"),
    [
        pytest.param((STARTED, CONNECTED), 60.0, "#1a7f37", id="connected"),
        pytest.param((STARTED, CONNECTED), -20.0, "#b42318", id="stuck"),
        pytest.param((STARTED, FAILED), 60.0, "#b42318", id="waiting"),
    ],
)
async def test_the_landing_page_is_green_when_ready(
    http: ClientSession, journal: Journal, events: tuple[Event, ...], within: float, colour: str
) -> None:
    """The state is green if, and only if, /readyz answers 200."""
    happen(journal, *events, within=within)
    async with http.get("/") as answer:
        assert f"color: {colour} }}" in await answer.text()


async def test_the_landing_page_quotes(journal: Journal, registry: CollectorRegistry) -> None:
    """What comes from outside is text on the page, and never markup."""
    strange = app(journal, registry, environment="<script>{0}")
    async with serving(strange) as url, ClientSession(url) as client, client.get("/") as answer:
        assert "<p>Environment &lt;script&gt;{0}, as of " in await answer.text()


@pytest.mark.parametrize("path", PATHS)
async def test_head_is_get_without_a_body(http: ClientSession, path: str) -> None:
    """HEAD answers with the status and type of GET, and no body."""
    async with http.get(path) as full, http.head(path) as head:
        assert (head.status, head.headers["Content-Type"]) == (full.status, full.headers["Content-Type"])
        assert await head.read() == b""


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_other_methods_are_not_allowed(http: ClientSession, method: str, path: str) -> None:
    """Any other method gets 405, in JSON, with the methods that are allowed."""
    async with http.request(method, path) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
        assert await answer.json() == {"ok": False, "why": f"{method} is not allowed here; use GET, HEAD."}


@pytest.mark.parametrize("path", ["/nowhere", "/metrics/", "/healthz/live", "/%2e%2e/etc/passwd"])
async def test_unknown_paths_are_not_found(http: ClientSession, path: str) -> None:
    """An unknown path gets 404, in JSON."""
    assert await ask(http, path) == (404, {"ok": False, "why": "There is nothing at this path; / lists what there is."})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(pytest.param(method, path, 200, id=f"{method}-{path}") for method in ("GET", "HEAD") for path in PATHS),
        pytest.param("GET", "/nowhere", 404, id="not-found"),
        pytest.param("POST", "/metrics", 405, id="not-allowed"),
    ],
)
async def test_headers_of_every_answer(
    http: ClientSession, journal: Journal, method: str, path: str, status: int
) -> None:
    """Nobody may keep an answer, whatever it is, and none tells what versions made it."""
    happen(journal, STARTED, CONNECTED)
    async with http.request(method, path) as answer:
        assert answer.status == status
        assert answer.headers.getall("Cache-Control") == ["no-store"]
        assert answer.headers.getall("Server") == ["telethon-sidecar"]


async def test_there_is_no_access_log(http: ClientSession, caplog: pytest.LogCaptureFixture) -> None:
    """Probes come every few seconds and leave no line."""
    caplog.set_level(logging.DEBUG)
    for path in (*PATHS, "/nowhere"):
        async with http.get(path) as answer:
            await answer.read()
    assert [record.name for record in caplog.records if record.name.startswith("aiohttp")] == []


# -------------------------------------------------------------------------------------------------------- the listener


async def test_the_url_has_the_bound_port() -> None:
    """Told to take any port, the listener says which one it took."""
    async with serving(web.Application()) as url:
        assert url.startswith("http://127.0.0.1:")
        assert url != "http://127.0.0.1:0"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_an_ipv6_url_has_brackets() -> None:
    """An IPv6 address is written as URLs want it."""
    try:
        async with serving(web.Application(), "::1") as url:
            assert url.startswith("http://[::1]:")
    except ListenerError:
        pytest.skip("no IPv6 loopback here")


async def test_an_address_in_use() -> None:
    """If somebody else listens there, the error says so, and that is told from other troubles."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ListenerError, match=f"^cannot listen on 127.0.0.1:{port}: .*address already in use"
        ) as caught:
            async with serving(web.Application(), port=port):
                raise AssertionError("two listeners on one port")
    assert caught.value.in_use


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("192.0.2.1", id="not-ours"),
        pytest.param("a" * 64, id="label-too-long"),
        pytest.param("a..b", id="label-empty"),
    ],
)
async def test_an_address_that_cannot_be_bound(host: str) -> None:
    """An address that is not ours, or no address at all, is a trouble of its own."""
    with pytest.raises(ListenerError, match=f"^cannot listen on {host}:0: ") as caught:
        async with serving(web.Application(), host):
            raise AssertionError("listening on somebody else's address")
    assert not caught.value.in_use


async def test_the_port_is_free_when_the_listener_is_gone() -> None:
    """A listener that is cancelled closes its port, even with a client still connected."""
    async with ClientSession() as client:
        async with serving(web.Application()) as url, client.get(url) as answer:
            assert answer.status == 404
        port = int(url.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        pass
