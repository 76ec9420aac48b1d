"""Remote procedure calls: wrappers, whether the caller may, and the answer.

Source: https://core.telegram.org/api/invoking and https://core.telegram.org/api/errors

Rules of this file: TL objects in, the bytes of a result out; whether and how they travel is not known here.
What the methods say is in `methods`. A planned answer goes before everything the rules would say.
"""

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from telethon.tl import functions, types

from sidecar.simulator import service
from sidecar.simulator.methods import Call, RpcFault
from sidecar.simulator.naming import method_name
from sidecar.simulator.plan import Mishap, RawAnswer

if TYPE_CHECKING:
    from sidecar.simulator.datacentre import DataCentre
    from sidecar.simulator.dialogue import Dialogue
    from sidecar.simulator.session import Session

_VECTOR = struct.Struct("<Ii")
_VECTOR_ID = 0x1CB5C415

_WRAPPERS = (
    functions.InvokeWithLayerRequest,
    functions.InitConnectionRequest,
    functions.InvokeWithoutUpdatesRequest,
    functions.InvokeAfterMsgRequest,
    functions.InvokeAfterMsgsRequest,
)
_UNAUTHORISED = 401
_NO_MISHAP = Mishap(method="ping")


def error(code: int, message: str) -> bytes:
    """An rpc_error, to be put into rpc_result."""
    return bytes(types.RpcError(code, message))


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of a call."""

    body: bytes | None
    """The bytes of its result or error; None if the client is not to hear of it."""
    delay: float = 0.0
    """Seconds of loop time until it is sent."""
    reset: bool = False
    """The connection is reset now."""


def answer(request: Any, session: "Session", dialogue: "Dialogue", dc: "DataCentre") -> Answer:
    """Execute a call, unless a lever or a plan keeps it back."""
    inner, wants_updates = _unwrap(request, session)
    dialogue.wants_updates |= wants_updates
    name = method_name(inner)
    dc.requests[name] += 1
    if dc.levers.answer_pings_only:
        return Answer(None)
    planned = dc.plan.take(name)
    mishap = planned if isinstance(planned, Mishap) else _NO_MISHAP
    if isinstance(planned, RawAnswer):
        body = planned.body
    else:
        try:
            call = Call(inner, session, dc, dialogue, mishap.seconds)
            body = _serialise(_execute(call, name))
        except RpcFault as fault:
            body = error(fault.code, fault.message)
    if dc.levers.lose_answers > 0:
        dc.levers.lose_answers -= 1
        return Answer(None)
    if mishap.lost or mishap.reset:
        return Answer(None, reset=mishap.reset)
    return Answer(body, delay=mishap.seconds)


def _unwrap(request: Any, session: "Session") -> tuple[Any, bool]:
    """The call inside all wrappers, having noted what they say about the client; whether it wants updates."""
    wants_updates = True
    while isinstance(request, _WRAPPERS):
        if isinstance(request, functions.InvokeWithLayerRequest):
            session.layer = request.layer
        elif isinstance(request, functions.InitConnectionRequest):
            # It is remembered with the key: Telethon does not repeat it when it reconnects by itself.
            session.initialised = True
        elif isinstance(request, functions.InvokeWithoutUpdatesRequest):
            wants_updates = False
        request = request.query
    return request, wants_updates


def _execute(call: Call, name: str) -> Any:
    request, session, dc = call.request, call.session, call.dc
    if type(request) in service.HANDLERS:
        dc.violate(f"{name} inside a wrapper: service messages are sent bare")
        raise RpcFault(400, "INPUT_METHOD_INVALID")
    method = dc.methods.get(type(request))
    if method is None:
        raise RpcFault(400, "INPUT_METHOD_INVALID")
    if not session.initialised:
        dc.violate(f"{name} before initConnection")
        raise RpcFault(400, "CONNECTION_NOT_INITED")
    if session.layer is None:
        dc.violate(f"{name} before invokeWithLayer")
        raise RpcFault(400, "CONNECTION_LAYER_INVALID")
    refusal = session.refusal
    if refusal is not None and (method.needs_login or refusal.code != _UNAUTHORISED):
        raise RpcFault(refusal.code, refusal.message)
    if name in dc.floods:
        dc.floods[name].check()
    return method.execute(call)


def _serialise(result: Any) -> bytes:
    if isinstance(result, list):
        return _VECTOR.pack(_VECTOR_ID, len(result)) + b"".join(map(bytes, result))
    return bytes(result)
