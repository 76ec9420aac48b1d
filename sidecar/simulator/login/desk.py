"""The desk at which strangers are let in: the parts of this package, and the accounts, around one data centre.

Rules of this file: the only one that knows the data centre as a whole. `enter` is the only way in.
"""

from collections.abc import Iterable
from typing import Any

from telethon.tl import types

from sidecar.simulator.datacentre import DataCentre
from sidecar.simulator.envelope import AuthKey
from sidecar.simulator.login import methods
from sidecar.simulator.login.accounts import Bot, Person
from sidecar.simulator.login.codes import SentCodes
from sidecar.simulator.login.key_exchange import KeyExchange
from sidecar.simulator.login.password import Challenge, Verifier
from sidecar.simulator.login.rsa_key import RsaKey
from sidecar.simulator.login.tokens import Tokens
from sidecar.simulator.methods import RpcFault
from sidecar.simulator.methods.users import user
from sidecar.simulator.session import Account, Refusal, Session

NOBODY = Account(user_id=0, first_name="", last_name=None, username=None, phone=None, is_bot=False)
"""Who is logged in with a fresh key. No method shows it: the key's calls are refused."""

_STRANGER = Refusal(401, "AUTH_KEY_UNREGISTERED")


class LogIn:
    """Makes a data centre one that can be logged in to. Levers, `fail` and counters work on the new calls too."""

    def __init__(
        self,
        dc: DataCentre,
        *,
        people: Iterable[Person] = (),
        bots: Iterable[Bot] = (),
        key: RsaKey | None = None,
        code_seconds: float = 120,
        token_seconds: int = 30,
    ) -> None:
        """Switch it on, for good.

        Args:
            dc: the data centre.
            people: its user accounts, each with a phone number of its own.
            bots: its bot accounts.
            key: its RSA key; a new one, which takes a second, if it is None.
            code_seconds: how long a code is good for. Telegram does not say; it takes minutes.
            token_seconds: how long a QR code is good for. Source: https://core.telegram.org/api/qr-login
        """
        self.dc = dc
        self.key = RsaKey.generate() if key is None else key
        self.people = {person.phone: person for person in people}
        self.bots = {bot.token: bot for bot in bots}
        self.codes = SentCodes(dc, code_seconds)
        self.tokens = Tokens(dc, token_seconds)
        self.scanned: dict[Session, Person] = {}
        """Keys whose token was accepted, and by whom."""
        self._pending: dict[Session, Person] = {}  # everything is done but the password
        self._challenges: dict[Session, Challenge] = {}
        self._verifiers: dict[Person, Verifier] = {}
        dc.unencrypted = KeyExchange(dc, self.key, self._take_key).answer
        dc.methods = {**dc.methods, **methods.table(self)}

    @property
    def pem(self) -> str:
        """The public RSA key, for a test to make a client trust."""
        return self.key.pem

    @property
    def logged_in(self) -> list[Session]:
        """The sessions that are logged in now, however they came to be. Fresh and half-way ones are not among them."""
        return [session for session in self.dc.sessions.values() if session.refusal is None]

    def scan(self, url: str, phone: str) -> None:
        """Scan a QR code with another device of that person: auth.acceptLoginToken, as seen from outside.

        Args:
            url: what the QR code shows, tg://login?token=...
            phone: of whom.

        Raises:
            RpcFault: AUTH_TOKEN_INVALID, AUTH_TOKEN_EXPIRED or AUTH_TOKEN_ALREADY_ACCEPTED; what that device is told.
            KeyError: there is no such person.
        """
        person = self.people[phone]
        session = self.tokens.accept(url)
        self.scanned[session] = person
        session.push(bytes(types.UpdateShort(types.UpdateLoginToken(), int(self.dc.now()))))

    # ---------------------------------------------------------------- what the methods come back to

    def let_in(self, session: Session, person: Person) -> Any:
        """Log a person in who has shown a code or a token.

        Raises:
            RpcFault: SESSION_PASSWORD_NEEDED if a password has to be shown, too.
        """
        if person.password is not None:
            self._pending[session] = person
            raise RpcFault(401, "SESSION_PASSWORD_NEEDED")
        return self.enter(session, person.account)

    def challenge(self, session: Session) -> tuple[Person, Challenge]:
        """Whose password is waited for, and a new challenge, which replaces the one before.

        Raises:
            RpcFault: AUTH_KEY_UNREGISTERED if nobody's is.
        """
        person = self._pending.get(session)
        if person is None:
            raise RpcFault(_STRANGER.code, _STRANGER.message)
        verifier = self._verifiers.get(person)
        if verifier is None:
            verifier = self._verifiers[person] = Verifier(person.password or "", self.dc.rng)
        challenge = self._challenges[session] = Challenge.new(verifier, self.dc.rng)
        return person, challenge

    def check_password(self, session: Session, answer: Any) -> Any:
        """Log the person in whose password was waited for. A challenge is used once.

        Raises:
            RpcFault: AUTH_KEY_UNREGISTERED, or what `Challenge.check` says.
        """
        person = self._pending.get(session)
        if person is None:
            raise RpcFault(_STRANGER.code, _STRANGER.message)
        challenge = self._challenges.pop(session, None)
        if challenge is None:
            raise RpcFault(400, "SRP_ID_INVALID")
        challenge.check(answer)
        return self.enter(session, person.account)

    def enter(self, session: Session, account: Account) -> Any:
        """Log an account in on a key; the auth.authorization that says so."""
        session.account = account
        session.refusal = None
        self.codes.forget(session)
        self.scanned.pop(session, None)
        self._pending.pop(session, None)
        return types.auth.Authorization(user(account))

    # -------------------------------------------------------------------------------- internals

    def _take_key(self, key: AuthKey, salt: int) -> bool:
        if key.id in self.dc.sessions:
            return False
        session = Session(self.dc, NOBODY, self.dc.rng, key)
        session.refusal = _STRANGER
        session.salt = salt
        self.dc.sessions[session.key_id] = session
        return True
