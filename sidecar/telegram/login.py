"""Makes a session: logs an account in, asks a person for what Telegram wants to know, and hands the session out.

Rules of this file: no terminal and no file; what is asked and told goes through `Person`. A session that is not handed
out is logged out again: nothing half-made stays behind.

Sources: https://core.telegram.org/api/auth (codes), https://core.telegram.org/api/srp (two-step verification),
https://core.telegram.org/api/qr-login (QR codes).
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from pydantic import SecretStr
from telethon import TelegramClient, errors, utils
from telethon.sessions import StringSession

from sidecar.race import background
from sidecar.telegram.proxy import ProxyFault, transport
from sidecar.telegram.wire import Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from telethon import types

TRIES = 3
"""How often a code, a password or a token may be mistyped; Telegram answers many tries with a long flood wait."""

QR_CODES = 10
"""How many QR codes are shown one after another; each lives for about 30 s."""

CONNECT_SECONDS = 15.0
LOG_OUT_SECONDS = 5.0


class How(StrEnum):
    """The ways to log in."""

    PHONE = "phone"
    QR = "qr"
    BOT = "bot"


class LoginFailed(Exception):
    """No session was made. The message is a line for a person."""


class Person(Protocol):
    """Whoever logs in."""

    async def ask(self, question: str, *, secret: bool = False) -> str:
        """Ask, and return the answer without white space around it; hide what is typed if it is a secret."""
        ...

    def tell(self, line: str) -> None:
        """Say how it goes."""
        ...

    def show(self, url: str, expires: datetime) -> None:
        """Show a QR code of a link that is good until a moment."""
        ...


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that is logged in.

    Attributes:
        string: Telethon's StringSession.
        name: what to call the account in front of a person; no phone number.
        dc: the number of its data centre.
    """

    string: SecretStr
    name: str
    dc: int


@asynccontextmanager
async def log_in(
    how: How, api_id: int, api_hash: SecretStr, person: Person, *, ipv6: bool = False, proxy: SecretStr | None = None
) -> AsyncIterator[NewSession]:
    """Log in, and hand the session to the block; if the block fails, log out again.

    Raises:
        LoginFailed: it did not work, and nothing is left logged in.
    """
    connection, through = transport(proxy)
    client = TelegramClient(
        StringSession(),  # Telethon begins at its default data centre; Telegram may send the account to another one
        api_id,
        api_hash.get_secret_value(),
        connection=connection,
        proxy=through,
        use_ipv6=ipv6,
        flood_sleep_threshold=0,
        connection_retries=5,  # one key exchange in 256 fails in Telethon
        request_retries=1,
        device_model="telethon-sidecar",
        system_version="1.0",
        app_version="1.0",
    )
    try:
        try:
            user = await _logged_in(client, how, person)
            yield NewSession(SecretStr(client.session.save()), _name(user), client.session.dc_id)
        except BaseException:
            await _log_out(client)
            raise
    except errors.FloodError as error:
        seconds = getattr(error, "seconds", None)
        wait = f"{seconds} s" if seconds else "a while"
        raise LoginFailed(f"Telegram asks to wait {wait} before the next try; asking earlier prolongs it.") from None
    except errors.RPCError as error:
        raise LoginFailed(_MEANINGS.get(type(error), f"Telegram refused: {type(error).__name__}.")) from None
    except OSError as error:  # TimeoutError is one
        raise LoginFailed(
            f"The connection to Telegram failed ({type(error).__name__}); see telethon-sidecar check."
        ) from None
    finally:
        await client.disconnect()


async def _logged_in(client: TelegramClient, how: How, person: Person) -> types.User:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await client.connect()
    except OSError as error:  # TimeoutError is one
        through = client._sender._connection  # noqa: SLF001 - Telethon hides behind an error of its own why dialling failed
        if isinstance(through, Transport) and isinstance(through.failure, ProxyFault):
            raise LoginFailed(f"Telegram cannot be reached: {through.failure.detail}.") from error
        where = f"data centre {client.session.dc_id} ({client.session.server_address}:{client.session.port})"
        raise LoginFailed(f"Telegram cannot be reached at {where}; see telethon-sidecar check.") from None
    match how:
        case How.PHONE:
            return await _by_phone(client, person)
        case How.QR:
            return await _by_qr(client, person)
        case How.BOT:
            return await _by_token(client, person)


async def _by_phone(client: TelegramClient, person: Person) -> types.User:
    phone = utils.parse_phone(await person.ask("Phone number, with country code"))
    if not phone:
        raise LoginFailed("That is no phone number; begin with + and the country code.")
    await client.send_code_request(phone)
    person.tell("Telegram has sent a code, to another device of the account or by SMS.")
    for left in reversed(range(TRIES)):
        code = await person.ask("Code")
        try:
            # An empty one would make Telethon ask for another code.
            return await client.sign_in(phone, code or "0")
        except errors.SessionPasswordNeededError:
            return await _with_password(client, person)
        except (errors.PhoneCodeInvalidError, errors.PhoneCodeEmptyError):
            person.tell(f"That code is wrong; {_tries(left)}.")
        except errors.PhoneCodeExpiredError:
            person.tell("That code has expired; Telegram has sent another one.")
            await client.send_code_request(phone)
    raise LoginFailed("Three codes were not right. Wait some minutes, then begin anew.")


async def _with_password(client: TelegramClient, person: Person) -> types.User:
    person.tell("The account has two-step verification.")
    for left in reversed(range(TRIES)):
        try:
            return await client.sign_in(password=await person.ask("Password", secret=True))
        except (errors.PasswordHashInvalidError, ValueError):  # the latter for an empty one
            person.tell(f"That password is wrong; {_tries(left)}.")
    raise LoginFailed("Three passwords were not right. It is the one of two-step verification, not a code.")


async def _by_qr(client: TelegramClient, person: Person) -> types.User:
    person.tell("On a phone that is logged in: Settings, Devices, Link Desktop Device; scan this.")
    code = await client.qr_login()
    for _ in range(QR_CODES):
        # A scan that comes before Telethon waits for it is missed.
        async with background(code.wait()) as (waiting,):
            await asyncio.sleep(0)
            person.show(code.url, code.expires)
            await asyncio.wait([waiting])
        try:
            return waiting.result()
        except errors.SessionPasswordNeededError:
            return await _with_password(client, person)
        except TimeoutError:
            person.tell("That code has expired; scan this one.")
            await code.recreate()
    raise LoginFailed("Nobody scanned a code. Begin anew when the phone is at hand.")


async def _by_token(client: TelegramClient, person: Person) -> types.User:
    for left in reversed(range(TRIES)):
        try:
            return await client.sign_in(bot_token=await person.ask("Token of the bot, from @BotFather", secret=True))
        except (errors.AccessTokenInvalidError, errors.AccessTokenExpiredError, ValueError):
            person.tell(f"Telegram does not know that token; {_tries(left)}.")
    raise LoginFailed("Three tokens were not right. Ask @BotFather for /token.")


async def _log_out(client: TelegramClient) -> None:
    """End what may be logged in. What was never logged in is answered with an error, and that is well."""
    with suppress(errors.RPCError, OSError, ValueError):
        async with asyncio.timeout(LOG_OUT_SECONDS):
            await client.log_out()


def _tries(left: int) -> str:
    return "no try is left" if not left else "one try is left" if left == 1 else f"{left} tries are left"


def _name(user: types.User) -> str:
    kind = "bot" if user.bot else "user"
    return f"{kind} @{user.username} (id {user.id})" if user.username else f"{kind} with id {user.id}"


_MEANINGS: dict[type[errors.RPCError], str] = {
    errors.ApiIdInvalidError: "API_ID and API_HASH do not belong together; compare them with my.telegram.org.",
    errors.ApiIdPublishedFloodError: "This API_ID is a published one, and blocked; get your own at my.telegram.org.",
    errors.PhoneNumberInvalidError: "Telegram does not know this phone number; begin with + and the country code.",
    errors.PhoneNumberBannedError: "This phone number is banned from Telegram.",
    errors.PhoneNumberUnoccupiedError: "There is no account with this phone number; make one in a Telegram app first.",
    errors.PhonePasswordProtectedError: "The account is protected by a password that must be reset in a Telegram app.",
    errors.UserDeactivatedBanError: "The account is banned.",
}
"""Error → what it means for a person."""
