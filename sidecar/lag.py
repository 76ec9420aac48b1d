"""How late the event loop runs what is due: the explanation of many a false alarm."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Never

SAMPLE_SECONDS = 1.0
"""Seconds between two samples; often enough to see a stall that could cost a ping, rare enough to cost nothing."""


async def measure_lag(observe: Callable[[float], None]) -> Never:
    """Sleep for a known time, for ever, and tell by how many seconds each sleep was too long."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + SAMPLE_SECONDS
        await asyncio.sleep(SAMPLE_SECONDS)
        observe(max(0.0, clock() - due))
