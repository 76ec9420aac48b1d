"""Telling clients what has happened, and who and what it is about.

Source: https://core.telegram.org/api/updates. Updates carry `seq` 0 here: they need no order but that of their boxes.

Rules of this file: it pushes to every session of everybody concerned, except to the client whose own call made it
happen, for which the answer to the call says it.
"""

from typing import TYPE_CHECKING, Any

from telethon.tl import types

from sidecar.simulator.chats import views
from sidecar.simulator.chats.places import Channel, Group, Place, Private

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.simulator.chats.box import Event
    from sidecar.simulator.chats.post import Post
    from sidecar.simulator.datacentre import DataCentre
    from sidecar.simulator.dialogue import Dialogue


class News:
    """What goes to whom."""

    def __init__(self, dc: "DataCentre") -> None:
        self._dc = dc

    def tell(self, events: "Iterable[Event]", but: "Dialogue | None" = None) -> None:
        """Push events to whoever listens, except to one MTProto session."""
        events = list(events)
        for session in self._dc.sessions.values():
            viewer = session.account.user_id
            if not session.listens:
                continue
            for event in events:
                place = event.post.place
                if viewer in place.readers() and place.box(viewer) is event.box:
                    session.push(bytes(self.updates([views.update(event, viewer)], [event.post], viewer)), but)

    def updates(self, updates: list[Any], posts: "Iterable[Post]", viewer: int) -> Any:
        """Put updates together with who and what they are about."""
        users, chats = self.cast(posts, viewer)
        return types.Updates(updates=updates, users=users, chats=chats, date=int(self._dc.now()), seq=0)

    def cast(self, posts: "Iterable[Post]", viewer: int, places: "Iterable[Place]" = ()) -> tuple[list[Any], list[Any]]:
        """The users and the chats that these messages and places speak of, as the viewer is shown them."""
        people: dict[int, None] = {}
        chats: dict[Place, Any] = {}
        for place, author in [*((post.place, post.author) for post in posts), *((place, None) for place in places)]:
            match place:
                case Private():
                    people |= {viewer: None, place.other(viewer): None}
                    continue
                case Group():
                    chats[place] = views.group(place, viewer)
                case Channel():
                    chats[place] = views.channel(place, viewer)
            if author is not None and not views.anonymous(place):
                people[author] = None
        known = (self._dc.chats.account(user_id) for user_id in people)
        return [views.user(account, viewer) for account in known if account is not None], list(chats.values())
