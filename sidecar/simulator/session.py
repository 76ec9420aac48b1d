"""A Telegram session: an authorisation key and the account that is logged in with it.

Source: https://core.telegram.org/api/auth and https://core.telegram.org/api/errors#406-not-acceptable

Rules of this file: what belongs to the key lives here (account, salt, whether it is refused, who is connected
with it). What belongs to one MTProto session is in `dialogue`, to one TCP connection in `connection`.
"""

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from telethon.crypto import AuthKey as TelethonKey
from telethon.sessions import StringSession

from sidecar.simulator.dialogue import Dialogue
from sidecar.simulator.envelope import KEY_BYTES, AuthKey

if TYPE_CHECKING:
    from sidecar.simulator.connection import Connection
    from sidecar.simulator.datacentre import DataCentre

_DIALOGUES = 64
"""MTProto sessions remembered per key. A client whose session is forgotten is told of a new one; no harm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who is logged in."""

    user_id: int
    first_name: str
    last_name: str | None
    username: str | None
    phone: str | None
    is_bot: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """The rpc_error that every later call gets."""

    code: int
    message: str


class Session:
    """One login. Made by `DataCentre.create_session`, or by `login` for a key that was exchanged."""

    def __init__(self, dc: "DataCentre", account: Account, rng: random.Random, key: AuthKey | None = None) -> None:
        self.account = account
        self.key = AuthKey(rng.randbytes(KEY_BYTES)) if key is None else key
        self.refusal: Refusal | None = None
        """Set once Telegram has revoked the session."""
        self.initialised = False
        """Whether initConnection has been seen on this key."""
        self.layer: int | None = None
        """The layer of the schema that the client asked for."""
        self.duplicate_kills = False
        """Lever: a second live connection on the key ends the session for good, as Telegram does."""
        self.worst_overlap = 0
        """The most connections that were live at once on this key, minus one: 0 if there were never two."""
        self.salt = 0
        self._dc = dc
        self._rng = rng
        self._connections: set[Connection] = set()
        self._dialogues: dict[int, Dialogue] = {}
        self.change_salt()

    @property
    def key_id(self) -> int:
        """The key's identifier, as Telethon's `AuthKey.key_id`."""
        return self.key.id

    @property
    def string(self) -> str:
        """A Telethon session string for this login that points at the simulator.

        Raises:
            RuntimeError: the data centre has not been entered, so its port is not known yet.
        """
        if not self._dc.port:
            raise RuntimeError("the data centre has no port yet: enter it first")
        stored = StringSession()
        stored.set_dc(self._dc.dc_id, self._dc.host, self._dc.port)
        stored.auth_key = TelethonKey(self.key.data)
        return str(stored.save())

    @property
    def connections(self) -> int:
        """Live connections that have used this key."""
        return sum(connection.alive for connection in self._connections)

    @property
    def answered(self) -> bool:
        """Whether a client that holds this key and says that it is connected is right: what it asks is answered."""
        return self.refusal is None and any(connection.answered for connection in self._connections)

    def revoke(self, message: str = "SESSION_REVOKED", code: int = 401) -> None:
        """Refuse every later call that needs a login. Connections stay, and pings are still answered."""
        self.refusal = Refusal(code, message)

    def restore(self) -> None:
        """Undo `revoke` and `forget`, and a death by duplication, which Telegram never undoes."""
        self.refusal = None
        self._dc.sessions[self.key_id] = self

    def forget(self) -> None:
        """Lose the key: whoever uses it gets transport error -404."""
        self._dc.sessions.pop(self.key_id, None)

    def change_salt(self) -> None:
        """Make the salt in use invalid: the next message with it is answered by bad_server_salt."""
        # Never 0, with which every client starts; and a salt is a signed number in Telethon.
        self.salt = self._rng.randrange(1, 1 << 63)

    def attach(self, connection: "Connection") -> None:
        """Note that a connection has used this key, and whether it is alone."""
        if connection in self._connections:
            return
        self._connections.add(connection)
        overlap = self.connections - 1
        self.worst_overlap = max(self.worst_overlap, overlap)
        if overlap > 0 and self.duplicate_kills:
            self.refusal = Refusal(406, "AUTH_KEY_DUPLICATED")

    def detach(self, connection: "Connection") -> None:
        """Note that a connection is gone."""
        self._connections.discard(connection)

    @property
    def listens(self) -> bool:
        """Whether a live connection wants updates."""
        return any(connection.listens(self) for connection in self._connections)

    def push(self, update: bytes, but: "Dialogue | None" = None) -> None:
        """Send an update on every live connection of a client that wants them. Others never hear of it.

        Args:
            update: an object of the type Updates.
            but: the MTProto session that is not told, because its own call is the cause.
        """
        for connection in self._connections:
            if connection.listens(self, but):
                connection.push(self, update)

    def dialogue(self, session_id: int) -> Dialogue:
        """The MTProto session of that identifier, new if it is unknown."""
        found = self._dialogues.get(session_id)
        if found is None:
            found = self._dialogues[session_id] = Dialogue(session_id)
            if len(self._dialogues) > _DIALOGUES:
                del self._dialogues[next(iter(self._dialogues))]
        return found

    def end_dialogue(self, session_id: int) -> bool:
        """Forget an MTProto session; whether there was one."""
        return self._dialogues.pop(session_id, None) is not None
