"""Processes: started so that they end with the benchmark, and what one of them costs, as psutil reads it."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

ROOT = Path(__file__).parent.parent
LONGEST_LINE = 16 << 20
"""Bytes of a line that a process may print: records are one line."""


def clean_environment() -> dict[str, str]:
    """Return what every process is given: nothing of the caller's shell, for there may be a real session in it."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}


@asynccontextmanager
async def running(
    words: Sequence[str], *, environment: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process whose output is read, for as long as the context lasts; then it is ended.

    It has a process group of its own: a Ctrl-C is for the benchmark, which then ends what it started.

    Args:
        words: the command.
        environment: beside `clean_environment`.
        options: for `create_subprocess_exec`.
    """
    process = await asyncio.create_subprocess_exec(
        *words,
        env=clean_environment() | dict(environment or {}),
        stdout=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
        process_group=0,
        **options,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def output(words: Sequence[str], **options: Any) -> str:
    """Run a process to its end, and return what it printed.

    Raises:
        RuntimeError: it failed.
    """
    async with running(words, **options) as process:
        printed, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{' '.join(words)} ended with code {process.returncode}: {printed.decode()[-500:]}")
        return printed.decode()


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, user and system; Linux counts it in steps of 10 ms."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def resident_bytes(pid: int) -> int:
    """Return the memory that a process holds, shared libraries included."""
    return int(psutil.Process(pid).memory_info().rss)


def own_bytes(pid: int) -> int:
    """Return the memory that a process holds and shares with none: what one more of it costs."""
    return int(psutil.Process(pid).memory_full_info().uss)
