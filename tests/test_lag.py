"""The measure of how late the event loop is."""

import asyncio
from typing import cast

import pytest
from looptime import LoopTimeEventLoop

from sidecar.lag import SAMPLE_SECONDS, measure_lag
from sidecar.race import background


@pytest.mark.looptime
async def test_a_loop_in_time_has_no_lag() -> None:
    """A sample is taken every second, and an idle loop is late by nothing."""
    samples: list[float] = []
    async with background(measure_lag(samples.append)):
        await asyncio.sleep(3.5 * SAMPLE_SECONDS)
    assert samples == [0.0, 0.0, 0.0]


@pytest.mark.looptime
async def test_a_stall_is_one_late_sample() -> None:
    """A loop that stands still from 0.5 s to 3 s gives one sample of 2 s, and is in time again afterwards."""
    samples: list[float] = []
    loop = cast("LoopTimeEventLoop", asyncio.get_running_loop())
    loop.call_later(0.5, lambda: loop.setup_looptime(start=3.0))
    async with background(measure_lag(samples.append)):
        await asyncio.sleep(4.5)
    assert samples == [2.0, 0.0]
