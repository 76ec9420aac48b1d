"""The names of methods as Telegram's schema writes them, from Telethon's classes.

`functions.users.GetUsersRequest` is `users.getUsers`; the methods of MTProto itself are in snake case
(`ping_delay_disconnect`). Counters, planned answers and tests know methods by these names only.
"""

from telethon.tl import TLRequest, functions
from telethon.tl.alltlobjects import tlobjects

_MTPROTO: dict[type, str] = {
    functions.DestroyAuthKeyRequest: "destroy_auth_key",
    functions.DestroySessionRequest: "destroy_session",
    functions.GetFutureSaltsRequest: "get_future_salts",
    functions.PingRequest: "ping",
    functions.PingDelayDisconnectRequest: "ping_delay_disconnect",
    functions.ReqDHParamsRequest: "req_DH_params",
    functions.ReqPqMultiRequest: "req_pq_multi",
    functions.ReqPqRequest: "req_pq",
    functions.RpcDropAnswerRequest: "rpc_drop_answer",
    functions.SetClientDHParamsRequest: "set_client_DH_params",
}


def _schema_name(request: type) -> str:
    if request in _MTPROTO:
        return _MTPROTO[request]
    namespace = request.__module__.rpartition(".")[2]
    name = request.__name__.removesuffix("Request")
    name = name[0].lower() + name[1:]
    return name if namespace == "functions" else f"{namespace}.{name}"


_NAMES = {cls: _schema_name(cls) for cls in tlobjects.values() if issubclass(cls, TLRequest)}

METHOD_NAMES = frozenset(_NAMES.values())
"""Every method of the schema that Telethon knows, simulated here or not."""


def method_name(request: object) -> str:
    """The schema's name of a call; of an object that is no call, the name of its class."""
    return _NAMES.get(type(request)) or type(request).__name__
