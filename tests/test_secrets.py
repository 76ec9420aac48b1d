"""Discretion: whatever goes wrong, and whoever complains, no secret leaves the process.

Each run plants secrets, wires the daemon's parts as `app` does, lets random faults happen in fake time, and then looks
for every secret, in every form that it can take, in all that
left: the log, the metrics, the ops answers, and the reprs.
"""

from __future__ import annotations

import asyncio
import gc
import html
import io
import json
import logging
import string
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.aiohttp import make_aiohttp_handler
from pydantic import SecretStr
from telethon import errors, functions

from sidecar import health
from sidecar.clock import as_time
from sidecar.http.ops import ops_app
from sidecar.http.server import listen
from sidecar.log import logger, set_up
from sidecar.manager import TelegramClientManager, TelegramUnavailableError
from sidecar.metrics import Metrics
from sidecar.race import background
from sidecar.redact import Redactor
from sidecar.settings import Settings
from sidecar.simulator import DataCentre
from sidecar.simulator.secret import MountedSecret
from sidecar.state import State
from tests.fake_time import in_fake_time

if TYPE_CHECKING:
    from sidecar.state import Event, Snapshot

UNKNOWN = 0xDEADBEEF

awkward = st.text(string.ascii_letters + string.digits + "\"'\\%é€ß&<{", min_size=12, max_size=40).filter(
    lambda text: text.strip() == text and len(set(text)) > 4
)
hexadecimal = st.text("0123456789abcdef", min_size=32, max_size=32).filter(lambda text: len(set(text)) > 6)
phones = st.from_regex(r"49151[0-9]{8}", fullmatch=True)
FAULTS = (
    "FIN",
    "garbage",
    "unknown constructor",
    "401",
    "420",
    "500",
    "quoting error",
    "borrower",
    "forgotten task",
    "forgotten future",
    "unexpected",
    "proxy",
    "malformed",
    "warning",
)


@contextmanager
def logged(kind: str, redactor: Redactor) -> Iterator[io.StringIO]:
    """Set the log of the process up as the daemon does; afterwards all is as it was."""
    root, theirs = logging.getLogger(), logging.getLogger("telethon")
    before = root.handlers[:], root.level, theirs.level
    stream = io.StringIO()
    set_up(Settings(log_level="debug", log_format=kind), redactor, stream)
    theirs.setLevel(logging.NOTSET)
    try:
        yield stream
    finally:
        logging.captureWarnings(capture=False)
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        theirs.setLevel(before[2])


def forms(secret: str) -> set[str]:
    """Give the forms that a secret can take on its way out."""
    bare = {secret, repr(secret)[1:-1], html.escape(secret), quote(secret)}
    return {
        form for text in bare for form in (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    }


def outlets(manager: TelegramClientManager, registry: CollectorRegistry, settings: Settings) -> Iterator[str]:
    """Give every text about the keeper that somebody may see, the log aside."""
    now, snapshot = asyncio.get_running_loop().time(), manager.journal.snapshot
    yield generate_latest(registry).decode()
    yield json.dumps(health.report(snapshot, now, environment="test", as_time=as_time), default=str)
    yield health.explain(snapshot, now)
    for question in (health.live, health.ready, health.started):
        yield question(snapshot, now).why
    for thing in (
        settings,
        manager,
        manager.journal,
        snapshot,
        manager._supervisor,
        manager._supervisor.link,
        manager._source,
        manager._source.current,
    ):
        yield repr(thing)
        yield str(thing)


class Victim:
    """The daemon's parts, with planted secrets, and what befalls them."""

    def __init__(self, dc: DataCentre, redactor: Redactor, secrets: dict[str, str], directory: Path) -> None:
        self.dc = dc
        self.secrets = secrets
        self.session = dc.create_session(phone=secrets["phone"])
        secrets["session"] = self.session.string
        self.mount = MountedSecret(directory)
        self.said: list[str] = []
        self.registry = CollectorRegistry()
        self.swap(proxy=self._proxy)  # read, hence known, before it is taken away again
        self.settings = Settings(
            secrets_dir=directory, api_token=SecretStr(secrets["token"]), session_string=SecretStr(secrets["session"])
        )

        def remember(event: Event, snapshot: Snapshot) -> None:
            if snapshot.identity and snapshot.identity.phone:
                redactor.learn([snapshot.identity.phone])
            self.said += [repr(event), repr(snapshot), str(event)]
            if error := getattr(event, "error", None):
                self.said += [repr(error), str(error), error.detail]

        self.manager = TelegramClientManager(
            self.settings,
            observers=[remember, Metrics(self.registry, program_version="1", clock=asyncio.get_running_loop().time)],
            learn_secrets=redactor.learn,
            random=lambda: 0.5,
        )
        self.swap()

    @property
    def _proxy(self) -> str:
        return f"socks5://user:{quote(self.secrets['password'], safe='')}@127.0.0.1:1080"

    def swap(self, **files: str) -> None:
        """Put a state of the mounted Secret in place."""
        self.mount.swap(**{"api_id": "1", "api_hash": self.secrets["hash"]} | files)

    async def connected(self) -> Any:
        """Wait for a connection, and lend the client."""
        await self.manager.journal.until(lambda snapshot: snapshot.state is State.CONNECTED)
        return await self.manager.get_client()

    async def suffer(self, fault: str) -> None:  # noqa: PLR0915 - one arm a fault
        """Let something happen in which secrets play a part."""
        phone, everything = self.secrets["phone"], " ".join(self.secrets.values())
        match fault:
            case "FIN":
                self.dc.close_all()
            case "garbage":
                self.dc.send_all(everything.encode())
            case "unknown constructor":
                body = struct.pack("<I", UNKNOWN) + phone.encode() + bytes(-len(phone) % 4)
                self.dc.answer_raw("users.getUsers", body)
                await asyncio.sleep(70)
            case "401":
                self.session.revoke()
                await asyncio.sleep(70)
                self.session.restore()
            case "420" | "500":
                self.dc.fail(
                    "users.getUsers", code=int(fault), message="FLOOD_WAIT_3" if fault == "420" else "INTERNAL"
                )
                await asyncio.sleep(70)
            case "quoting error":
                self.dc.fail("users.getUsers", code=400, message=f"PHONE_{phone}_INVALID")
                await asyncio.sleep(70)
            case "borrower":
                await self._borrow(ValueError(everything))
                await self._borrow(errors.TypeNotFoundError(UNKNOWN, phone.encode()))
            case "forgotten task":
                await self._forget(ValueError(everything))
                await self._forget(errors.TypeNotFoundError(UNKNOWN, everything.encode()))
                await self._forget(errors.RPCError(None, everything, 400))
            case "forgotten future":
                future = asyncio.get_running_loop().create_future()
                future.set_exception(errors.TypeNotFoundError(UNKNOWN, everything.encode()))
                del future
            case "unexpected":
                try:
                    held = dict(self.secrets)
                    raise KeyError(everything, held)  # noqa: TRY301
                except KeyError:
                    logger().exception("unexpected", given=self.secrets)
                    logging.getLogger("aiohttp.server").exception("unexpected %r", self.secrets)
            case "proxy":
                self.swap(proxy=self._proxy)
                await asyncio.sleep(10)
                self.swap()
            case "malformed":
                self.swap(
                    proxy=f"{self.secrets['password']}://{self.secrets['password']}@", api_id=self.secrets["token"]
                )
                await asyncio.sleep(10)
                self.swap()
            case _:
                logging.getLogger("py.warnings").warning("%s", everything)
        await asyncio.sleep(5)
        gc.collect()

    async def _borrow(self, error: Exception) -> None:
        try:
            async with self.manager.client(timeout=200):
                raise error
        except (type(error), TelegramUnavailableError) as raised:
            logging.getLogger("app").error("it failed", exc_info=raised)  # noqa: TRY400 - the caller chose

    async def _forget(self, error: Exception) -> None:
        async def fail() -> None:
            raise error

        task = asyncio.create_task(fail(), name="forgotten")
        await asyncio.wait([task])
        del task


PATHS = ("/", "/livez", "/readyz", "/startupz", "/healthz", "/metrics", "/nothing")


@asynccontextmanager
async def served(victim: Victim) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """Serve the ops listener, and give a way to fetch everything it answers."""
    app = ops_app(
        victim.manager.journal, metrics=make_aiohttp_handler(victim.registry), environment="test", version="1.2.3"
    )
    bound: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def fetch() -> str:
        port, answers = int(bound.result().rpartition(":")[2]), []
        for path in PATHS:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answers.append((await reader.read()).decode())
            writer.close()
        assert all(answer.startswith("HTTP/1.1 ") for answer in answers)
        return "\n".join(answers)

    async with background(listen(app, "127.0.0.1", 0, bound=bound.set_result)):
        await bound
        yield fetch


def run(secrets: dict[str, str], faults: list[str], kind: str) -> tuple[str, str]:
    """Let the faults happen, and return the log, and all else that left the process."""
    redactor = Redactor()

    async def main(directory: Path) -> list[str]:
        async with DataCentre() as dc:
            victim = Victim(dc, redactor, secrets, directory)
            said: list[str] = []
            async with victim.manager, served(victim) as fetch:
                client = await victim.connected()
                logging.getLogger("telethon.x").debug("%s", await client(functions.help.GetConfigRequest()))
                for fault in faults:
                    await victim.suffer(fault)
                    said += [*outlets(victim.manager, victim.registry, victim.settings), await fetch()]
            said += outlets(victim.manager, victim.registry, victim.settings)
            return said + victim.said

    with logged(kind, redactor) as stream, tempfile.TemporaryDirectory() as directory:
        said = in_fake_time(lambda: main(Path(directory) / "secrets"))
        gc.collect()
        return stream.getvalue(), "\n".join(said)


def check(secrets: dict[str, str], faults: list[str], kind: str) -> None:
    """Let the faults happen, and look for the secrets; `secrets` learns the session string."""
    log, said = run(secrets, faults, kind)

    assert "telegram_connected" in log
    assert 'telegram_connection_state="connected"' in said
    for name, secret in secrets.items():
        for form in forms(secret):
            for left in (log, said):
                assert form not in left, f"{name} as {form!r} in ...{left[max(0, left.index(form) - 300) :][:700]}"


@pytest.mark.parametrize("kind", ["json", "console"])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_lets_a_secret_out(fault: str, kind: str) -> None:
    """Each by itself, so that none is left out by chance."""
    check(
        {"hash": "0badcafe" * 4, "token": 'a"token\\of%é', "phone": "4915112345678", "password": "p&ss<w{rd"},
        [fault],
        kind,
    )


@pytest.mark.slow
@budget(max_examples=10, suppress_health_check=[HealthCheck.too_slow], derandomize=True, deadline=None)
@given(
    api_hash=hexadecimal,
    token=awkward,
    phone=phones,
    password=awkward,
    faults=st.lists(st.sampled_from(FAULTS), min_size=2, max_size=5, unique=True),
    kind=st.sampled_from(["json", "console"]),
)
def test_no_secret_leaves_the_process(  # noqa: PLR0917 - Hypothesis fills them in
    api_hash: str, token: str, phone: str, password: str, faults: list[str], kind: str
) -> None:
    """Session string, api_hash, token, phone and proxy password are in no line, metric, answer, traceback or repr."""
    check({"hash": api_hash, "token": token, "phone": phone, "password": password}, faults, kind)
