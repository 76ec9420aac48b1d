"""Stopping, in every state: the connection is closed, the last events are recorded, nothing is left."""

from __future__ import annotations

import asyncio

import pytest

from sidecar.state import Disconnected, Disconnecting, State, Stopping
from tests.rig import Rig

pytestmark = pytest.mark.looptime


async def in_state(rig: Rig, state: State) -> None:
    """Bring a keeper into a state."""
    match state:
        case State.UNCONFIGURED:
            rig.start(from_files=True)
        case State.CONNECTING:
            rig.dc.levers.black_hole = True
            rig.start()
        case State.WAITING:
            await rig.dc.stop_listening()
            rig.start()
        case State.REFUSED:
            rig.session.revoke()
            rig.start()
        case _:
            rig.start()
    await rig.until(state)


@pytest.mark.parametrize(
    "state",
    [State.UNCONFIGURED, State.CONNECTING, State.CONNECTED, State.WAITING, State.REFUSED],
)
async def test_stopping_takes_no_time(rig: Rig, state: State) -> None:
    """Whatever it is doing, it ends in the same instant, and the data centre sees the connection closed."""
    await in_state(rig, state)
    began = rig.now
    await rig.stop()

    assert rig.now == began
    assert rig.snapshot.state is State.STOPPING
    kinds = [type(event) for _, event in rig.events if isinstance(event, Stopping | Disconnecting | Disconnected)]
    assert kinds == ([Stopping, Disconnecting, Disconnected] if state is State.CONNECTED else [Stopping])


async def test_stopping_before_anything_was_tried(rig: Rig) -> None:
    """A keeper that is stopped in its first instant never dials."""
    rig.start()
    await rig.stop()

    assert rig.dc.accepted == 0


async def test_stopping_in_a_black_hole_is_bounded(rig: Rig) -> None:
    """A peer that reads nothing cannot hold up the end: a full send buffer is cut off after the shutdown timeout."""
    await rig.connected(shutdown_timeout=2)
    rig.dc.levers.stop_reading = True
    client = await rig.manager.get_client()
    client._sender._connection._writer.write(bytes(32 * 1024 * 1024))
    began = rig.now
    await rig.stop()

    assert rig.now == began + 2
    rig.dc.levers.stop_reading = False  # only now can the simulator see that the connection is gone
    await asyncio.sleep(1)
    rig.dc.violations.clear()  # what was written into the hole is no MTProto


async def test_readiness_turns_before_the_connection_closes(rig: Rig) -> None:
    """Kubernetes must stop sending work before the connection is gone: the state changes first."""
    await rig.connected()
    rig.manager.stop()
    await rig.until(State.STOPPING)

    assert rig.metric("telegram_connected") == 0
    assert rig.dc.live == 1


async def test_stopping_together_with_a_loss_is_not_forgotten(rig: Rig) -> None:
    """A stop that arrives in the very instant of a loss still ends the keeper."""
    await rig.connected()
    rig.dc.close_all()
    await asyncio.sleep(0)
    await rig.stop()

    assert rig.snapshot.state is State.STOPPING
