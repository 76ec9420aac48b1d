"""Makes a session: logs an account in, asks a person for what Telegram wants to know, and hands the session out.

Rules of this file: no terminal and no file; what is asked and told goes through `Person`. A session that is not handed
out is logged out again: nothing half-made stays behind.

Sources: https://core.telegram.org/api/auth (codes), https://core.telegram.org/api/srp (two-step verification),
https://core.telegram.org/api/qr-login (QR codes).
"""

from __future__ import annotations

import asyncio
import base64
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import SecretStr
from telethon import TelegramClient, errors, events, functions, types, utils
from telethon.sessions import StringSession

from sidecar.race import asked_to_stop
from sidecar.telegram.link import SHOWN_AS
from sidecar.telegram.proxy import ProxyFault, transport
from sidecar.telegram.verdicts import verdict
from sidecar.telegram.wire import transport_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

TRIES = 3
"""How often a code, a password or a token may be mistyped; Telegram answers many tries with a long flood wait."""

QR_CODES = 10
"""How many QR codes are shown one after another."""

USUAL_QR_SECONDS, LONGEST_QR_SECONDS = 25.0, 120.0
"""How long a code is shown where our clock cannot tell (Telegram has them expire after 30 s), and what it may tell."""

ANSWER_SECONDS = 15.0
LOG_OUT_SECONDS = 5.0

_PERHAPS_LOGGED_IN = (
    "It may still be logged in: in a Telegram app, under Settings, Devices, end the session telethon-sidecar."
)


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

    def show(self, url: str, seconds: float) -> None:
        """Show a QR code of a link that is good for so many seconds."""
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
        LoginFailed: it did not work, and nothing is left logged in; or the message says that something may be.
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
        **SHOWN_AS,
    )
    try:
        try:
            user = await _logged_in(client, how, person)
            yield NewSession(SecretStr(client.session.save()), _name(user), client.session.dc_id)
        except BaseException as error:
            if not await _surely_logged_out(client):
                told = f"{_told(error)} {_PERHAPS_LOGGED_IN}".strip()
                raise LoginFailed(told) from None
            raise
    except errors.RPCError as error:
        raise LoginFailed(_told(error)) from None
    except OSError as error:  # TimeoutError is one
        raise LoginFailed(_told(error)) from None
    finally:
        with suppress(Exception):  # the session is handed out, or logged out: how its connection ends changes nothing
            async with asyncio.timeout(LOG_OUT_SECONDS):
                await client.disconnect()


async def _logged_in(client: TelegramClient, how: How, person: Person) -> types.User:
    try:
        await _answer(client.connect())
    except OSError as error:  # TimeoutError is one
        through = transport_of(client)
        if through and isinstance(through.failure, ProxyFault):
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


async def _answer(call: Awaitable[Any]) -> Any:
    """Await what Telegram answers, and not for ever; a person's typing is never under this deadline."""
    async with asyncio.timeout(ANSWER_SECONDS):
        try:
            return await call
        except asyncio.CancelledError:
            if asked_to_stop():
                raise
            raise ConnectionError("Telethon dropped the connection") from None


async def _by_phone(client: TelegramClient, person: Person) -> types.User:
    phone = utils.parse_phone(await person.ask("Phone number, with country code"))
    if not phone:
        raise LoginFailed("That is no phone number; begin with + and the country code.")
    await _answer(client.send_code_request(phone))
    person.tell("Telegram has sent a code, to another device of the account or by SMS.")
    for left in reversed(range(TRIES)):
        code = await person.ask("Code")
        try:
            # An empty one would make Telethon ask for another code.
            return await _answer(client.sign_in(phone, code or "0"))
        except errors.SessionPasswordNeededError:
            return await _with_password(client, person)
        except (errors.PhoneCodeInvalidError, errors.PhoneCodeEmptyError):
            person.tell(f"That code is wrong; {_tries(left)}.")
        except errors.PhoneCodeExpiredError:
            person.tell("That code has expired; Telegram has sent another one.")
            await _answer(client.send_code_request(phone))
    raise LoginFailed("Three codes were not right. Wait some minutes, then begin anew.")


async def _with_password(client: TelegramClient, person: Person) -> types.User:
    person.tell("The account has two-step verification.")
    for left in reversed(range(TRIES)):
        password = await person.ask("Password", secret=True)
        try:
            return await _answer(client.sign_in(password=password))
        except (errors.PasswordHashInvalidError, ValueError):  # the latter for an empty one
            person.tell(f"That password is wrong; {_tries(left)}.")
    raise LoginFailed("Three passwords were not right. It is the one of two-step verification, not a code.")


async def _by_qr(client: TelegramClient, person: Person) -> types.User:
    """Show one code after another until one is scanned; each is asked for anew, so a scan that was not heard counts."""
    scanned = asyncio.Event()

    async def hear(_: object) -> None:
        scanned.set()

    client.add_event_handler(hear, events.Raw(types.UpdateLoginToken))
    person.tell("On a phone that is logged in: Settings, Devices, Link Desktop Device; scan this.")
    for number in range(QR_CODES + 1):
        scanned.clear()
        try:
            code = await _export(client)
        except errors.SessionPasswordNeededError:
            return await _with_password(client, person)
        if isinstance(code, types.User):
            return code
        if number == QR_CODES:
            break
        if number:
            person.tell("That code has expired; scan this one.")
        left = code.expires.timestamp() - time.time()
        if not 1 <= left <= LONGEST_QR_SECONDS:
            person.tell("This computer's clock differs from Telegram's; have it set by NTP.")
            left = USUAL_QR_SECONDS
        link = base64.urlsafe_b64encode(code.token).decode().rstrip("=")
        person.show(f"tg://login?token={link}", left)
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await scanned.wait()
    raise LoginFailed("Nobody scanned a code. Begin anew when the phone is at hand.")


async def _export(client: TelegramClient) -> Any:
    """Ask for a code; return it, or the user if one was scanned."""
    request = functions.auth.ExportLoginTokenRequest(client.api_id, client.api_hash, [])
    answer = await _answer(client(request))
    if isinstance(answer, types.auth.LoginTokenMigrateTo):
        await _answer(client._switch_dc(answer.dc_id))  # noqa: SLF001 - as Telethon's own QR log-in does
        answer = await _answer(client(functions.auth.ImportLoginTokenRequest(answer.token)))
    return answer.authorization.user if isinstance(answer, types.auth.LoginTokenSuccess) else answer


async def _by_token(client: TelegramClient, person: Person) -> types.User:
    for left in reversed(range(TRIES)):
        token = await person.ask("Token of the bot, from @BotFather", secret=True)
        try:
            return await _answer(client.sign_in(bot_token=token))
        except (errors.AccessTokenInvalidError, errors.AccessTokenExpiredError, ValueError):
            person.tell(f"Telegram does not know that token; {_tries(left)}.")
    raise LoginFailed("Three tokens were not right. Ask @BotFather for /token.")


async def _surely_logged_out(client: TelegramClient) -> bool:
    """End what may be logged in, whoever asks to stop meanwhile. Return whether it is certain that nothing is."""
    if client.session.auth_key is None:
        return True
    ending = asyncio.create_task(_log_out(client))
    while not ending.done():
        with suppress(asyncio.CancelledError):  # we are ending already
            await asyncio.wait([ending])
    return ending.result()


async def _log_out(client: TelegramClient) -> bool:
    try:
        async with asyncio.timeout(LOG_OUT_SECONDS):
            await client(functions.auth.LogOutRequest())
    except errors.UnauthorizedError:  # it never was
        return True
    except Exception:  # noqa: BLE001 - whatever it is, we do not know
        return False
    return True


def _told(error: BaseException) -> str:
    """Say in a line what went wrong; nothing for what a person did."""
    match error:
        case LoginFailed():
            return str(error)
        case TimeoutError():
            return f"Telegram did not answer within {ANSWER_SECONDS:g} s; see telethon-sidecar check."
        case OSError():
            return f"The connection to Telegram failed ({type(error).__name__}); see telethon-sidecar check."
        case Exception():
            return _MEANINGS.get(type(error), f"{verdict(error).detail}.")
        case _:
            return ""


def _tries(left: int) -> str:
    return "no try is left" if not left else "one try is left" if left == 1 else f"{left} tries are left"


def _name(user: types.User) -> str:
    kind = "bot" if user.bot else "user"
    return f"{kind} @{user.username} (id {user.id})" if user.username else f"{kind} with id {user.id}"


_MEANINGS: dict[type[Exception], str] = {
    errors.PhoneNumberInvalidError: "Telegram does not know this phone number; begin with + and the country code.",
    errors.PhoneNumberBannedError: "This phone number is banned from Telegram.",
    errors.PhoneNumberUnoccupiedError: "There is no account with this phone number; make one in a Telegram app first.",
    errors.PhonePasswordProtectedError: "The account is protected by a password that must be reset in a Telegram app.",
}
"""Error → what it means for a person who logs in; the others have one meaning everywhere, in `verdicts`."""
