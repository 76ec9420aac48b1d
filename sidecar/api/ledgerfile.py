"""The ledger in `SIDECAR_STATE_DIR`: a small SQLite database, which is what makes each entry whole or absent.

It holds digests, ids and times; no text, no key, no secret. SQLite blocks, so all of it happens in one thread of its
own, and never in the event loop that pings Telegram. Entries survive the end of the process, however it ends
(`synchronous=NORMAL` in WAL mode; only a machine that loses power may lose the last ones, which docs/api.md accounts
for). A file that cannot be used is reported and done without.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sidecar.api.ledger import MOST, Entry
from sidecar.messages import Sent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import structlog

FILE_NAME = "sent.sqlite3"
_VERSION = 1
_SURPLUS = 1000
"""Entries over `MOST` that may gather before the oldest are deleted."""

_REMEDY = "Mount an emptyDir that the user of this process may write to; delete the file if it is not ours."

_TABLE = """
CREATE TABLE IF NOT EXISTS sent (
    name TEXT PRIMARY KEY, body TEXT NOT NULL, first_try REAL NOT NULL,
    id INTEGER, chat_id INTEGER, date REAL, link TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_age ON sent (first_try);
"""


class LedgerFile:
    """Keeps the ledger's entries in a file; a context, that closes it."""

    def __init__(self, directory: Path, log: structlog.stdlib.BoundLogger) -> None:
        self._path = directory / FILE_NAME
        self._log = log
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._database: sqlite3.Connection | None = None
        self._told = False
        self._writes = 0

    def load(self, *, since: float, most: int) -> list[Entry]:
        """Open the file, and return the newest entries in it, the oldest of them first."""
        entries: list[Entry] = []
        self._thread.submit(self._open, since, most, entries).result()
        return entries

    async def save(self, entry: Entry) -> None:
        """Keep an entry in place of the one of that name; return when it is written."""
        sent = entry.answer
        answer = (sent.id, sent.chat_id, sent.date.timestamp(), sent.link) if sent else (None, None, None, None)
        row = (entry.name, entry.body, entry.first_try, *answer)
        await self._run(lambda database: self._write(database, row))

    async def drop(self, name: str) -> None:
        """Keep an entry no longer."""
        await self._run(lambda database: database.execute("DELETE FROM sent WHERE name = ?", (name,)))

    def close(self) -> None:
        """Write what is still to be written, and close the file."""
        if self._database:
            self._thread.submit(self._database.close)
        self._thread.shutdown()

    # -------------------------------------------------------------------------------------------- inside the thread

    def _open(self, since: float, most: int, entries: list[Entry]) -> None:
        with self._complaining():
            database = sqlite3.connect(self._path, isolation_level=None, timeout=1.0, check_same_thread=False)
            try:
                _check(database)
                self._path.chmod(0o600)  # before there is a log beside it, which gets the same mode
                database.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; {_TABLE}")
                database.execute(f"PRAGMA user_version={_VERSION}")
                database.execute("DELETE FROM sent WHERE first_try <= ?", (since,))
                newest = database.execute("SELECT * FROM sent ORDER BY first_try DESC LIMIT ?", (most,)).fetchall()
                entries += [_entry(row) for row in reversed(newest)]
            except BaseException:
                database.close()
                raise
            self._database = database

    def _write(self, database: sqlite3.Connection, row: tuple[Any, ...]) -> None:
        database.execute("INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        self._writes += 1
        if self._writes % _SURPLUS == 0:
            database.execute(
                "DELETE FROM sent WHERE name IN (SELECT name FROM sent ORDER BY first_try DESC LIMIT -1 OFFSET ?)",
                (MOST,),
            )

    async def _run(self, work: Callable[[sqlite3.Connection], object]) -> None:
        def inside() -> None:
            if self._database:
                with self._complaining():
                    work(self._database)

        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, inside))

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, TypeError, ValueError, OverflowError) as error:
            if not self._told:
                self._told = True
                told = f"{type(error).__name__}: {error}" if isinstance(error, sqlite3.Error) else type(error).__name__
                self._log.error("state_not_saved", file=str(self._path), error=told, remedy=_REMEDY)


def _check(database: sqlite3.Connection) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version not in {0, _VERSION}:
        raise sqlite3.DatabaseError("a file of another version")


def _entry(row: tuple[Any, ...]) -> Entry:
    name, body, first_try, id_, chat_id, date, link = row
    answer = None if id_ is None else Sent(id_, chat_id, datetime.fromtimestamp(date, UTC), link)
    if len(bytes.fromhex(name)) != _NAME_BYTES:
        raise ValueError("a name that is none of ours")
    return Entry(name, body, first_try, answer)


_NAME_BYTES = 32
