"""updates.*: nothing ever happens in this data centre. Source: https://core.telegram.org/api/updates."""

from typing import Any

from telethon.tl import functions, types

from sidecar.simulator.methods.table import Call, method

_SEQ = 1
_PTS = 1


@method(functions.updates.GetStateRequest)
def get_state(call: Call) -> Any:
    """The state from which a client follows updates."""
    return types.updates.State(pts=_PTS, qts=0, date=int(call.dc.now()), seq=_SEQ, unread_count=0)


@method(functions.updates.GetDifferenceRequest)
def get_difference(call: Call) -> Any:
    """Nothing was missed."""
    return types.updates.DifferenceEmpty(date=int(call.dc.now()), seq=_SEQ)
