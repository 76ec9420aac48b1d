"""A message, as it was written; what a reader is shown of it is made in `views`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sidecar.simulator.chats.box import Box
    from sidecar.simulator.chats.places import Place


@dataclass(eq=False, slots=True, kw_only=True)
class Post:
    """One message. It has a copy, with an identifier of its own, in each box of its place."""

    place: "Place"
    author: int
    """User id of who wrote it, even where readers do not learn it."""
    text: str
    entities: list[Any]
    date: int
    """Seconds since 1970, by the server's clock."""
    random_id: int = 0
    """What the sender named it by; 0 for what a test says."""
    reply_to: "Post | None" = None
    silent: bool = False
    link_preview: bool = False
    """Whether the sender wanted one."""
    edit_date: int | None = None
    sent_at: float = 0.0
    """Loop time at which it is sent: until then the call that sends it is in flight."""
    ids: "dict[Box, int]" = field(default_factory=dict)
    """Its identifier in each box, for good; whether it is still there, the box knows."""

    @property
    def previewed(self) -> bool:
        """Whether readers would see a preview: there has to be a link. None is made."""
        return self.link_preview and "://" in self.text
