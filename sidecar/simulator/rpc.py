"""Remote procedure calls: wrappers, whether the caller may, and the answer.

Source: https://core.telegram.org/api/invoking and https://core.telegram.org/api/errors

Rules of this file: TL objects in, the bytes of a result out; whether and how they travel is not known here.
What the methods say is in `methods`. A planned answer goes before everything the rules would say.
"""

import struct
from typing import TYPE_CHECKING, Any

from telethon.tl import functions, types

from sidecar.simulator import service
from sidecar.simulator.methods import Call, RpcFault
from sidecar.simulator.naming import method_name

if TYPE_CHECKING:
    from sidecar.simulator.datacentre import DataCentre
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


def error(code: int, message: str) -> bytes:
    """An rpc_error, to be put into rpc_result."""
    return bytes(types.RpcError(code, message))


def answer(request: Any, session: "Session", dc: "DataCentre") -> bytes | None:
    """Execute a call; the bytes of its result or error, or None if a lever keeps it back."""
    inner = _unwrap(request, session)
    name = method_name(inner)
    dc.requests[name] += 1
    if dc.levers.answer_pings_only:
        return None
    body = dc.plan.take(name)
    if body is None:
        try:
            body = _serialise(_execute(inner, name, session, dc))
        except RpcFault as fault:
            body = error(fault.code, fault.message)
    if dc.levers.lose_answers > 0:
        dc.levers.lose_answers -= 1
        return None
    return body


def _unwrap(request: Any, session: "Session") -> Any:
    """The call inside all wrappers, having noted what they say about the client."""
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
    session.wants_updates |= wants_updates
    return request


def _execute(request: Any, name: str, session: "Session", dc: "DataCentre") -> Any:
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
    return method.execute(Call(request, session, dc))


def _serialise(result: Any) -> bytes:
    if isinstance(result, list):
        return _VECTOR.pack(_VECTOR_ID, len(result)) + b"".join(map(bytes, result))
    return bytes(result)
