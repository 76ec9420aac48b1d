"""The codes that Telegram has sent, and is waiting to see again.

Source: https://core.telegram.org/api/auth#sending-a-verification-code and the errors of
https://core.telegram.org/method/auth.signIn

Rules of this file: a code belongs to the key that asked for it, and to one phone number.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sidecar.simulator.methods import RpcFault

if TYPE_CHECKING:
    from sidecar.simulator.datacentre import DataCentre
    from sidecar.simulator.login.accounts import Person
    from sidecar.simulator.session import Session

_HASH_BYTES = 9


@dataclass(frozen=True, slots=True)
class _Sent:
    person: "Person"
    session: "Session"
    expires: float


class SentCodes:
    """Every code that was sent, by its phone_code_hash."""

    def __init__(self, dc: "DataCentre", seconds: float) -> None:
        self._dc = dc
        self._seconds = seconds
        self._sent: dict[str, _Sent] = {}

    def send(self, session: "Session", person: "Person") -> str:
        """Send a code; the hash by which the client has to name it."""
        name = self._dc.rng.randbytes(_HASH_BYTES).hex()
        self._sent[name] = _Sent(person, session, self._dc.now() + self._seconds)
        return name

    def sent_to(self, session: "Session", phone: str, name: str) -> "Person":
        """Whom the code of that hash was sent to.

        Raises:
            RpcFault: PHONE_CODE_EXPIRED, also for a hash that is not known here.
        """
        sent = self._sent.get(name)
        if sent is None or sent.session is not session or sent.person.phone != phone:
            raise RpcFault(400, "PHONE_CODE_EXPIRED")
        if self._dc.now() >= sent.expires:
            del self._sent[name]
            raise RpcFault(400, "PHONE_CODE_EXPIRED")
        return sent.person

    def forget(self, session: "Session") -> None:
        """Make every code worthless that this key has asked for: it is logged in."""
        self._sent = {name: sent for name, sent in self._sent.items() if sent.session is not session}
