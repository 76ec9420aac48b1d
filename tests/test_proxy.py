"""Dialling through proxies: real ones where they are in the way, and a relay of our own that speaks MTProxy.

Real proxies are processes, so those tests run in real time; the others run in fake time.
"""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sidecar import health, manager
from sidecar.link import Reason
from sidecar.proxy import Proxy, Scheme, read_proxy
from sidecar.state import AttemptFailed, ConnectionLost, CredentialsChanged, PingAnswered, Postponed, State
from sidecar.telegram.wire import LARGEST_PACKET
from tests.daemon import Daemon
from tests.mtproxy import INTERMEDIATE, PADDED, SECRET, MTProxy, undelayed
from tests.proxies import PASSWORD, USER, Microsocks, RealProxy, Tinyproxy, encoded
from tests.rig import Rig

QUICK: dict[str, Any] = {
    "ping_interval": 0.2,
    "ping_timeout": 0.5,
    "backoff_base": 0.1,
    "backoff_max": 0.2,
    "connect_timeout": 2.1,
}
"""Short times, for tests in real time."""


@pytest.fixture(autouse=True)
def patient(request: pytest.FixtureRequest) -> None:
    """Let the keeper be late by what a busy machine takes, in real time."""
    if "rig" in request.fixturenames and not request.node.get_closest_marker("looptime"):
        request.getfixturevalue("rig").slack = 2.0


@pytest.fixture
async def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RealProxy]:
    """The real proxy that the test names (kind, locked), running."""
    kind, locked = request.param
    async with kind(tmp_path, locked=locked) as running:
        yield running


def real(*, locked: tuple[bool, ...] = (False, True)) -> pytest.MarkDecorator:
    """Run a test with each real proxy, open or locked."""
    params = [
        pytest.param((kind, lock), id=f"{kind.scheme}-{'locked' if lock else 'open'}")
        for kind in (Microsocks, Tinyproxy)
        for lock in locked
    ]
    return pytest.mark.parametrize("proxy", params, indirect=True)


async def failed(rig: Rig) -> AttemptFailed:
    """Wait for an attempt to fail, and return how."""
    await rig.until(State.WAITING)
    ((_, event),) = rig.of(AttemptFailed)
    assert isinstance(event, AttemptFailed)
    return event


def shown(event: AttemptFailed | ConnectionLost) -> tuple[Reason, str]:
    """Lay out why."""
    return event.error.reason, event.error.detail


# ------------------------------------------------------------------------------------------------------ real proxies


@real()
async def test_connected_through_a_real_proxy(rig: Rig, proxy: RealProxy) -> None:
    """The session is verified and pinged through the proxy, with a password and without."""
    await rig.connected(proxy=proxy.url, **QUICK)
    await rig.pinged()

    assert rig.snapshot.identity
    assert rig.dc.accepted == 1
    await rig.manager.journal.until(lambda _: rig.pings > 2)


@pytest.mark.parametrize("kind", [Microsocks, Tinyproxy])
async def test_a_proxy_with_an_ipv6_address(rig: Rig, tmp_path: Path, kind: type[RealProxy]) -> None:
    """It stands in brackets, with a user and password before it."""
    try:
        proxy = kind(tmp_path, locked=True, host="::1")
    except OSError as error:
        pytest.skip(f"no IPv6 on loopback here: {error}")
    async with proxy:
        await rig.connected(proxy=proxy.url, **QUICK)
        await rig.pinged()
        await rig.stop()


@real(locked=(True,))
@pytest.mark.parametrize("given", [True, False], ids=["wrong", "none"])
async def test_a_wrong_password(rig: Rig, proxy: RealProxy, given: bool) -> None:
    """It has a reason of its own, which says what the proxy wants, and the password is not told."""
    url = proxy.url_for(USER, "pl4nted") if given else f"{proxy.scheme}://127.0.0.1:{proxy.port}"
    rig.start(proxy=url, **QUICK)

    reason, detail = shown(await failed(rig))
    assert reason is Reason.PROXY_UNAUTHORIZED
    assert detail.startswith(
        f"the proxy 127.0.0.1:{proxy.port} "
        + ("does not accept user and password (" if given else "asks for a user and password (")
    )
    why = health.explain(rig.snapshot, asyncio.get_running_loop().time())
    assert "Correct user and password in SIDECAR_PROXY" in why
    assert "pl4nted" not in why + repr(rig.events)
    assert rig.dc.accepted == 0


@real(locked=(False,))
async def test_a_proxy_that_cannot_reach_telegram(rig: Rig, proxy: RealProxy) -> None:
    """What it answers is told as a code, in our words."""
    await rig.dc.stop_listening()
    rig.start(proxy=proxy.url, **QUICK)

    answered = {
        "socks5": "SOCKS5 reply 5, connection refused",
        "http": "HTTP status 500 Internal Server Error",
    }[proxy.scheme]
    assert shown(await failed(rig)) == (
        Reason.PROXY_FAILED,
        f"the proxy 127.0.0.1:{proxy.port} cannot reach Telegram ({answered})",
    )


@real(locked=(False,))
async def test_a_hanging_telegram_is_told_from_a_hanging_proxy(rig: Rig, proxy: RealProxy) -> None:
    """Behind a proxy that has opened the way, silence is Telegram's."""
    rig.dc.levers.silent_accept = True
    rig.start(proxy=proxy.url, **QUICK)

    assert shown(await failed(rig)) == (Reason.CONNECT_TIMEOUT, "no verified session within 2.1 s")


@real(locked=(False,))
async def test_a_frozen_proxy(rig: Rig, proxy: RealProxy) -> None:
    """A proxy that accepts, by its kernel, and says nothing."""
    proxy.freeze()
    rig.start(proxy=proxy.url, **QUICK)

    assert shown(await failed(rig)) == (
        Reason.PROXY_TIMEOUT,
        f"no verified session within 2.1 s: the proxy 127.0.0.1:{proxy.port} has not opened the way to Telegram",
    )


@real(locked=(True,))
async def test_a_proxy_dies_and_comes_back(rig: Rig, proxy: RealProxy) -> None:
    """The loss is noticed at once, the attempts meanwhile say that the proxy is away, and it connects again."""
    await rig.connected(proxy=proxy.url, **QUICK)
    await rig.pinged()
    await proxy.end()
    await rig.manager.journal.until(lambda snapshot: snapshot.reason is Reason.PROXY_UNREACHABLE)
    ((_, lost),) = rig.of(ConnectionLost)
    assert isinstance(lost, ConnectionLost)
    assert lost.error.reason in {Reason.CLOSED, Reason.RESET}
    assert lost.error.detail.endswith("; the proxy may have done that")
    assert rig.snapshot.detail == f"the proxy 127.0.0.1:{proxy.port} cannot be reached (Connection refused)"

    await proxy.start()
    await rig.until(State.CONNECTED)
    assert rig.metric("telegram_reconnects_total", reason=lost.error.reason) == 1


async def test_another_proxy_in_the_file(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another proxy is another connection, without a restart; no proxy at all is one, too.

    A proxy may be slower to tell Telegram of the end than we are to dial past it, so the next attempt waits until
    Telegram must have dropped the connection by itself.
    """
    monkeypatch.setattr(manager, "SHORTEST_ORPHAN_SECONDS", 2)
    async with Microsocks(tmp_path, locked=False) as socks, Tinyproxy(tmp_path, locked=True) as http:
        rig.mount(rig.session, proxy=socks.url)
        await rig.connected(from_files=True, **QUICK)
        for accepted, files in enumerate(({"proxy": http.url}, {}), start=2):
            await rig.pinged()
            rig.mount(rig.session, **files)
            rig.manager.reload_credentials()
            await rig.until(State.WAITING)
            assert rig.snapshot.reason is Reason.CREDENTIALS_CHANGED
            await rig.until(State.CONNECTED)
            assert rig.dc.accepted == accepted

    assert len(rig.of(CredentialsChanged)) == 2
    for (_, lost), (_, postponed) in zip(rig.of(ConnectionLost), rig.of(Postponed), strict=True):
        assert isinstance(lost, ConnectionLost)
        assert isinstance(postponed, Postponed)
        assert 2 - QUICK["ping_interval"] - QUICK["ping_timeout"] < postponed.seconds <= lost.retry_in <= 2
    assert rig.session.worst_overlap == 0


@pytest.mark.slow
async def test_the_daemon_keeps_the_password(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole command, at its most talkative: connected, refused by the proxy, and not a word of the password."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    async with Microsocks(tmp_path, locked=True) as proxy:
        rig.mount(rig.session, proxy=proxy.url)
        settings = {"SIDECAR_SECRETS_DIR": str(rig.secrets), "SIDECAR_LOG_LEVEL": "debug"}
        async with Daemon(tmp_path, **settings) as daemon:
            await daemon.logged("telegram_connected")
            rig.mount(rig.session, proxy=proxy.url_for(USER, "pl4nted"))
            daemon.send(signal.SIGHUP)
            refused = await daemon.logged("telegram_connection_failed")
            _, body = await daemon.get("/healthz")
            daemon.send(signal.SIGTERM)
            code, errors = await daemon.exit()

            said = daemon.output + errors + body
    assert (code, refused["reason"]) == (0, "proxy_unauthorized")
    assert [secret for secret in (PASSWORD, encoded(PASSWORD), "pl4nted") if secret in said] == []
    assert json.loads(body)["checks"]["telegram"]["reason"] == "proxy_unauthorized"


# ---------------------------------------------------------------------------------------- proxies that do not do it


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a listener whose kernel accepts, and whose process never does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def nobody() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


URLS = ["socks5://127.0.0.1:{}", "http://u:p@127.0.0.1:{}", "mtproxy://" + SECRET.hex() + "@127.0.0.1:{}"]
SCHEMES = ["socks5", "http", "mtproxy"]


@pytest.mark.looptime
@pytest.mark.parametrize("url", URLS, ids=SCHEMES)
async def test_a_proxy_that_hangs(rig: Rig, silent: int, url: str) -> None:
    """It is given up at the deadline of the attempt, to the second, and named."""
    rig.start(proxy=url.format(silent))
    event = await failed(rig)

    assert rig.now == 15
    reason, detail = shown(event)
    assert reason is Reason.PROXY_TIMEOUT
    assert detail.startswith("no verified session within 15 s: ")
    assert f"the proxy 127.0.0.1:{silent} " in detail


@pytest.mark.looptime
async def test_a_proxy_that_hangs_longer_than_its_library_waits(rig: Rig, silent: int) -> None:
    """python-socks has a deadline of its own, a minute, which a longer one of ours does not lift."""
    rig.start(proxy=f"socks5://127.0.0.1:{silent}", connect_timeout=120)

    assert shown(await failed(rig)) == (
        Reason.PROXY_TIMEOUT,
        f"the proxy 127.0.0.1:{silent} has not opened the way to Telegram in time",
    )
    assert rig.now == 60


@pytest.mark.looptime
@pytest.mark.parametrize("url", URLS, ids=SCHEMES)
async def test_a_proxy_that_is_not_there(rig: Rig, nobody: int, url: str) -> None:
    """Refused by the proxy's host: told from a data centre that refuses."""
    rig.start(proxy=url.format(nobody))

    assert shown(await failed(rig)) == (
        Reason.PROXY_UNREACHABLE,
        f"the proxy 127.0.0.1:{nobody} cannot be reached (Connection refused)",
    )
    assert rig.metric("telegram_connect_attempts_total", result="lost") == 1


@pytest.mark.parametrize("url", [url.replace("127.0.0.1:{}", "{}:1") for url in URLS], ids=SCHEMES)
@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".example"], ids=["unknown", "no-name"])
async def test_a_proxy_whose_name_is_not_known(rig: Rig, url: str, host: str) -> None:
    """A name that leads nowhere is an unreachable proxy, with the resolver's words."""
    rig.start(proxy=url.format(host), **QUICK)

    reason, detail = shown(await failed(rig))
    assert reason is Reason.PROXY_UNREACHABLE
    assert detail.startswith(f"the proxy {host}:1 cannot be reached (")


@pytest.mark.looptime
@pytest.mark.parametrize("url", URLS[:2], ids=SCHEMES[:2])
@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.2 pl4nted\r\n", b"\r\n" * 20])
async def test_something_else_where_the_proxy_should_be(rig: Rig, url: str, answer: bytes) -> None:
    """What is no proxy of that kind is said to be none, and what it says is not passed on."""

    async def client(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(client, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        rig.start(proxy=url.format(port))
        reason, detail = shown(await failed(rig))
        await rig.stop()

    kind = url.partition(":")[0].upper()
    assert reason is Reason.PROXY_FAILED
    assert detail.startswith(f"the proxy 127.0.0.1:{port} broke off, or answered with something that is not {kind} (")
    assert "pl4nted" not in detail


@pytest.mark.looptime
async def test_an_http_proxy_that_echoes_the_password(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A status line is the proxy's own text: its number is told, and nothing else of it."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        login = next(line for line in request.split(b"\r\n") if line.startswith(b"Proxy-Authorization: "))
        writer.write(b"HTTP/1.1 403 you sent " + login + b" pl4nted\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(client, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        rig.start(proxy=f"http://u:pl4nted@127.0.0.1:{port}")
        reason, detail = shown(await failed(rig))
        await rig.stop()

    assert (reason, detail) == (
        Reason.PROXY_FAILED,
        f"the proxy 127.0.0.1:{port} cannot reach Telegram (HTTP status 403 Forbidden)",
    )
    encoded = base64.b64encode(b"u:pl4nted").decode()
    assert [secret for secret in ("pl4nted", encoded) if secret in caplog.text] == []


# ------------------------------------------------------------------------------------ a connection that falls silent


@pytest.fixture
async def tunnel(rig: Rig) -> AsyncIterator[str]:
    """An HTTP proxy in the test's own loop, that opens every way and passes everything on: its URL."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        undelayed(writer)
        host, _, port = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode().rpartition(":")
        below, above = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, above), pump(below, writer))

    async with await asyncio.start_server(client, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await rig.stop()


@pytest.mark.looptime
async def test_what_a_proxy_does_not_tell_telegram_is_waited_for(rig: Rig, tunnel: str) -> None:
    """After silence the next attempt waits until Telegram has dropped what we left: the proxy may not have told it."""
    await rig.connected(proxy=tunnel)
    await rig.pinged()
    rig.dc.levers.black_hole = True
    await rig.until(State.WAITING)
    assert rig.now == 6  # the ping of the third second is not answered within three
    rig.dc.levers.black_hole = False
    await rig.until(State.CONNECTING)

    assert rig.now == 3 + 15 + 0.25  # 15 s after that ping, and half of the first backoff


@pytest.mark.looptime
async def test_a_new_proxy_does_not_shorten_that_wait(rig: Rig, tunnel: str) -> None:
    """A proxy that hangs is one that people replace: the same session is not dialled beside what may still be held."""
    rig.mount(rig.session, proxy=tunnel)
    await rig.connected(from_files=True)
    await rig.pinged()
    rig.dc.levers.black_hole = True
    await rig.until(State.WAITING)
    rig.dc.levers.black_hole = False
    rig.mount(rig.session)
    rig.manager.reload_credentials()
    await rig.manager.journal.until(lambda snapshot: "may hold the connection" in (snapshot.detail or ""))

    assert rig.now == 6
    assert rig.snapshot.reason is Reason.PING_TIMEOUT
    assert rig.snapshot.flood_until is None
    assert await rig.until(State.CONNECTED) == 3 + 15


# --------------------------------------------------------------------------------------------------------- MTProxy


@pytest.fixture
async def relay(rig: Rig) -> AsyncIterator[MTProxy]:
    """An MTProxy in the test's own loop."""
    async with MTProxy(rig.dc) as running:
        yield running
        await rig.stop()


SPELLINGS = [
    pytest.param(SECRET.hex(), INTERMEDIATE, id="plain"),
    pytest.param(SECRET.hex().upper(), INTERMEDIATE, id="capitals"),
    pytest.param("dd" + SECRET.hex(), PADDED, id="dd"),
    pytest.param(quote(base64.b64encode(SECRET).decode(), safe=""), INTERMEDIATE, id="base64"),
    pytest.param(base64.urlsafe_b64encode(b"\xdd" + SECRET).decode().rstrip("="), PADDED, id="url-safe-dd"),
]


@pytest.mark.looptime
@pytest.mark.parametrize(("secret", "mark"), SPELLINGS)
async def test_connected_through_an_mtproxy(rig: Rig, relay: MTProxy, secret: str, mark: bytes) -> None:
    """Every way of writing the secret leads to the same proxy, with the transport that it asks for, without delay."""
    await rig.connected(proxy=f"mtproxy://{secret}@127.0.0.1:{relay.port}")
    assert rig.now == 0
    await asyncio.sleep(149)

    assert rig.snapshot.state is State.CONNECTED
    assert relay.openings == [(mark, rig.dc.dc_id)]
    assert rig.pings == 50  # at 0, 3, ... 147 s
    assert rig.metric("telegram_watchdog_checks_total", result="ok") == 2


@pytest.mark.looptime
async def test_a_wrong_mtproxy_secret(rig: Rig, relay: MTProxy) -> None:
    """The proxy closes without a word: it is named, and the secret is not."""
    wrong = "5ec2e7" + SECRET.hex()[6:]
    rig.start(proxy=f"mtproxy://{wrong}@127.0.0.1:{relay.port}")

    assert shown(await failed(rig)) == (
        Reason.PROXY_FAILED,
        f"the proxy 127.0.0.1:{relay.port} closed the connection before anything came through it",
    )
    assert relay.openings == []


@pytest.mark.looptime
@pytest.mark.parametrize("secret", [SECRET.hex(), "dd" + SECRET.hex()], ids=["plain", "dd"])
@pytest.mark.parametrize(
    ("code", "reason"), [(404, Reason.UNKNOWN_KEY), (429, Reason.TRANSPORT_FLOOD)], ids=["-404", "-429"]
)
async def test_transport_errors_through_an_mtproxy(
    rig: Rig, relay: MTProxy, secret: str, code: int, reason: Reason
) -> None:
    """Telegram's errors below MTProto are understood, whatever their padding."""
    rig.dc.levers.transport_error = code
    rig.start(proxy=f"mtproxy://{secret}@127.0.0.1:{relay.port}")

    assert (await failed(rig)).error.reason is reason


@pytest.mark.looptime
@pytest.mark.parametrize("secret", [SECRET.hex(), "dd" + SECRET.hex()], ids=["plain", "dd"])
@pytest.mark.parametrize(
    ("bytes_", "reason"),
    [
        pytest.param(struct.pack("<i", -404), Reason.UNKNOWN_KEY, id="bare-404"),
        pytest.param(struct.pack("<i", -429), Reason.TRANSPORT_FLOOD, id="bare-429"),
        pytest.param(struct.pack("<i", LARGEST_PACKET + 1), Reason.PROTOCOL, id="too-long"),
        pytest.param(struct.pack("<i", 2**31 - 1), Reason.PROTOCOL, id="absurd"),
        pytest.param(struct.pack("<i", 24) + bytes([7] * 24), Reason.PROTOCOL, id="no-block"),
    ],
)
async def test_senseless_bytes_through_an_mtproxy(
    rig: Rig, relay: MTProxy, secret: str, bytes_: bytes, reason: Reason
) -> None:
    """The bounds of the wire hold: what is too long is not waited for, and errors that come alone are understood."""
    relay.tampered = bytes_
    rig.start(proxy=f"mtproxy://{secret}@127.0.0.1:{relay.port}")

    assert (await failed(rig)).error.reason is reason
    assert rig.now == 0


@pytest.mark.looptime
async def test_half_a_block_through_an_mtproxy(rig: Rig, relay: MTProxy) -> None:
    """A packet that is not whole blocks, but begins with the right key, never reaches the decryption."""
    key = rig.session.key_id.to_bytes(8, "little")
    relay.tampered = struct.pack("<i", 8 + 16 + 17) + key + bytes(33)
    rig.start(proxy=f"mtproxy://{SECRET.hex()}@127.0.0.1:{relay.port}")

    assert (await failed(rig)).error.reason is Reason.PROTOCOL


# ---------------------------------------------------------------------------------------------------- configuration


async def test_without_the_extra(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install, dials nothing, and does not dial around the proxy."""
    monkeypatch.setitem(sys.modules, "python_socks", None)
    rig.start(proxy="socks5://127.0.0.1:1080")
    await rig.until(State.UNCONFIGURED)

    assert rig.snapshot.detail == (
        "SIDECAR_PROXY needs what is not installed: pip install 'telethon-sidecar[proxy]', or unset it"
    )
    assert rig.snapshot.missing == ()
    assert rig.dc.accepted == 0


async def test_fake_tls_in_the_file(rig: Rig) -> None:
    """A proxy that Telethon cannot speak to is a fault of the configuration, told before anything is dialled."""
    rig.mount(rig.session, proxy=f"mtproxy://ee{SECRET.hex()}676f6f676c652e636f6d@127.0.0.1:1")
    rig.start(from_files=True)
    await rig.until(State.UNCONFIGURED)

    assert rig.snapshot.detail
    assert rig.snapshot.detail.startswith(
        f"SIDECAR_PROXY in {rig.secrets}/proxy is an mtproxy with a fake-TLS secret (ee…), which Telethon cannot "
        "speak: ask whoever runs the proxy for a plain or a dd secret; accepted: socks5://"
    )
    assert SECRET.hex() not in rig.snapshot.detail


H = SECRET.hex()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("socks5://h:1", Proxy(Scheme.SOCKS5, "h", 1)),
        ("SOCKS5://h:1/", Proxy(Scheme.SOCKS5, "h", 1)),
        ("socks5://u:p%40%2f%25@[::1]:1080", Proxy(Scheme.SOCKS5, "::1", 1080, "u", "p@/%")),
        ("http://us%C3%A9r:p:q@h:1", Proxy(Scheme.HTTP, "h", 1, "usér", "p:q")),
        ("http://u@h:1", Proxy(Scheme.HTTP, "h", 1, "u", "")),
        (f"mtproxy://{H}@[2001:db8::1]:443", Proxy(Scheme.MTPROXY, "2001:db8::1", 443, secret=SECRET)),
        (f"mtproxy://dd{H}@h:443", Proxy(Scheme.MTPROXY, "h", 443, secret=SECRET, padded=True)),
        ("mtproxy://" + "ee" * 16 + "@h:443", Proxy(Scheme.MTPROXY, "h", 443, secret=b"\xee" * 16)),
    ],
)
def test_what_a_url_says(url: str, expected: Proxy) -> None:
    """Percent-encoding is undone, brackets are taken off, and a secret is told by its length."""
    assert read_proxy(url) == expected


def test_an_address_is_shown_as_it_is_written() -> None:
    """An IPv6 host is shown in brackets; a repr has no password and no secret."""
    proxy = read_proxy("socks5://u:pl4nted@[::1]:1080")
    assert proxy.address == "[::1]:1080"
    assert "pl4nted" not in repr(proxy)
    assert repr(SECRET) not in repr(read_proxy(f"mtproxy://{H}@h:1"))


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("socks5://u:pa/ss@h:1", "not a URL"),
        ("socks5://u:1/x@h:1", "a URL that goes on after the port"),
        ("socks5://u:1#x@h:1", "a URL that goes on after the port"),
        ("socks5://u@h:1", "a proxy's URL with a user or a password, and not both"),
        ("http://:p@h:1", "a proxy's URL with a user or a password, and not both"),
        ("http://u%3Av:p@h:1", "an HTTP proxy's URL with a colon in the user's name"),
        ("http://u:%E2%82%AC@h:1", "an HTTP proxy's URL with a user or password that is not Latin-1"),
        ("socks5://u:%C3%A9@h:1", "a SOCKS5 proxy's URL with a user or password that is not ASCII"),
        (f"socks5://u:{'p' * 256}@h:1", "a SOCKS5 proxy's URL with a user or password that is not ASCII, or too long"),
        ("mtproxy://h:1", "an mtproxy without its secret"),
        (f"mtproxy://{H}:x@h:1", "an mtproxy with a password"),
        (f"mtproxy://{H[2:]}@h:1", "an mtproxy with a secret that is not 16 bytes"),
        (f"mtproxy://aa{H}@h:1", "an mtproxy with a secret that is not 16 bytes"),
        ("mtproxy://!!!@h:1", "an mtproxy with a secret that is not 16 bytes"),
        ("mtproxy://a@h:1", "an mtproxy with a secret that is not 16 bytes"),
        (f"mtproxy://ee{H}00@h:1", "an mtproxy with a fake-TLS secret"),
        ("mtproxy://7gEjRWeJq83vASNFZ4mrze9nb29nbGUuY29t@h:1", "an mtproxy with a fake-TLS secret"),
    ],
)
def test_a_url_that_cannot_be_used(url: str, wrong: str) -> None:
    """Each fault is named in fixed words, which repeat nothing of the URL."""
    with pytest.raises(ValueError, match="^" + wrong.replace("(", r"\(")) as raised:
        read_proxy(url)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


async def test_every_proxied_state_keeps_the_keeper_live(rig: Rig, nobody: int) -> None:
    """A proxy that is away is no reason to restart: degraded, live, and the reason is told."""
    rig.start(proxy=f"socks5://127.0.0.1:{nobody}", **QUICK)
    await failed(rig)
    now = asyncio.get_running_loop().time()

    assert health.live(rig.snapshot, now).ok
    assert health.overall(rig.snapshot, now) is health.Health.DEGRADED
    assert rig.of(PingAnswered) == []
