"""What all tests share: a clean environment, a data centre, and a keeper that is wired as in production."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import TYPE_CHECKING

import hypothesis
import pytest

from sidecar.settings import CREDENTIAL_NAMES, PREFIX
from sidecar.simulator import DataCentre
from tests.rig import Rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator
    from pathlib import Path


# No deadline, for machines are shared; no database, for a checkout may be read-only.
hypothesis.settings.register_profile("project", deadline=None, database=None)
hypothesis.settings.load_profile("project")


def pytest_collection_finish() -> None:
    """Take what was imported out of the garbage collector's sight.

    Each test of the keeper runs it, and a heap full of modules would cost a good part of a second every time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def default_event_loop() -> Iterator[None]:
    """Give the thread an event loop of its own: looptime asks for one in every test, and nobody would close it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the settings of the developer's own shell and working directory out of every test."""
    for name in list(os.environ):
        if name.startswith(PREFIX) or name in {*CREDENTIAL_NAMES, "CHANNEL_URL", "ENVIRONMENT", "NOTIFY_SOCKET"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Stop the rig while the test's own time still runs: fixtures end in real time, where every fake timer is due."""
    try:
        return (yield)
    finally:
        rig = pyfuncitem.funcargs.get("rig")
        if isinstance(rig, Rig) and rig.loop:
            rig.loop.run_until_complete(_settle(rig))


async def _settle(rig: Rig) -> None:
    await rig.stop()
    await asyncio.sleep(0.1)  # for the data centre to read the last of the connection, and its end


@pytest.fixture
async def dc() -> AsyncIterator[DataCentre]:
    """A data centre on loopback; after the test it has seen no broken rule and no leaked connection."""
    async with DataCentre() as centre:
        yield centre
        assert centre.violations == []
        assert [session.worst_overlap for session in centre.sessions.values()] == [0] * len(centre.sessions)


@pytest.fixture
async def rig(dc: DataCentre, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Rig]:
    """A keeper that is not running yet, with a session in `dc`.

    After the test it is stopped (see above), and has left no connection, no task and no outcome unlooked at.
    """
    yield Rig(dc, tmp_path / "secrets")
    gc.collect()
    assert [record.getMessage() for record in caplog.get_records("call") if record.name == "asyncio"] == []
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
    assert dc.live == 0
    assert [task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}] == []
