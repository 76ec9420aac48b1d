"""Things side by side, and what becomes of a cancellation among them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sidecar.race import background, first_failure

Work = Callable[[], Coroutine[Any, Any, Any]]


async def for_ever() -> None:
    """Have no reason to return."""
    await asyncio.Event().wait()


async def fail(error: BaseException, after: float = 0.0) -> None:
    """Raise an exception after so many seconds."""
    await asyncio.sleep(after)
    raise error


async def cancel_myself() -> None:
    """End as cancelled, though nobody asked for it."""
    raise asyncio.CancelledError


async def return_at_once() -> None:
    """Return, without a reason to."""


# ------------------------------------------------------------------------------------------------- first_failure


@pytest.mark.looptime
async def test_the_first_failure_is_returned() -> None:
    """The exception of whichever fails first is returned, at the moment when it fails."""
    sooner, later = ValueError("sooner"), ValueError("later")
    assert await first_failure(fail(later, 2), for_ever(), fail(sooner, 1)) is sooner
    assert asyncio.get_running_loop().time() == 1.0


async def test_of_failures_at_once_the_first_named_wins() -> None:
    """If several fail in the same moment, the order of naming decides, not that of failing."""
    first, second = ValueError("first"), ValueError("second")
    assert await first_failure(for_ever(), fail(first), fail(second)) is first
    assert await first_failure(fail(second), fail(first)) is second


@pytest.mark.parametrize(
    ("work", "words"),
    [
        pytest.param(return_at_once, "return_at_once returned, though it has no reason to", id="returned"),
        pytest.param(cancel_myself, "cancel_myself was cancelled, and not by its owner", id="cancelled"),
    ],
)
async def test_an_end_without_an_exception_is_a_failure(work: Work, words: str) -> None:
    """One that returns, or is cancelled by somebody else, has failed too, and is named."""
    error = await first_failure(for_ever(), work())
    assert isinstance(error, RuntimeError)
    assert str(error) == words


async def test_the_others_are_gone_when_the_failure_is_returned() -> None:
    """When first_failure returns, nothing that it started still runs."""
    before = asyncio.all_tasks()
    await first_failure(for_ever(), fail(ValueError()), for_ever())
    assert asyncio.all_tasks() == before


async def test_what_is_no_exception_is_raised() -> None:
    """What must end the process passes through instead of being returned."""

    class EndOfProcess(BaseException):
        """Neither KeyboardInterrupt nor SystemExit: those would end the event loop of the test."""

    with pytest.raises(EndOfProcess):
        await first_failure(for_ever(), fail(EndOfProcess()))


# --------------------------------------------------------------------------- a cancellation from outside is never lost


@pytest.mark.parametrize("failure_first", [True, False], ids=["failure-then-cancel", "cancel-then-failure"])
@pytest.mark.parametrize("turns", range(4))
async def test_a_cancellation_beside_a_failure_is_not_lost(turns: int, failure_first: bool) -> None:
    """A cancellation that meets a failure from inside, in any order and within a few turns, ends the task cancelled."""
    trigger = asyncio.Event()

    async def fails() -> None:
        await trigger.wait()
        raise ValueError("from inside")

    outer = asyncio.create_task(first_failure(fails(), for_ever()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    deeds: list[Callable[[], object]] = [trigger.set, outer.cancel]
    first, second = deeds if failure_first else reversed(deeds)
    first()
    for _ in range(turns if not failure_first else min(turns, 1)):
        await asyncio.sleep(0)
    second()
    await asyncio.wait([outer])
    assert outer.cancelled()


async def test_a_cancellation_during_the_clearing_up_is_not_lost() -> None:
    """A cancellation that comes while the others are being ended, after a failure, ends the task cancelled."""
    clearing = asyncio.Event()

    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            clearing.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    outer = asyncio.create_task(first_failure(fail(ValueError()), slow_to_end()))
    await clearing.wait()
    outer.cancel()
    await asyncio.wait([outer])
    assert outer.cancelled()
    assert len(asyncio.all_tasks()) <= 2  # this test, and the slow one at its last step


# ---------------------------------------------------------------------------------------------------- background


@pytest.mark.looptime
async def test_background_runs_for_the_time_of_the_block() -> None:
    """The works run beside the block; when it is left they are cancelled, and gone."""
    ended: list[float] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)
            ended.append(asyncio.get_running_loop().time())

    async with background(work()) as (task,):
        await asyncio.sleep(2)
        assert not task.done()
    assert task.cancelled()
    assert ended == [3.0]


async def test_background_keeps_failures_to_itself() -> None:
    """What a work raises disturbs neither the block nor its end; it stays in the task for whoever looks."""
    error = ValueError("inside")
    async with background(fail(error), return_at_once()) as (failing, returning):
        await asyncio.wait([failing, returning])
    assert failing.exception() is error
    assert returning.result() is None


async def test_background_lets_the_blocks_own_error_out() -> None:
    """An error of the block itself passes through, after the works are gone."""
    with pytest.raises(KeyError):
        async with background(for_ever()) as (task,):
            raise KeyError
    assert task.cancelled()


async def test_tasks_are_named_for_their_work() -> None:
    """Every task has the name of its coroutine, so that a dump of tasks can be read."""
    async with background(for_ever()) as (task,):
        assert task.get_name() == "for_ever"
