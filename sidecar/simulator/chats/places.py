"""Where messages are written: private chats, basic groups, channels and supergroups; and who may do what there.

Source: https://core.telegram.org/api/channel, https://core.telegram.org/api/rights and the errors of
https://core.telegram.org/method/messages.sendMessage, messages.editMessage and channels.deleteMessages.

Rules of this file: a place judges by itself, and says no with the error that Telegram answers. What is a matter of
finding the place (access hashes, names) is in `chats`.
"""

import asyncio
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from telethon.tl import types

from sidecar.simulator.chats.box import Box
from sidecar.simulator.fault import RpcFault
from sidecar.simulator.flood import Flood

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sidecar.simulator.chats.post import Post


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What somebody is in a group or channel. Without any argument, an ordinary member."""

    creator: bool = False
    admin: types.ChatAdminRights | None = None
    """The rights of an administrator; None for everybody else."""
    banned: types.ChatBannedRights | None = None
    """What is forbidden; `view_messages` means that somebody was thrown out."""
    left: bool = False
    """Not, or no longer, a member."""

    @classmethod
    def editor(cls, *, post: bool = True, edit: bool = True, delete: bool = True) -> Self:
        """An administrator with these rights over messages."""
        return cls(
            admin=types.ChatAdminRights(
                post_messages=post or None, edit_messages=edit or None, delete_messages=delete or None
            )
        )

    @classmethod
    def muted(cls) -> Self:
        """A member who may read and not write."""
        return cls(banned=types.ChatBannedRights(until_date=None, send_messages=True))

    @classmethod
    def kicked(cls) -> Self:
        """Somebody who was thrown out."""
        return cls(banned=types.ChatBannedRights(until_date=None, view_messages=True), left=True)

    @property
    def out(self) -> bool:
        """Whether somebody was thrown out."""
        return bool(self.banned and self.banned.view_messages)

    def may(self, right: str) -> bool:
        """Whether somebody has this right of an administrator."""
        return self.creator or bool(self.admin and getattr(self.admin, right))


ABSENT = Member(left=True)


class Place(ABC):
    """Somewhere to write."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        """Every message that was ever sent here, deleted ones too, in order: what a test counts."""
        self._flood = Flood(-math.inf)

    def flood(self, seconds: float) -> None:
        """Answer whoever writes or edits here by FLOOD_WAIT until so many seconds of loop time are over."""
        self._flood = Flood(asyncio.get_running_loop().time() + seconds)

    def check_flood(self) -> None:
        """Raise the FLOOD_WAIT of this place, if there is one.

        Raises:
            RpcFault: FLOOD_WAIT_n.
        """
        self._flood.check()

    def admit(self, user_id: int) -> None:
        """Let somebody write a message here, now.

        Raises:
            RpcFault: they may not, or not yet.
        """
        self.check_flood()
        self._admit(user_id, asyncio.get_running_loop().time())

    @abstractmethod
    def box(self, user_id: int) -> Box:
        """The box in which this person finds the messages of this place."""

    @abstractmethod
    def readers(self) -> "Iterable[int]":
        """Who is told of what happens here, by user id."""

    @abstractmethod
    def may_edit(self, user_id: int, post: "Post") -> bool:
        """Whether a person may change this message, its age aside."""

    @abstractmethod
    def may_delete(self, user_id: int, post: "Post") -> bool:
        """Whether a person may delete this message for everybody."""

    @abstractmethod
    def _admit(self, user_id: int, now: float) -> None: ...

    @property
    def boxes(self) -> "dict[Box, None]":
        """The boxes in which a message is put that is written here, each once."""
        return dict.fromkeys(self.box(reader) for reader in self.readers())


class Private(Place):
    """The chat of two people, or of one with themselves."""

    def __init__(self, boxes: "Mapping[int, Box]") -> None:
        super().__init__()
        self._boxes = dict(boxes)
        self.blocked_by: set[int] = set()
        """Who of the two has blocked the other, by user id."""

    def box(self, user_id: int) -> Box:
        """As `Place` says."""
        return self._boxes[user_id]

    def readers(self) -> "Iterable[int]":
        """As `Place` says."""
        return self._boxes

    def other(self, user_id: int) -> int:
        """With whom this person talks here, by user id."""
        return next((reader for reader in self._boxes if reader != user_id), user_id)

    def may_edit(self, user_id: int, post: "Post") -> bool:
        """As `Place` says."""
        return user_id == post.author

    def may_delete(self, user_id: int, post: "Post") -> bool:  # noqa: ARG002 - the signature is of `Place`
        """As `Place` says. In a private chat both may."""
        return True

    def _admit(self, user_id: int, now: float) -> None:  # noqa: ARG002 - the signature is of `Place`
        if user_id in self.blocked_by:
            raise RpcFault(400, "YOU_BLOCKED_USER")
        if self.blocked_by:
            raise RpcFault(403, "USER_IS_BLOCKED")


class _Many(Place):
    """What groups and channels have in common: members."""

    def __init__(self, place_id: int, title: str, members: "Mapping[int, Member]", everyone: Member) -> None:
        super().__init__()
        self.id = place_id
        """As Telegram knows it: positive, without -100."""
        self.title = title
        self.members = dict(members)
        """What somebody is here, by user id. A test may change it at any time."""
        self.everyone = everyone
        """What everybody else is."""
        self.nobody_writes = False
        """Whether only administrators may write, in a group."""

    def member(self, user_id: int) -> Member:
        """What somebody is here."""
        return self.members.get(user_id, self.everyone)

    def may_edit(self, user_id: int, post: "Post") -> bool:
        """As `Place` says."""
        return user_id == post.author

    def may_delete(self, user_id: int, post: "Post") -> bool:
        """As `Place` says."""
        return user_id == post.author or self.member(user_id).may("delete_messages")

    def _admit_to_group(self, member: Member) -> None:
        if member.creator or member.admin:
            return
        if member.banned and member.banned.send_messages:
            raise RpcFault(400, "USER_BANNED_IN_CHANNEL")
        if member.left or self.nobody_writes:
            raise RpcFault(403, "CHAT_WRITE_FORBIDDEN")


class Group(_Many):
    """A basic group: each of its members has the messages in a box of their own."""

    def __init__(self, place_id: int, title: str, members: "Mapping[int, Member]", boxes: "Mapping[int, Box]") -> None:
        super().__init__(place_id, title, members, ABSENT)
        self._boxes = boxes

    def box(self, user_id: int) -> Box:
        """As `Place` says."""
        return self._boxes[user_id]

    def readers(self) -> "Iterable[int]":
        """As `Place` says."""
        return [user_id for user_id, member in self.members.items() if not member.left]

    def _admit(self, user_id: int, now: float) -> None:  # noqa: ARG002 - the signature is of `Place`
        self._admit_to_group(self.member(user_id))


class Channel(_Many):
    """A channel, where administrators write, or a supergroup, where members do."""

    def __init__(
        self,
        place_id: int,
        title: str,
        members: "Mapping[int, Member]",
        everyone: Member,
        *,
        username: str | None,
        megagroup: bool,
        slow_mode: float,
    ) -> None:
        super().__init__(place_id, title, members, everyone)
        self.username = username
        """Without it, a channel is private."""
        self.megagroup = megagroup
        """Whether it is a supergroup."""
        self.slow_mode = slow_mode
        """Seconds between two messages of one member; administrators are free of it. 0 if it is off."""
        self._box = Box()
        self._written: dict[int, float] = {}  # when each member last wrote, loop time

    def box(self, user_id: int) -> Box:  # noqa: ARG002 - the signature is of `Place`
        """As `Place` says."""
        return self._box

    def readers(self) -> "Iterable[int]":
        """As `Place` says. Who is here because everybody is, is not told of anything."""
        return [user_id for user_id, member in self.members.items() if not member.left]

    @property
    def boxes(self) -> "dict[Box, None]":
        """As `Place` says."""
        return {self._box: None}

    def may_be_seen_by(self, user_id: int) -> bool:
        """Whether somebody may look inside."""
        member = self.member(user_id)
        return not member.out and not (member.left and self.username is None)

    def may_edit(self, user_id: int, post: "Post") -> bool:
        """As `Place` says. In a channel its editors may, too."""
        member = self.member(user_id)
        if self.megagroup:
            return user_id == post.author
        return member.may("edit_messages") or (user_id == post.author and member.may("post_messages"))

    def _admit(self, user_id: int, now: float) -> None:
        member = self.member(user_id)
        if not self.megagroup:
            self._admit_to_channel(member)
            return
        self._admit_to_group(member)
        if member.creator or member.admin:
            return
        wait = self._written.get(user_id, -math.inf) + self.slow_mode - now
        if wait > 0:
            raise RpcFault(420, f"SLOWMODE_WAIT_{math.ceil(wait)}")
        self._written[user_id] = now

    def _admit_to_channel(self, member: Member) -> None:
        if member.may("post_messages"):
            return
        if member.admin:
            raise RpcFault(403, "CHAT_ADMIN_REQUIRED")
        raise RpcFault(403, "CHAT_WRITE_FORBIDDEN")
