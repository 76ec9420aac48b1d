"""updates.*: what a client has missed. Source: https://core.telegram.org/api/updates."""

from typing import Any

from telethon.tl import functions, types

from sidecar.simulator.chats import views
from sidecar.simulator.chats.box import Event, Happened
from sidecar.simulator.fault import RpcFault
from sidecar.simulator.methods.table import Call, method

_SEQ = 1
_POLL_SECONDS = 30
"""How long a client should wait before it asks about a channel again."""


@method(functions.updates.GetStateRequest)
def get_state(call: Call) -> Any:
    """The state from which a client follows updates."""
    return _state(call)


@method(functions.updates.GetDifferenceRequest)
def get_difference(call: Call) -> Any:
    """What has happened in private chats and basic groups since."""
    viewer = call.caller.user_id
    box = call.dc.chats.boxes[viewer]
    if call.request.pts >= box.pts:
        return types.updates.DifferenceEmpty(date=int(call.dc.now()), seq=_SEQ)
    events = box.since(call.request.pts)
    messages, others = _split(events, viewer)
    users, chats = call.dc.chats.news.cast([event.post for event in events], viewer)
    return types.updates.Difference(messages, [], others, chats, users, _state(call))


@method(functions.updates.GetChannelDifferenceRequest)
def get_channel_difference(call: Call) -> Any:
    """What has happened in one channel since."""
    viewer = call.caller.user_id
    channel = call.dc.chats.channel(call.caller, call.request.channel)
    if call.request.pts <= 0:
        raise RpcFault(400, "PERSISTENT_TIMESTAMP_INVALID")
    box = channel.box(viewer)
    if call.request.pts >= box.pts:
        return types.updates.ChannelDifferenceEmpty(pts=box.pts, final=True, timeout=_POLL_SECONDS)
    events = box.since(call.request.pts)[: call.request.limit]
    messages, others = _split(events, viewer)
    users, chats = call.dc.chats.news.cast([event.post for event in events], viewer, [channel])
    last = events[-1].pts
    return types.updates.ChannelDifference(
        last, messages, others, chats, users, final=last == box.pts or None, timeout=_POLL_SECONDS
    )


def _state(call: Call) -> Any:
    box = call.dc.chats.boxes[call.caller.user_id]
    return types.updates.State(pts=box.pts, qts=0, date=int(call.dc.now()), seq=_SEQ, unread_count=0)


def _split(events: list[Event], viewer: int) -> tuple[list[Any], list[Any]]:
    """New messages that are still there, and everything else; with updateMessageID for what the viewer has sent."""
    messages: list[Any] = []
    others: list[Any] = []
    for event in events:
        if event.happened is not Happened.NEW:
            others.append(views.update(event, viewer))
            continue
        if event.post.author == viewer and event.post.random_id:
            others.append(types.UpdateMessageID(event.id, event.post.random_id))
        if event.id in event.box.posts:
            messages.append(views.message(event.post, viewer))
    return messages, others
