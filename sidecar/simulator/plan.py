"""What is planned ahead for calls: "the next two calls of users.getUsers fail with 420 FLOOD_WAIT_3".

Rules of this file: a plan knows method names and bytes, nothing of connections. What is planned for one method is used
up in the order in which it was planned. An answer goes before everything the method itself would say; a mishap lets
the method do its work, and then something happens to its answer.
"""

from collections import defaultdict, deque
from dataclasses import dataclass

from telethon.tl import types

from sidecar.simulator.naming import METHOD_NAMES


@dataclass(eq=False, kw_only=True)
class Planned:
    """Something for the next calls of a method."""

    method: str
    times: int | None = 1
    """How many calls are left; None means all of them."""
    served: int = 0
    """How many calls it was for so far."""

    def __post_init__(self) -> None:
        if self.method not in METHOD_NAMES:
            raise ValueError(f"{self.method!r} is not a method of Telegram; names are like 'users.getUsers'")


@dataclass(eq=False, kw_only=True)
class RawAnswer(Planned):
    """The next calls of a method are answered by these bytes, good TL or not."""

    body: bytes


@dataclass(eq=False, kw_only=True)
class Mishap(Planned):
    """The next calls of a method are executed, and the client does not hear of it, or not at once."""

    lost: bool = False
    """There is no answer."""
    reset: bool = False
    """The connection is reset (RST) instead of an answer."""
    seconds: float = 0.0
    """So long the call is in flight, loop time, until it is answered. Other answers may overtake it."""


@dataclass(eq=False, kw_only=True)
class Failure(RawAnswer):
    """The next calls of a method fail with this rpc_error."""

    code: int
    message: str
    body: bytes = b""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.body = bytes(types.RpcError(self.code, self.message))


class Plan:
    """Everything planned for one data centre."""

    def __init__(self) -> None:
        self._planned: defaultdict[str, deque[Planned]] = defaultdict(deque)

    def add(self, planned: Planned) -> None:
        """Append to what is planned for the method."""
        self._planned[planned.method].append(planned)

    def take(self, method: str) -> Planned | None:
        """What is planned for this call of the method, or None."""
        if not self._planned or not (queue := self._planned.get(method)):
            return None
        planned = queue[0]
        planned.served += 1
        if planned.times is not None:
            planned.times -= 1
            if planned.times <= 0:
                queue.popleft()
        return planned

    def clear(self, method: str | None = None) -> None:
        """Forget the plans for one method, or for all."""
        if method is None:
            self._planned.clear()
        else:
            self._planned.pop(method, None)
