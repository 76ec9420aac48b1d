"""Every chat of one data centre, and everybody who can be written to.

Source: https://core.telegram.org/api/peers (access hashes), https://core.telegram.org/api/updates (what `random_id` is
for, and that a repeat is answered by the message that is there already).

Rules of this file: it finds, and it is the only one that changes a box. What may not be found is answered as Telegram
answers it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from telethon.tl import types

from sidecar.simulator.chats import text as texts
from sidecar.simulator.chats.box import Box, Event
from sidecar.simulator.chats.news import News
from sidecar.simulator.chats.places import ABSENT, Channel, Group, Member, Place, Private
from sidecar.simulator.chats.post import Post
from sidecar.simulator.chats.views import access_hash
from sidecar.simulator.fault import RpcFault
from sidecar.simulator.session import Account

if TYPE_CHECKING:
    from sidecar.simulator.datacentre import DataCentre
    from sidecar.simulator.dialogue import Dialogue


class Chats:
    """The people and places of a data centre. A test fills it, and speaks for everybody but the client."""

    def __init__(self, dc: "DataCentre") -> None:
        self.boxes: defaultdict[int, Box] = defaultdict(Box)
        """The message box of each account, by user id."""
        self.groups: dict[int, Group] = {}
        """Basic groups, by id."""
        self.channels: dict[int, Channel] = {}
        """Channels and supergroups, by id."""
        self.invites: dict[str, Group | Channel] = {}
        """Where the invite links lead, by the part after t.me/+."""
        self._dc = dc
        self.news = News(dc)
        """Tells clients what has happened."""
        self._people: dict[int, Account] = {}
        self._private: dict[frozenset[int], Private] = {}
        self._sent: dict[tuple[int, Place, int], Post] = {}
        self._user_ids = count(5_000_001)
        self._place_ids = count(1_000_000_001)

    # ------------------------------------------------------------------------------ what a test makes

    def add_user(
        self,
        username: str | None = None,
        *,
        user_id: int | None = None,
        first_name: str = "Somebody",
        last_name: str | None = None,
        phone: str | None = None,
        is_bot: bool = False,
    ) -> Account:
        """Somebody who never logs in here, and can be found and written to."""
        account = Account(
            user_id=next(self._user_ids) if user_id is None else user_id,
            first_name=first_name,
            last_name=last_name,
            username=username,
            phone=phone,
            is_bot=is_bot,
        )
        self._people[account.user_id] = account
        return account

    def add_group(self, title: str = "Group", *, members: Mapping[int, Member], invite: str | None = None) -> Group:
        """A basic group, with what each of its members is, by user id."""
        group = Group(next(self._place_ids), title, members, self.boxes)
        self.groups[group.id] = group
        if invite is not None:
            self.invites[invite] = group
        return group

    def add_channel(
        self,
        username: str | None = None,
        *,
        title: str = "Channel",
        channel_id: int | None = None,
        members: Mapping[int, Member] | None = None,
        everyone: Member = ABSENT,
        megagroup: bool = False,
        slow_mode: float = 0,
        nobody_writes: bool = False,
        invite: str | None = None,
    ) -> Channel:
        """A channel or supergroup.

        Args:
            username: by which everybody can find it; None for a private one.
            title: as people see it.
            channel_id: as Telegram knows it, without -100; the next free one if it is None.
            members: what somebody is there, by user id.
            everyone: what all others are.
            megagroup: a supergroup, where members write.
            slow_mode: seconds between two messages of a member of a supergroup.
            nobody_writes: only administrators write in the supergroup.
            invite: the part of an invite link behind t.me/+.
        """
        channel = Channel(
            next(self._place_ids) if channel_id is None else channel_id,
            title,
            members or {},
            everyone,
            username=username,
            megagroup=megagroup,
            slow_mode=slow_mode,
        )
        channel.nobody_writes = nobody_writes
        self.channels[channel.id] = channel
        if invite is not None:
            self.invites[invite] = channel
        return channel

    def private(self, one: Account, other: Account) -> Private:
        """The chat of two people; of one with themselves, that is Saved Messages."""
        pair = frozenset((one.user_id, other.user_id))
        if pair not in self._private:
            self._private[pair] = Private({user_id: self.boxes[user_id] for user_id in sorted(pair)})
        return self._private[pair]

    def say(self, place: Place, author: Account, text: str, *, reply_to: Post | None = None) -> Post:
        """Send a message for somebody else, whatever their rights, and push it to everybody who listens."""
        return self._publish(self._post(place, author, text, [], reply_to=reply_to))

    def amend(self, post: Post, text: str) -> None:
        """Edit a message for its author, and push that."""
        self.change(post, text, [], link_preview=post.link_preview)

    def remove(self, post: Post) -> None:
        """Delete a message for everybody, and push that."""
        self.withdraw([post])

    # ------------------------------------------------------------------ what methods find things with

    def account(self, user_id: int) -> Account | None:
        """Who has this id: a logged-in account, or one that a test has added."""
        if user_id in self._people:
            return self._people[user_id]
        return next((account for account in self._logged_in() if account.user_id == user_id), None)

    def named(self, username: str) -> Account | Channel | None:
        """Who or what has this name, in any case of letters."""
        wanted = username.lower()
        everything: list[Account | Channel] = [*self.channels.values(), *self._people.values(), *self._logged_in()]
        for found in everything:
            if found.username is not None and found.username.lower() == wanted:
                return found
        return None

    def place(self, viewer: Account, asked: Any) -> Place:
        """The place that an InputPeer means.

        Raises:
            RpcFault: PEER_ID_INVALID, CHANNEL_INVALID or CHANNEL_PRIVATE.
        """
        match asked:
            case types.InputPeerSelf():
                return self.private(viewer, viewer)
            case types.InputPeerUser():
                if (other := self.user(viewer, asked)) is not None:
                    return self.private(viewer, other)
            case types.InputPeerChat():
                group = self.groups.get(asked.chat_id)
                if group is not None and viewer.user_id in group.members:
                    return group
            case types.InputPeerChannel():
                return self.channel(viewer, asked)
        raise RpcFault(400, "PEER_ID_INVALID")

    def user(self, viewer: Account, asked: Any) -> Account | None:
        """The person that an InputUser or InputPeerUser means; None if the viewer has not met anybody like that."""
        if isinstance(asked, types.InputUserSelf | types.InputPeerSelf) or asked.user_id == viewer.user_id:
            return viewer
        account = self.account(asked.user_id)
        if account is None:
            return None
        met = asked.access_hash == access_hash(viewer.user_id, "user", account.user_id)
        # "If we are a bot, and the user has written to us": https://core.telegram.org/api/bots/ids
        known = viewer.is_bot and asked.access_hash == 0 and self._wrote_to(account, viewer)
        return account if met or known else None

    def channel(self, viewer: Account, asked: Any) -> Channel:
        """The channel that an InputChannel or InputPeerChannel means.

        Raises:
            RpcFault: CHANNEL_INVALID without its access hash, which a bot that is in it does not need; CHANNEL_PRIVATE
                if the viewer may not look inside.
        """
        channel = self.channels.get(getattr(asked, "channel_id", 0))
        if channel is None:
            raise RpcFault(400, "CHANNEL_INVALID")
        met = asked.access_hash == access_hash(viewer.user_id, "channel", channel.id)
        known = viewer.is_bot and asked.access_hash == 0 and not channel.member(viewer.user_id).left
        if not (met or known):
            raise RpcFault(400, "CHANNEL_INVALID")
        if not channel.may_be_seen_by(viewer.user_id):
            raise RpcFault(406, "CHANNEL_PRIVATE")
        return channel

    def places(self, viewer: Account) -> Iterable[Place]:
        """Where the viewer is: the dialogs."""
        yield from (chat for pair, chat in self._private.items() if viewer.user_id in pair and chat.posts)
        many = (*self.groups.values(), *self.channels.values())
        yield from (place for place in many if viewer.user_id in place.readers())

    # -------------------------------------------------------------------------- what methods do to it

    def repeated(self, sender: Account, place: Place, random_id: int) -> Post | None:
        """The message that this account has sent here under that number before.

        "... the method call will simply return the messages generated by the previous method call", for ever and from
        any session; source: https://core.telegram.org/api/updates.

        Raises:
            RpcFault: RANDOM_ID_DUPLICATE if the earlier call is still in flight (`DataCentre.slow`), or the lever
                `refuse_repeats` is on.
        """
        post = self._sent.get((sender.user_id, place, random_id))
        if post is not None and (self._dc.levers.refuse_repeats or asyncio.get_running_loop().time() < post.sent_at):
            raise RpcFault(500, "RANDOM_ID_DUPLICATE")
        return post

    def send(
        self,
        place: Place,
        sender: Account,
        text: str,
        entities: list[Any] | None,
        *,
        random_id: int,
        seconds: float,
        dialogue: "Dialogue",
        **how: Any,
    ) -> Post:
        """Send a message for a client.

        Raises:
            RpcFault: the text, the sender or the moment is not right.
        """
        text, styled = texts.judge(text, entities or [], partial(self._mentioned, sender))
        if isinstance(place, Private):
            self._admit_bot(sender, place)
        place.admit(sender.user_id)
        post = self._post(place, sender, text, styled, random_id=random_id, **how)
        post.sent_at = asyncio.get_running_loop().time() + seconds
        self._sent[sender.user_id, place, random_id] = post
        return self._publish(post, but=dialogue)

    def change(
        self,
        post: Post,
        text: str,
        entities: list[Any] | None,
        *,
        link_preview: bool,
        editor: Account | None = None,
        but: "Dialogue | None" = None,
    ) -> None:
        """Give a message another text, and tell the readers.

        Raises:
            RpcFault: the text is not right, or MESSAGE_NOT_MODIFIED.
        """
        text, styled = texts.judge(text, entities or [], partial(self._mentioned, editor))
        changed = replace(post, text=text, entities=styled, link_preview=link_preview)
        if _looks(changed) == _looks(post):
            raise RpcFault(400, "MESSAGE_NOT_MODIFIED")
        post.text, post.entities, post.link_preview = text, styled, link_preview
        post.edit_date = int(self._dc.now())
        self.news.tell([box.edit(post) for box in post.ids if post.ids[box] in box.posts], but)

    def withdraw(self, posts: Iterable[Post], *, only: Box | None = None, but: "Dialogue | None" = None) -> None:
        """Delete messages that may be gone already, from every box or from one, and tell the readers."""
        gone: list[Event] = []
        for post in posts:
            gone += [box.remove(post) for box in post.ids if post.ids[box] in box.posts and only in (None, box)]
        self.news.tell(gone, but)

    # -------------------------------------------------------------------------------------- internals

    def _publish(self, post: Post, *, but: "Dialogue | None" = None) -> Post:
        post.place.posts.append(post)
        self.news.tell([box.add(post) for box in post.place.boxes], but)
        return post

    def _logged_in(self) -> Iterable[Account]:
        return (session.account for session in self._dc.sessions.values())

    def _wrote_to(self, author: Account, reader: Account) -> bool:
        return any(post.author == author.user_id for post in self.private(author, reader).posts)

    def _admit_bot(self, sender: Account, place: Private) -> None:
        """Bots write neither to bots nor first: https://core.telegram.org/bots/faq."""
        other = self.account(place.other(sender.user_id))
        if not sender.is_bot or other is None or other == sender:
            return
        if other.is_bot:
            raise RpcFault(400, "USER_IS_BOT")
        if not self._wrote_to(other, sender):
            raise RpcFault(400, "PEER_ID_INVALID")

    def _mentioned(self, author: Account | None, asked: Any) -> int:
        account = None if author is None else self.user(author, asked)
        if account is None:
            raise RpcFault(400, "ENTITY_MENTION_USER_INVALID")
        return account.user_id

    def _post(self, place: Place, author: Account, text: str, entities: list[Any], **how: Any) -> Post:
        date = int(self._dc.now())
        return Post(place=place, author=author.user_id, text=text, entities=entities, date=date, **how)


def _looks(post: Post) -> tuple[Any, ...]:
    """What readers see of a message that its author can change."""
    return post.text, [bytes(entity) for entity in post.entities], post.previewed
