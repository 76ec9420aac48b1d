"""messages.*: writing, changing and reading messages.

Source: https://core.telegram.org/method/messages.sendMessage and the page of each method, for its errors.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from telethon.tl import functions, types

from sidecar.simulator.chats import views
from sidecar.simulator.chats.box import Box, Event, Happened
from sidecar.simulator.chats.places import Channel, Group, Place, Private
from sidecar.simulator.fault import RpcFault
from sidecar.simulator.methods.table import Call, method

if TYPE_CHECKING:
    from sidecar.simulator.chats.post import Post

_EDIT_SECONDS = 172_800
"""How long an author may edit a message: `edit_time_limit` of https://core.telegram.org/constructor/config."""
_PAGE = 100
"""Messages in one answer, at most. Source: https://core.telegram.org/api/offsets"""
_NOT_SIMULATED = ("schedule_date", "send_as", "quick_reply_shortcut", "suggested_post", "rich_message", "media")


@method(functions.messages.SendMessageRequest)
def send_message(call: Call) -> Any:
    """Send a message, once for each random_id."""
    request, caller, chats = call.request, call.caller, call.dc.chats
    _refuse_unknown(request)
    place = chats.place(caller, request.peer)
    if not request.random_id:
        raise RpcFault(400, "RANDOM_ID_EMPTY")
    if (before := chats.repeated(caller, place, request.random_id)) is not None:
        return _sent(call, before, pts_count=0)
    post = chats.send(
        place,
        caller,
        request.message,
        request.entities,
        random_id=request.random_id,
        seconds=call.seconds,
        dialogue=call.dialogue,
        reply_to=_replied_to(request.reply_to, place.box(caller.user_id), place),
        silent=bool(request.silent),
        link_preview=not request.no_webpage,
    )
    if not isinstance(place, Private):
        return _sent(call, post, pts_count=1)
    box = place.box(caller.user_id)
    return types.UpdateShortSentMessage(
        out=True, id=post.ids[box], pts=box.pts, pts_count=1, date=post.date, entities=post.entities or None
    )


@method(functions.messages.EditMessageRequest)
def edit_message(call: Call) -> Any:
    """Change the text of a message."""
    request, caller, chats = call.request, call.caller, call.dc.chats
    _refuse_unknown(request)
    place = chats.place(caller, request.peer)
    box = place.box(caller.user_id)
    post = box.posts.get(request.id)
    if post is None or post.place is not place:
        raise RpcFault(400, "MESSAGE_ID_INVALID")
    if not place.may_edit(caller.user_id, post):
        raise RpcFault(403, "MESSAGE_AUTHOR_REQUIRED")
    if not views.anonymous(place) and call.dc.now() - post.date > _EDIT_SECONDS:
        raise RpcFault(400, "MESSAGE_EDIT_TIME_EXPIRED")
    place.check_flood()
    chats.change(
        post,
        request.message or "",
        request.entities,
        link_preview=not request.no_webpage,
        editor=caller,
        but=call.dialogue,
    )
    edited = views.update(Event(Happened.EDITED, box, box.pts, post, post.ids[box]), caller.user_id)
    return chats.news.updates([edited], [post], caller.user_id)


@method(functions.messages.DeleteMessagesRequest)
def delete_messages(call: Call) -> Any:
    """Delete messages of private chats and basic groups, for everybody or for the caller; some may be gone already."""
    caller, chats = call.caller, call.dc.chats
    box = chats.boxes[caller.user_id]
    posts = [box.posts[asked] for asked in call.request.id if asked in box.posts]
    if call.request.revoke and not all(post.place.may_delete(caller.user_id, post) for post in posts):
        raise RpcFault(403, "MESSAGE_DELETE_FORBIDDEN")
    chats.withdraw(posts, only=None if call.request.revoke else box, but=call.dialogue)
    return types.messages.AffectedMessages(pts=box.pts, pts_count=len(posts))


@method(functions.messages.GetMessagesRequest)
def get_messages(call: Call) -> Any:
    """Messages of private chats and basic groups, by identifier."""
    shown, posts = by_id(call.dc.chats.boxes[call.caller.user_id], call.request.id, call.caller.user_id)
    users, chats = call.dc.chats.news.cast(posts, call.caller.user_id)
    return types.messages.Messages(messages=shown, topics=[], chats=chats, users=users)


@method(functions.messages.GetHistoryRequest)
def get_history(call: Call) -> Any:
    """The messages of one place, the newest first. Source: https://core.telegram.org/api/offsets."""
    request, viewer = call.request, call.caller.user_id
    people_only(call)
    place = call.dc.chats.place(call.caller, request.peer)
    box = place.box(viewer)
    newest = [post for post in reversed(box.posts.values()) if post.place is place]
    ids = [post.ids[box] for post in newest]
    before = request.offset_id or (ids[0] + 1 if ids else 0)
    first = next((index for index, found in enumerate(ids) if found < before), len(ids))
    if not request.offset_id and request.offset_date is not None and (moment := request.offset_date.timestamp()):
        first = next((index for index, post in enumerate(newest) if post.date < moment), len(ids))
    start = first + request.add_offset
    page = newest[max(start, 0) : max(start + min(request.limit, _PAGE), 0)]
    shown = [
        post
        for post in page
        if post.ids[box] > request.min_id and (not request.max_id or post.ids[box] < request.max_id)
    ]
    messages = [views.message(post, viewer) for post in shown]
    users, chats = call.dc.chats.news.cast(shown, viewer, [place])
    if isinstance(place, Channel):
        return types.messages.ChannelMessages(
            pts=box.pts, count=len(newest), messages=messages, topics=[], chats=chats, users=users
        )
    if len(shown) == len(newest):
        return types.messages.Messages(messages=messages, topics=[], chats=chats, users=users)
    return types.messages.MessagesSlice(count=len(newest), messages=messages, topics=[], chats=chats, users=users)


@method(functions.messages.GetChatsRequest)
def get_chats(call: Call) -> Any:
    """Basic groups, by id."""
    found = []
    for asked in call.request.id:
        group = call.dc.chats.groups.get(asked)
        if group is None or call.caller.user_id not in group.members:
            raise RpcFault(400, "CHAT_ID_INVALID")
        found.append(views.group(group, call.caller.user_id))
    return types.messages.Chats(chats=found)


@method(functions.messages.GetDialogsRequest)
def get_dialogs(call: Call) -> Any:
    """All places of the caller, at once."""
    people_only(call)
    viewer = call.caller.user_id
    places = list(call.dc.chats.places(call.caller))
    newest = [
        next((post for post in reversed(place.box(viewer).posts.values()) if post.place is place), None)
        for place in places
    ]
    last = [post for post in newest if post is not None]
    users, chats = call.dc.chats.news.cast(last, viewer, places)
    dialogs = [_dialog(place, post, viewer) for place, post in zip(places, newest, strict=True)]
    messages = [views.message(post, viewer) for post in last]
    return types.messages.Dialogs(dialogs=dialogs, messages=messages, chats=chats, users=users)


@method(functions.messages.CheckChatInviteRequest)
def check_chat_invite(call: Call) -> Any:
    """Where an invite link leads. Source: https://core.telegram.org/api/invites."""
    people_only(call)
    if not call.request.hash:
        raise RpcFault(400, "INVITE_HASH_EMPTY")
    place = call.dc.chats.invites.get(call.request.hash)
    if place is None:
        raise RpcFault(400, "INVITE_HASH_EXPIRED")
    viewer = call.caller.user_id
    if not place.member(viewer).left:
        shown = views.group(place, viewer) if isinstance(place, Group) else views.channel(place, viewer)
        return types.ChatInviteAlready(shown)
    channel = place if isinstance(place, Channel) else None
    return types.ChatInvite(
        title=place.title,
        photo=types.PhotoEmpty(0),
        participants_count=len(list(place.readers())),
        color=0,
        channel=channel is not None or None,
        broadcast=(channel is not None and not channel.megagroup) or None,
        megagroup=(channel is not None and channel.megagroup) or None,
    )


def people_only(call: Call) -> None:
    """Refuse a bot.

    Raises:
        RpcFault: BOT_METHOD_INVALID.
    """
    if call.caller.is_bot:
        raise RpcFault(400, "BOT_METHOD_INVALID")


def by_id(box: Box, asked: Iterable[Any], viewer: int) -> "tuple[list[Any], list[Post]]":
    """Messages of a box in the order in which they were asked for, messageEmpty for those that are not there.

    Raises:
        RpcFault: MESSAGE_IDS_EMPTY.
    """
    ids = [one.id if isinstance(one, types.InputMessageID) else 0 for one in asked]
    if not ids:
        raise RpcFault(400, "MESSAGE_IDS_EMPTY")
    found = [(one, box.posts.get(one)) for one in ids]
    shown = [
        types.MessageEmpty(id=one, peer_id=None) if post is None else views.message(post, viewer) for one, post in found
    ]
    return shown, [post for _, post in found if post is not None]


def _sent(call: Call, post: "Post", *, pts_count: int) -> Any:
    viewer = call.caller.user_id
    box = post.place.box(viewer)
    updates: list[Any] = [types.UpdateMessageID(post.ids[box], post.random_id)]
    if post.ids[box] in box.posts:
        shown = views.update(Event(Happened.NEW, box, box.pts, post, post.ids[box]), viewer)
        shown.pts_count = pts_count
        updates.append(shown)
    return call.dc.chats.news.updates(updates, [post], viewer)


def _replied_to(asked: Any, box: Box, place: Place) -> "Post | None":
    if asked is None:
        return None
    post = box.posts.get(getattr(asked, "reply_to_msg_id", 0))
    if post is None or post.place is not place:
        raise RpcFault(400, "REPLY_MESSAGE_ID_INVALID")
    return post


def _refuse_unknown(request: Any) -> None:
    for name in _NOT_SIMULATED:
        if getattr(request, name, None) is not None:
            raise NotImplementedError(f"{name} of {type(request).__name__} is not simulated")


def _dialog(place: Place, newest: "Post | None", viewer: int) -> Any:
    box = place.box(viewer)
    return types.Dialog(
        peer=views.peer(place, viewer),
        top_message=0 if newest is None else newest.ids[box],
        read_inbox_max_id=0,
        read_outbox_max_id=0,
        unread_count=0,
        unread_mentions_count=0,
        unread_reactions_count=0,
        unread_poll_votes_count=0,
        notify_settings=types.PeerNotifySettings(),
        pts=box.pts if isinstance(place, Channel) else None,
    )
