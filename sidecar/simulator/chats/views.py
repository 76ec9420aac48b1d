"""What a person is shown of people, places and messages: TL objects, made anew each time.

Source: https://core.telegram.org/constructor/message, https://core.telegram.org/constructor/channel and so on.

Rules of this file: pure functions of the model. An access hash belongs to a pair of who is shown something and what is
shown: https://core.telegram.org/api/peers#access-hash
"""

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from telethon.tl import types

from sidecar.simulator.chats.box import Event, Happened
from sidecar.simulator.chats.places import Channel, Group, Place, Private

if TYPE_CHECKING:
    from sidecar.simulator.chats.post import Post
    from sidecar.simulator.session import Account


def access_hash(viewer: int, kind: str, shown: int) -> int:
    """The number by which a viewer proves to have met a user or channel."""
    return int.from_bytes(sha256(f"{viewer} {kind} {shown}".encode()).digest()[:8], "little", signed=True)


def user(account: "Account", viewer: int) -> Any:
    """An account. Its phone number is for itself alone."""
    own = account.user_id == viewer
    return types.User(
        id=account.user_id,
        is_self=own or None,
        access_hash=access_hash(viewer, "user", account.user_id),
        first_name=account.first_name,
        last_name=account.last_name,
        username=account.username,
        phone=account.phone if own else None,
        bot=account.is_bot,
        bot_info_version=1 if account.is_bot else None,
    )


def channel(shown: Channel, viewer: int) -> Any:
    """A channel or supergroup; channelForbidden for who was thrown out."""
    member = shown.member(viewer)
    common = {
        "id": shown.id,
        "access_hash": access_hash(viewer, "channel", shown.id),
        "title": shown.title,
        "broadcast": None if shown.megagroup else True,
        "megagroup": shown.megagroup or None,
    }
    if member.out:
        return types.ChannelForbidden(**common)
    return types.Channel(
        **common,
        photo=types.ChatPhotoEmpty(),
        date=None,
        username=shown.username,
        creator=member.creator or None,
        left=member.left or None,
        admin_rights=member.admin,
        banned_rights=member.banned,
        default_banned_rights=_default(forbidden=shown.nobody_writes),
        slowmode_enabled=True if shown.slow_mode else None,
    )


def group(shown: Group, viewer: int) -> Any:
    """A basic group."""
    member = shown.member(viewer)
    return types.Chat(
        id=shown.id,
        title=shown.title,
        photo=types.ChatPhotoEmpty(),
        participants_count=len(list(shown.readers())),
        date=None,
        version=1,
        creator=member.creator or None,
        left=member.left or None,
        admin_rights=member.admin,
        default_banned_rights=_default(forbidden=shown.nobody_writes),
    )


def peer(place: Place, viewer: int) -> Any:
    """What a viewer calls the place."""
    match place:
        case Private():
            return types.PeerUser(place.other(viewer))
        case Group():
            return types.PeerChat(place.id)
        case Channel():
            return types.PeerChannel(place.id)
        case _:
            raise TypeError(f"{place!r} has no peer")


def anonymous(place: Place) -> bool:
    """Whether readers do not learn who has written something: so it is in a channel."""
    return isinstance(place, Channel) and not place.megagroup


def message(post: "Post", viewer: int) -> Any:
    """A message. In a channel its author is not shown, and in a private chat there is no need to."""
    place = post.place
    box = place.box(viewer)
    broadcast = anonymous(place)
    # Who joined a basic group later has no copy of what is answered.
    answered = None if post.reply_to is None else post.reply_to.ids.get(box)
    return types.Message(
        id=post.ids[box],
        peer_id=peer(place, viewer),
        date=post.date,
        message=post.text,
        out=post.author == viewer or None,
        silent=post.silent or None,
        post=broadcast or None,
        from_id=None if broadcast or isinstance(place, Private) else types.PeerUser(post.author),
        reply_to=None if answered is None else types.MessageReplyHeader(reply_to_msg_id=answered),
        entities=post.entities or None,
        edit_date=post.edit_date,
        views=1 if broadcast else None,
        forwards=0 if broadcast else None,
    )


def update(event: Event, viewer: int) -> Any:
    """An event, as an update of the box in which the viewer finds the place."""
    place = event.post.place
    if isinstance(place, Channel):
        match event.happened:
            case Happened.NEW:
                return types.UpdateNewChannelMessage(message(event.post, viewer), event.pts, 1)
            case Happened.EDITED:
                return types.UpdateEditChannelMessage(message(event.post, viewer), event.pts, 1)
            case Happened.DELETED:
                return types.UpdateDeleteChannelMessages(place.id, [event.id], event.pts, 1)
    match event.happened:
        case Happened.NEW:
            return types.UpdateNewMessage(message(event.post, viewer), event.pts, 1)
        case Happened.EDITED:
            return types.UpdateEditMessage(message(event.post, viewer), event.pts, 1)
        case Happened.DELETED:
            return types.UpdateDeleteMessages([event.id], event.pts, 1)


def _default(*, forbidden: bool) -> Any:
    return types.ChatBannedRights(until_date=None, send_messages=forbidden or None)
