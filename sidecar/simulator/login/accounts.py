"""The accounts that the simulated Telegram knows.

Rules of this file: data only. What belongs to an account stands here, what happens to it while somebody logs in does
not. What would let somebody in is in no repr: a failing test prints these objects.
"""

from dataclasses import dataclass, field

from sidecar.simulator.session import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user account."""

    phone: str
    """In digits alone, with the country code. It names the account wherever one has to be named."""
    code: str = field(default="12345", repr=False)
    """The code that Telegram sends to the account, every time."""
    password: str | None = field(default=None, repr=False)
    """The password of the second step, if there is one."""
    hint: str | None = None
    """What the person wrote down to remember the password by."""
    banned: bool = False
    user_id: int = 2_000_001
    first_name: str = "Simulated"
    last_name: str | None = "Person"
    username: str | None = "simulated_person"

    @property
    def account(self) -> Account:
        """Who is logged in once this person is."""
        return Account(
            user_id=self.user_id,
            first_name=self.first_name,
            last_name=self.last_name,
            username=self.username,
            phone=self.phone,
            is_bot=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """A bot account."""

    token: str = field(repr=False)
    """What BotFather hands out: `user_id:secret`. Source: https://core.telegram.org/api/bots#login"""
    expired: bool = False
    """Whether BotFather has handed out another token since."""
    first_name: str = "Simulated bot"
    username: str = "simulated_bot"

    @property
    def account(self) -> Account:
        """Who is logged in once this bot is."""
        return Account(
            user_id=int(self.token.partition(":")[0]),
            first_name=self.first_name,
            last_name=None,
            username=self.username,
            phone=None,
            is_bot=True,
        )
