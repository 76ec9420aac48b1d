"""Who is who: the chats that were met, for each new connection forgets them all.

Telegram wants an access hash with an id, which proves that this account has met the chat. Names are looked up once and
remembered for a while; asked often, Telegram answers that with flood waits of hours.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from sidecar.messages import CHANNELS_FROM, Peer, Refusal, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 5000
"""Chats that are remembered; the one not used for the longest time is forgotten first."""

NAME_SECONDS = 3600.0
"""How long a name is believed to lead to the same chat: names change hands."""


class Addresses:
    """The chats that one account has met."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_id: OrderedDict[int, Peer] = OrderedDict()
        self._by_name: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def learn(self, peer: Peer, name: str | None = None) -> None:
        """Remember a chat, and the name that led to it."""
        self._by_id[peer.marked_id] = peer
        self._by_id.move_to_end(peer.marked_id)
        if len(self._by_id) > MOST:
            self._by_id.popitem(last=False)
        if name:
            self._by_name[name] = peer.marked_id, self._clock()
            self._by_name.move_to_end(name)
            if len(self._by_name) > MOST:
                self._by_name.popitem(last=False)

    def forget(self, peer: Peer) -> None:
        """Forget a chat that Telegram says it does not know by that hash, and the names that led to it."""
        self._by_id.pop(peer.marked_id, None)
        for name in [name for name, (marked, _) in self._by_name.items() if marked == peer.marked_id]:
            del self._by_name[name]

    def find(self, chat: str, *, me: int, is_bot: bool) -> Peer | None:
        """Return a chat that can be addressed without asking anybody; None if its name must be looked up.

        Args:
            chat: in the form of `models.canonical_chat`.
            me: the account's own id.
            is_bot: whether it is a bot, for bots need no access hash.

        Raises:
            Refused: it is an id that this account has not met in this process.
        """
        if chat == "me" or chat == str(me):
            return Peer("me", me)
        if not chat.lstrip("-").isdigit():
            return self._named(chat)
        marked = int(chat)
        if known := self._by_id.get(marked):
            self._by_id.move_to_end(marked)
            return known
        if -CHANNELS_FROM < marked < 0:
            return Peer("group", -marked)
        peer = Peer("user", marked) if marked > 0 else Peer("channel", -marked - CHANNELS_FROM)
        if is_bot:
            return peer
        told = (
            f"Telegram wants proof that this account has met {chat}: name the chat by its @name or a t.me link "
            "(an invitation works, too). From then on its id is known until the next start."
        )
        raise Refused(Refusal.UNKNOWN_CHAT, told, "PEER_ID_INVALID")

    def _named(self, name: str) -> Peer | None:
        marked, since = self._by_name.get(name, (0, 0.0))
        if not marked or self._clock() - since > NAME_SECONDS:
            return None
        return self._by_id.get(marked)
