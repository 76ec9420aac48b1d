"""A data centre, real Telethon clients and hand-made ones to talk to it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from telethon import TelegramClient
from telethon.sessions import StringSession

from sidecar.simulator import DataCentre, Session
from sidecar.simulator.login import Bot, LogIn, Person, RsaKey

from .raw import RawClient
from .trust import newcomer, trusting

Dial = Callable[[Session], Awaitable[Any]]
Raw = Callable[[Session], Awaitable[RawClient]]
Arrive = Callable[..., Awaitable[Any]]


@pytest.fixture
async def dc() -> AsyncIterator[DataCentre]:
    """A data centre in good order; seeded, so that a failing test fails again."""
    async with DataCentre(rng=random.Random(1)) as entered:  # noqa: S311 - it guards nothing
        yield entered


@pytest.fixture
def session(dc: DataCentre) -> Session:
    """A user who is logged in."""
    return dc.create_session()


@pytest.fixture
async def client() -> AsyncIterator[Callable[[Session], Any]]:
    """Makes Telethon clients as the daemon does: all retrying switched off. They are closed at the end."""
    made = []

    def make(session: Session) -> Any:
        telethon = TelegramClient(
            StringSession(session.string),
            api_id=1,
            api_hash="0" * 32,
            auto_reconnect=False,
            connection_retries=0,
            retry_delay=0,
            request_retries=0,
            raise_last_call_error=True,
            flood_sleep_threshold=0,
            receive_updates=False,
            timeout=10,
            device_model="test",
            system_version="1",
            app_version="1",
        )
        made.append(telethon)
        return telethon

    yield make
    for telethon in made:
        await telethon.disconnect()
        await asyncio.gather(telethon.disconnected, return_exceptions=True)


@pytest.fixture
def dial(client: Callable[[Session], Any]) -> Dial:
    """Connects a Telethon client."""

    async def connect(session: Session) -> Any:
        telethon = client(session)
        await telethon.connect()
        return telethon

    return connect


@pytest.fixture
async def raw(dc: DataCentre) -> AsyncIterator[Raw]:
    """Opens hand-made connections. They are closed at the end."""
    opened = []

    async def connect(session: Session) -> RawClient:
        reader, writer = await asyncio.open_connection(dc.host, dc.port)
        one = RawClient(session, reader, writer)
        opened.append(one)
        return one

    yield connect
    for one in opened:
        await one.close()


@pytest.fixture
async def settle() -> Callable[[], Awaitable[None]]:
    """Lets the loop come around often enough for everything sent over loopback to be handled."""

    async def turn() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    return turn


@pytest.fixture(scope="session")
def rsa_key() -> RsaKey:
    """The RSA key of every data centre that can be logged in to: making one takes a second."""
    return RsaKey.generate()


@pytest.fixture
def login(dc: DataCentre, rsa_key: RsaKey) -> Iterator[LogIn]:
    """Makes `dc` one that can be logged in to, and that Telethon trusts."""
    people = [
        Person(phone="15550101", code="24680", user_id=11, username="plain"),
        Person(
            phone="15550102", code="13579", user_id=12, username="careful", password="correct horse", hint="a horse"
        ),
        Person(phone="15550103", banned=True),
    ]
    bots = [Bot(token="21:good", username="good_bot"), Bot(token="22:old", expired=True)]
    # Both are shorter than the 30 s by which a client lets the server's clock be ahead of its own.
    desk = LogIn(dc, people=people, bots=bots, key=rsa_key, code_seconds=20, token_seconds=10)
    with trusting(desk.pem):
        yield desk


@pytest.fixture
async def arrive(dc: DataCentre) -> AsyncIterator[Arrive]:
    """Connects Telethon clients that have no key yet. They are closed at the end."""
    made = []

    async def connect(**options: Any) -> Any:
        telethon = newcomer(dc, **options)
        made.append(telethon)
        await telethon.connect()
        return telethon

    yield connect
    for telethon in made:
        await telethon.disconnect()
        await asyncio.gather(telethon.disconnected, return_exceptions=True)
