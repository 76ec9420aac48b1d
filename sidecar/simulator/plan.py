"""Answers planned ahead: "the next two calls of users.getUsers fail with 420 FLOOD_WAIT_3".

Rules of this file: a plan knows method names and bytes, nothing of connections. Planned answers of one method
are used up in the order in which they were planned, and go before everything the method itself would say.
"""

from collections import defaultdict, deque
from dataclasses import dataclass

from telethon.tl import types

from sidecar.simulator.naming import METHOD_NAMES


@dataclass(eq=False, kw_only=True)
class RawAnswer:
    """The next calls of a method are answered by these bytes, good TL or not."""

    method: str
    body: bytes
    times: int | None = 1
    """How many calls are left; None means all of them."""
    served: int = 0
    """How many calls got this answer so far."""

    def __post_init__(self) -> None:
        if self.method not in METHOD_NAMES:
            raise ValueError(f"{self.method!r} is not a method of Telegram; names are like 'users.getUsers'")


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
        self._planned: defaultdict[str, deque[RawAnswer]] = defaultdict(deque)

    def add(self, answer: RawAnswer) -> None:
        """Append to what is planned for the method."""
        self._planned[answer.method].append(answer)

    def take(self, method: str) -> bytes | None:
        """The body of the next planned answer, or None if nothing is planned."""
        if not self._planned or not (queue := self._planned.get(method)):
            return None
        answer = queue[0]
        answer.served += 1
        if answer.times is not None:
            answer.times -= 1
            if answer.times <= 0:
                queue.popleft()
        return answer.body

    def clear(self, method: str | None = None) -> None:
        """Forget the plans for one method, or for all."""
        if method is None:
            self._planned.clear()
        else:
            self._planned.pop(method, None)
