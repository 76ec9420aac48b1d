"""The demo's scenario, played in fake time against the keeper: what it announces is what happens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sidecar.race import background
from sidecar.settings import DEMO_PACE
from sidecar.simulator import Step, play
from sidecar.simulator.demo import Demo
from sidecar.simulator.secret import MountedSecret
from sidecar.state import Connected, ConnectionLost, FloodWaited, SessionRefused, State
from tests.rig import Rig

if TYPE_CHECKING:
    from sidecar.simulator import DataCentre

pytestmark = pytest.mark.looptime


async def test_the_scenario_shows_what_it_announces(rig: Rig, dc: DataCentre) -> None:
    """In one round: closed, black hole, flood wait, outage, revoked, replaced; and it ends connected, as it began."""
    steps = Demo(dc, MountedSecret(rig.secrets)).steps()
    announced: list[Step] = []
    rig.start(from_files=True, **{name: value for name, value in DEMO_PACE.items() if name != "log_format"})
    await rig.until(State.CONNECTED)
    await asyncio.sleep(0.5)  # or Telethon's own ping, once a minute, falls on the very instant of a fault
    async with background(play(steps, dc, announced.append, forever=True)):
        await asyncio.sleep(sum(step.seconds for step in steps) - 1)

        assert announced == steps
        assert rig.snapshot.state is State.CONNECTED
        lost = [event.error.reason for _, event in rig.of(ConnectionLost) if isinstance(event, ConnectionLost)]
        assert lost == ["closed", "ping_timeout", "reset"]
        back = [event.after for _, event in rig.of(Connected) if isinstance(event, Connected)]
        assert back == [None, "closed", "ping_timeout", "reset", "revoked"]
        assert len(rig.of(FloodWaited)) == 1
        assert len(rig.of(SessionRefused)) == 1

        await asyncio.sleep(2)
        assert announced == [*steps, steps[0]]


def test_the_introduction_of_a_step_says_what_to_see(dc: DataCentre, rig: Rig) -> None:
    """Every step has a name of its own and a sentence for the person who watches."""
    steps = Demo(dc, MountedSecret(rig.secrets)).steps()

    assert len({step.name for step in steps}) == len(steps)
    assert all(step.description and step.seconds > 0 for step in steps)
