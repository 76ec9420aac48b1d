"""Two ways of running things side by side that never lose a cancellation.

`asyncio.TaskGroup` (before Python 3.13) forgets a cancellation from outside that arrives together with a failure from
inside, and `asyncio.wait_for` (before 3.12) one that arrives together with the result. A SIGTERM must not be forgotten,
so neither is used where the keeper may be cancelled.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine


def asked_to_stop() -> bool:
    """Tell whether anybody cancelled the running task: Telethon cancels what awaits a connection that it drops."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


@asynccontextmanager
async def background(*works: Coroutine[Any, Any, Any]) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Run coroutines beside the block; when it is left, cancel them and wait until they are gone.

    What they raise stays in their tasks: whoever opens the block looks there.
    """
    tasks = [asyncio.create_task(work, name=getattr(work, "__qualname__", None)) for work in works]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        # A second cancellation may cut this wait short; the first has reached the tasks by then.
        await asyncio.wait(tasks)
        for task in tasks:
            look_at(task)


async def outcome(answer: asyncio.Future[Any]) -> Any:
    """Return the outcome of a future that is Telethon's, and leave it alone if the wait is cancelled.

    Not every place in Telethon looks whether a future was cancelled before it puts an outcome there. Where it does not,
    what came in the same packet is lost with it.
    """
    answer.add_done_callback(look_at)
    await asyncio.wait({answer})
    return answer.result()


def look_at(future: asyncio.Future[Any]) -> None:
    """Look at an outcome that nobody may ask for any more, or asyncio complains that nobody did."""
    if not future.cancelled():
        future.exception()


async def first_failure(*works: Coroutine[Any, Any, Any]) -> Exception:
    """Run coroutines that have no reason to return until one of them fails; return its exception.

    If several fail at once, the one that was named first wins. One that returns or is cancelled by anybody but us has
    failed too, with a `RuntimeError`.
    """
    async with background(*works) as tasks:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        failed = min(done, key=tasks.index)
    if failed.cancelled():
        return RuntimeError(f"{failed.get_name()} was cancelled, and not by its owner")
    error = failed.exception()
    if error is None:
        return RuntimeError(f"{failed.get_name()} returned, though it has no reason to")
    if not isinstance(error, Exception):
        raise error
    return error
