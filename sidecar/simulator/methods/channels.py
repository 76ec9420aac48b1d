"""channels.*: channels and supergroups, and their messages.

Source: https://core.telegram.org/method/channels.getChannels and the page of each method.
"""

from typing import Any

from telethon.tl import functions, types

from sidecar.simulator.chats import views
from sidecar.simulator.fault import RpcFault
from sidecar.simulator.methods.messages import by_id
from sidecar.simulator.methods.table import Call, method


@method(functions.channels.GetChannelsRequest)
def get_channels(call: Call) -> Any:
    """The channels asked for, with their access hashes."""
    found = [call.dc.chats.channel(call.caller, asked) for asked in call.request.id]
    return types.messages.Chats(chats=[views.channel(channel, call.caller.user_id) for channel in found])


@method(functions.channels.GetMessagesRequest)
def get_messages(call: Call) -> Any:
    """Messages of one channel, by identifier."""
    viewer = call.caller.user_id
    channel = call.dc.chats.channel(call.caller, call.request.channel)
    box = channel.box(viewer)
    shown, posts = by_id(box, call.request.id, viewer)
    users, chats = call.dc.chats.news.cast(posts, viewer, [channel])
    return types.messages.ChannelMessages(
        pts=box.pts, count=len(shown), messages=shown, topics=[], chats=chats, users=users
    )


@method(functions.channels.DeleteMessagesRequest)
def delete_messages(call: Call) -> Any:
    """Delete messages of one channel for everybody; some may be gone already."""
    caller = call.caller
    channel = call.dc.chats.channel(caller, call.request.channel)
    box = channel.box(caller.user_id)
    posts = [box.posts[asked] for asked in call.request.id if asked in box.posts]
    if not all(channel.may_delete(caller.user_id, post) for post in posts):
        raise RpcFault(403, "MESSAGE_DELETE_FORBIDDEN")
    call.dc.chats.withdraw(posts, but=call.dialogue)
    return types.messages.AffectedMessages(pts=box.pts, pts_count=len(posts))
