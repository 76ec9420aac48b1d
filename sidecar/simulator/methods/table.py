"""The table of methods, filled by the decorator `method` while the files of this package are imported."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sidecar.simulator.datacentre import DataCentre
    from sidecar.simulator.dialogue import Dialogue
    from sidecar.simulator.session import Account, Session


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a method, its wrappers removed."""

    request: Any
    session: "Session"
    dc: "DataCentre"
    dialogue: "Dialogue"
    """The MTProto session that it came in: it is not sent the updates that the call causes."""
    seconds: float = 0.0
    """How long it stays in flight before it is answered, loop time."""

    @property
    def caller(self) -> "Account":
        """Who calls."""
        return self.session.account


Execute = Callable[[Call], Any]


@dataclass(frozen=True, slots=True)
class Method:
    """One entry of the table."""

    execute: Execute
    """Returns a TL object, or a list for a vector."""
    needs_login: bool
    """False for the few that work on a key without a login, and so with a revoked session too."""


METHODS: dict[type, Method] = {}


def method(request: type, *, needs_login: bool = True) -> Callable[[Execute], Execute]:
    """Enter the decorated function into the table as what answers this class of request."""

    def enter(execute: Execute) -> Execute:
        METHODS[request] = Method(execute, needs_login)
        return execute

    return enter
