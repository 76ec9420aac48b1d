"""A message box: one sequence of message identifiers, and one of events.

Source: https://core.telegram.org/api/updates#message-related-event-sequences. An account has one box for its private
chats and basic groups together; a channel or supergroup has one that all its readers share.

Rules of this file: it numbers and remembers. Who may do what, and who is told, is not known here.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.simulator.chats.post import Post


class Happened(Enum):
    """What an event is about."""

    NEW = auto()
    EDITED = auto()
    DELETED = auto()


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a box's history."""

    happened: Happened
    box: "Box"
    pts: int
    """The number of events in the box, this one included."""
    post: "Post"
    id: int
    """The post's identifier in this box."""


class Box:
    """The messages of one sequence."""

    def __init__(self) -> None:
        self.posts: dict[int, Post] = {}
        """What is there now, by identifier."""
        self.events: list[Event] = []
        self.pts = 1
        self._last_id = 0

    def add(self, post: "Post") -> Event:
        """Take a new message in, under the next identifier."""
        self._last_id += 1
        post.ids[self] = self._last_id
        self.posts[self._last_id] = post
        return self._record(Happened.NEW, post)

    def edit(self, post: "Post") -> Event:
        """Note that a message has changed."""
        return self._record(Happened.EDITED, post)

    def remove(self, post: "Post") -> Event:
        """Forget a message. Its identifier is never used again."""
        del self.posts[post.ids[self]]
        return self._record(Happened.DELETED, post)

    def since(self, pts: int) -> list[Event]:
        """The events after that number of them."""
        return [event for event in self.events if event.pts > pts]

    def _record(self, happened: Happened, post: "Post") -> Event:
        self.pts += 1
        event = Event(happened, self, self.pts, post, post.ids[self])
        self.events.append(event)
        return event
