"""Service messages: those of MTProto itself, most of which are answered without rpc_result.

Source: https://core.telegram.org/mtproto/service_messages and
https://core.telegram.org/mtproto/service_messages_about_messages

Rules of this file: one function per message, in the table `HANDLERS` by class. None means that no answer is
due.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from telethon.tl import functions, types
from telethon.tl.core import RpcResult

from sidecar.simulator.dialogue import Reply

if TYPE_CHECKING:
    from sidecar.simulator.exchange import Exchange

_SALT_SECONDS = 3600
"""How long a salt is promised to be valid. Source:
https://core.telegram.org/mtproto/description#server-salt"""


def _ping(exchange: "Exchange", msg_id: int, request: Any) -> Reply | None:
    if exchange.dc.levers.ignore_pings:
        return None
    return Reply(bytes(types.Pong(msg_id, request.ping_id)), content_related=False)


def _ping_delay_disconnect(exchange: "Exchange", msg_id: int, request: Any) -> Reply | None:
    # Only a message of this same type puts the end off; a plain ping does not.
    exchange.connection.drop_after(request.disconnect_delay)
    return _ping(exchange, msg_id, request)


def _get_future_salts(exchange: "Exchange", msg_id: int, _request: Any) -> Reply:
    # One salt however many were asked for: the answer may hold fewer, and ours changes by a lever only.
    now = int(exchange.dc.now())
    salt = types.FutureSalt(now, now + _SALT_SECONDS, exchange.session.salt)
    return Reply(bytes(types.FutureSalts(msg_id, now, [salt])), content_related=False)


def _destroy_session(exchange: "Exchange", _msg_id: int, request: Any) -> Reply:
    # The current one cannot be destroyed, only others of the same key.
    ended = request.session_id != exchange.dialogue.session_id and exchange.session.end_dialogue(request.session_id)
    result = types.DestroySessionOk if ended else types.DestroySessionNone
    return Reply(bytes(result(request.session_id)), content_related=True)


def _msgs_state_req(exchange: "Exchange", msg_id: int, request: Any) -> Reply:
    info = bytes(exchange.dialogue.client.state_of(asked) for asked in request.msg_ids)
    return Reply(bytes(types.MsgsStateInfo(msg_id, info)), content_related=False)


def _msg_resend_req(_exchange: "Exchange", msg_id: int, request: Any) -> Reply:
    # Answers are not kept: "nothing is known about the message" (status 1) for each.
    info = b"\1" * len(request.msg_ids)
    return Reply(bytes(types.MsgsStateInfo(msg_id, info)), content_related=False)


def _rpc_drop_answer(_exchange: "Exchange", msg_id: int, _request: Any) -> Reply:
    # Nothing is ever still running: calls are answered within the packet that brought them.
    header = RpcResult.CONSTRUCTOR_ID.to_bytes(4, "little") + msg_id.to_bytes(8, "little")
    return Reply(header + bytes(types.RpcAnswerUnknown()), content_related=True)


def _no_answer(_exchange: "Exchange", _msg_id: int, _request: Any) -> None:
    return None


HANDLERS: dict[type, Callable[["Exchange", int, Any], Reply | None]] = {
    functions.PingRequest: _ping,
    functions.PingDelayDisconnectRequest: _ping_delay_disconnect,
    functions.GetFutureSaltsRequest: _get_future_salts,
    functions.DestroySessionRequest: _destroy_session,
    functions.RpcDropAnswerRequest: _rpc_drop_answer,
    types.MsgsStateReq: _msgs_state_req,
    types.MsgResendReq: _msg_resend_req,
    types.MsgsAck: _no_answer,
    types.MsgsStateInfo: _no_answer,
    types.MsgsAllInfo: _no_answer,
    types.HttpWait: _no_answer,  # of no meaning outside HTTP
}


def parity(message: type) -> bool | None:
    """Whether a client must give this kind of message an odd sequence number; None if either will do.

    The specification demands odd for whatever has to be acknowledged: every RPC, and no acknowledgement. Of
    the other service messages it says too little: clients number a ping either way, and Telegram takes both.
    """
    if message is types.MsgsAck:
        return False
    return None if message in HANDLERS else True
