"""The unmodified Telethon client logs in, in every way there is, and in every way that fails."""

import asyncio
import sys
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import pytest
from telethon import TelegramClient, errors, functions, types
from telethon.password import compute_check
from telethon.sessions import StringSession

from sidecar import __version__
from sidecar.simulator import DataCentre, Session
from sidecar.simulator.login import Bot, LogIn, Person
from sidecar.simulator.methods import RpcFault
from tests.datacentre_process import ROOT

from .conftest import Arrive, Dial, Raw
from .raw import initial, self_user
from .trust import dialling

PLAIN, CAREFUL, BANNED = "15550101", "15550102", "15550103"
CODES = {PLAIN: "24680", CAREFUL: "13579"}
PASSWORD = "correct horse"


@pytest.fixture
async def telethon(login: LogIn, arrive: Arrive) -> Any:
    """A client with a key, and nobody logged in."""
    return await arrive()


@pytest.fixture
async def halfway(telethon: Any) -> Any:
    """A client that has shown the code, and is to show the password."""
    await telethon.send_code_request(CAREFUL)
    with pytest.raises(errors.SessionPasswordNeededError):
        await telethon.sign_in(CAREFUL, CODES[CAREFUL])
    return telethon


def who(login: LogIn) -> list[str | None]:
    """The user names that are logged in."""
    return [session.account.username for session in login.logged_in]


async def test_phone_and_code(dc: DataCentre, login: LogIn, telethon: Any) -> None:
    """The code that was sent to the phone logs its owner in."""
    sent = await telethon.send_code_request("+1 555-0101")
    assert (sent.type.length, sent.timeout) == (5, 60)
    assert who(login) == []
    me = await telethon.sign_in(PLAIN, CODES[PLAIN])
    assert (me.id, me.username, me.phone, me.bot) == (11, "plain", PLAIN, False)
    assert who(login) == ["plain"]
    assert dc.violations == []


async def test_the_session_afterwards(dc: DataCentre, login: LogIn, telethon: Any, arrive: Arrive) -> None:
    """What Telethon saves is a session as any other: another client goes on with it."""
    await telethon.send_code_request(PLAIN)
    await telethon.sign_in(PLAIN, CODES[PLAIN])
    saved = telethon.session.save()
    assert saved == login.logged_in[0].string
    await telethon.disconnect()
    again = TelegramClient(StringSession(saved), 1, "0" * 32, receive_updates=False)
    await again.connect()
    (me,) = await again(self_user())
    assert me.id == 11
    await again.disconnect()
    assert dc.violations == []
    assert [session.worst_overlap for session in login.logged_in] == [0]


@pytest.mark.parametrize(
    ("phone", "error"),
    [("15559999", errors.PhoneNumberInvalidError), (BANNED, errors.PhoneNumberBannedError)],
)
async def test_a_phone_that_gets_no_code(login: LogIn, telethon: Any, phone: str, error: type[Exception]) -> None:
    """Nothing is sent to a number that is unknown or banned."""
    with pytest.raises(error):
        await telethon.send_code_request(phone)
    assert who(login) == []


async def test_a_flood_wait(dc: DataCentre, login: LogIn, telethon: Any) -> None:
    """Planned failures work on the log-in calls too."""
    dc.fail("auth.sendCode", code=420, message="FLOOD_WAIT_3600")
    with pytest.raises(errors.FloodWaitError) as caught:
        await telethon.send_code_request(PLAIN)
    assert caught.value.seconds == 3600


async def test_a_wrong_code(login: LogIn, telethon: Any) -> None:
    """A wrong code logs nobody in, and the right one still does."""
    await telethon.send_code_request(PLAIN)
    with pytest.raises(errors.PhoneCodeInvalidError):
        await telethon.sign_in(PLAIN, "11111")
    assert who(login) == []
    await telethon.sign_in(PLAIN, CODES[PLAIN])
    assert who(login) == ["plain"]


async def test_an_empty_code(telethon: Any) -> None:
    """No code is told from a wrong one."""
    sent = await telethon.send_code_request(PLAIN)
    with pytest.raises(errors.PhoneCodeEmptyError):
        await telethon(functions.auth.SignInRequest(PLAIN, sent.phone_code_hash, ""))


async def test_an_expired_code(dc: DataCentre, login: LogIn, telethon: Any) -> None:
    """A code is good for a while; then another has to be sent."""
    await telethon.send_code_request(PLAIN)
    dc.levers.clock_skew = 20
    for _ in range(2):
        with pytest.raises(errors.PhoneCodeExpiredError):
            await telethon.sign_in(PLAIN, CODES[PLAIN], phone_code_hash=_hash(telethon, PLAIN))
    assert who(login) == []
    await telethon.send_code_request(PLAIN)
    await telethon.sign_in(PLAIN, CODES[PLAIN])
    assert who(login) == ["plain"]


def _hash(telethon: Any, phone: str) -> str:
    return str(telethon._phone_code_hash.get(phone, "forgotten by Telethon"))


async def test_the_code_of_somebody_else(telethon: Any, arrive: Arrive) -> None:
    """A code is for the key that asked for it, and for one phone."""
    sent = await telethon.send_code_request(PLAIN)
    other = await arrive()
    for client, phone in ((other, PLAIN), (telethon, CAREFUL)):
        with pytest.raises(errors.PhoneCodeExpiredError):
            await client(functions.auth.SignInRequest(phone, sent.phone_code_hash, CODES[phone]))


async def test_a_code_that_is_sent_again(dc: DataCentre, login: LogIn, telethon: Any) -> None:
    """Telethon asks for the code by another way the second time; the first one is good still."""
    first = await telethon.send_code_request(PLAIN)
    second = await telethon.send_code_request(PLAIN)
    assert isinstance(first.type, types.auth.SentCodeTypeApp)
    assert isinstance(second.type, types.auth.SentCodeTypeSms)
    assert dc.requests["auth.resendCode"] == 1
    await telethon.sign_in(PLAIN, CODES[PLAIN], phone_code_hash=first.phone_code_hash)
    with pytest.raises(errors.PhoneCodeExpiredError):  # whoever is in has used up every code
        await telethon(functions.auth.SignInRequest(PLAIN, second.phone_code_hash, CODES[PLAIN]))
    assert who(login) == ["plain"]


async def test_the_password(dc: DataCentre, login: LogIn, halfway: Any) -> None:
    """The right password logs in whom the code did not; the hint can be read before."""
    assert who(login) == []
    assert await halfway.get_me() is None
    assert (await halfway(functions.account.GetPasswordRequest())).hint == "a horse"
    me = await halfway.sign_in(password=PASSWORD)
    assert (me.id, me.username) == (12, "careful")
    assert who(login) == ["careful"]
    assert dc.violations == []


async def test_a_wrong_password(login: LogIn, halfway: Any) -> None:
    """A wrong password logs nobody in, and the right one still does."""
    for wrong in ("correct hors", "Correct horse", "24680"):
        with pytest.raises(errors.PasswordHashInvalidError):
            await halfway.sign_in(password=wrong)
    assert who(login) == []
    await halfway.sign_in(password=PASSWORD)
    assert who(login) == ["careful"]


async def test_a_challenge_is_used_once(login: LogIn, halfway: Any) -> None:
    """An answer to an old challenge is refused, be the password right or not."""
    old = await halfway(functions.account.GetPasswordRequest())
    new = await halfway(functions.account.GetPasswordRequest())
    with pytest.raises(errors.SrpIdInvalidError):
        await halfway(functions.auth.CheckPasswordRequest(compute_check(old, PASSWORD)))
    with pytest.raises(errors.SrpIdInvalidError):
        await halfway(functions.auth.CheckPasswordRequest(compute_check(new, PASSWORD)))
    assert who(login) == []


@pytest.mark.parametrize("a", [b"\1", bytes(256), b"\xff" * 256])
async def test_a_number_that_proves_nothing(login: LogIn, halfway: Any, a: bytes) -> None:
    """A client cannot choose a number that makes the check come out without the password."""
    challenge = await halfway(functions.account.GetPasswordRequest())
    with pytest.raises(errors.PasswordHashInvalidError):
        await halfway(functions.auth.CheckPasswordRequest(types.InputCheckPasswordSRP(challenge.srp_id, a, bytes(32))))
    assert who(login) == []


async def test_no_password_at_all(login: LogIn, halfway: Any) -> None:
    """Nothing is no password."""
    await halfway(functions.account.GetPasswordRequest())
    with pytest.raises(errors.PasswordHashInvalidError):
        await halfway(functions.auth.CheckPasswordRequest(types.InputCheckPasswordEmpty()))
    assert who(login) == []


async def test_a_password_that_nobody_asked_for(login: LogIn, telethon: Any) -> None:
    """Whoever has shown no code is not even given a challenge."""
    for request in (
        functions.account.GetPasswordRequest(),
        functions.auth.CheckPasswordRequest(types.InputCheckPasswordSRP(1, bytes(256), bytes(32))),
    ):
        with pytest.raises(errors.AuthKeyUnregisteredError):
            await telethon(request)
    assert who(login) == []


async def test_start(login: LogIn, telethon: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Telethon's own dialogue goes through, wrong answers included."""
    codes, passwords = iter(["00000", CODES[CAREFUL]]), iter(["wrong", PASSWORD])
    await telethon.start(CAREFUL, code_callback=lambda: next(codes), password=lambda: next(passwords))
    assert who(login) == ["careful"]
    assert capsys.readouterr().out.startswith("Signed in successfully")


async def test_a_bot(dc: DataCentre, login: LogIn, telethon: Any) -> None:
    """A token logs a bot in."""
    me = await telethon.sign_in(bot_token="21:good")
    assert (me.id, me.bot, me.username, me.phone) == (21, True, "good_bot", None)
    assert who(login) == ["good_bot"]
    assert dc.violations == []


@pytest.mark.parametrize(
    ("token", "error"),
    [("21:bad", errors.AccessTokenInvalidError), ("22:old", errors.AccessTokenExpiredError)],
)
async def test_a_wrong_token(login: LogIn, telethon: Any, token: str, error: type[Exception]) -> None:
    """A token that is unknown or was replaced logs nobody in."""
    with pytest.raises(error):
        await telethon.sign_in(bot_token=token)
    assert who(login) == []


async def test_a_qr_code(dc: DataCentre, login: LogIn, telethon: Any) -> None:
    """Scanned by another device of the person, a QR code logs them in; the client is told at once."""
    qr = await telethon.qr_login()
    assert qr.expires.timestamp() == pytest.approx(dc.now() + 10, abs=1)
    waiting = asyncio.create_task(qr.wait())
    await asyncio.sleep(0)
    login.scan(qr.url, PLAIN)
    assert who(login) == []
    me = await waiting
    assert (me.id, me.username) == (11, "plain")
    assert who(login) == ["plain"]
    assert dc.violations == []


async def test_a_qr_code_and_a_password(login: LogIn, telethon: Any) -> None:
    """After the scan, a person with a password is asked for it, however often the client asks."""
    qr = await telethon.qr_login()
    waiting = asyncio.create_task(qr.wait())
    await asyncio.sleep(0)
    login.scan(qr.url, CAREFUL)
    with pytest.raises(errors.SessionPasswordNeededError):
        await waiting
    with pytest.raises(errors.SessionPasswordNeededError):
        await telethon.qr_login()
    assert who(login) == []
    await telethon.sign_in(password=PASSWORD)
    assert who(login) == ["careful"]


async def test_an_expired_qr_code(dc: DataCentre, login: LogIn, telethon: Any) -> None:
    """A QR code that has expired lets nobody in; a new one does."""
    qr = await telethon.qr_login()
    old = qr.url
    dc.levers.clock_skew = 10
    with pytest.raises(RpcFault, match="AUTH_TOKEN_EXPIRED"):
        login.scan(old, PLAIN)
    await qr.recreate()
    assert qr.url != old
    waiting = asyncio.create_task(qr.wait())
    await asyncio.sleep(0)
    login.scan(qr.url, PLAIN)
    await waiting
    assert who(login) == ["plain"]


async def test_a_qr_code_that_nobody_scans(dc: DataCentre, login: LogIn, telethon: Any) -> None:
    """Telethon waits until the token has expired, and no longer."""
    dc.levers.clock_skew = -10
    qr = await telethon.qr_login()
    with pytest.raises(asyncio.TimeoutError):
        await qr.wait()
    assert who(login) == []


async def test_qr_codes_that_cannot_be_accepted(login: LogIn, telethon: Any) -> None:
    """Another device is told why it cannot accept a token."""
    qr = await telethon.qr_login()
    assert urlsafe_b64decode(qr.url.removeprefix("tg://login?token=") + "=") == qr.token
    login.scan(qr.url, PLAIN)
    for url, message in (
        (qr.url, "AUTH_TOKEN_ALREADY_ACCEPTED"),
        ("tg://login?token=AAAA", "AUTH_TOKEN_INVALID"),
        ("https://example.org/?token=AAAA", "AUTH_TOKEN_INVALID"),
    ):
        with pytest.raises(RpcFault, match=message):
            login.scan(url, PLAIN)
    with pytest.raises(KeyError):
        login.scan(qr.url, "15559999")


async def test_a_client_without_updates(login: LogIn, arrive: Arrive) -> None:
    """A client that wants no updates has to ask again by itself whether the code was scanned."""
    telethon = await arrive(receive_updates=False)
    qr = await telethon.qr_login()
    login.scan(qr.url, PLAIN)
    assert who(login) == []
    asked = await telethon(functions.auth.ExportLoginTokenRequest(1, "0" * 32, []))
    assert isinstance(asked, types.auth.LoginTokenSuccess)
    assert who(login) == ["plain"]


async def test_who_is_sent_updates(raw: Raw, session: Session) -> None:
    """Updates come only to a client that has made a call outside invokeWithoutUpdates."""
    update = bytes(types.UpdateShort(types.UpdateLoginToken(), 0))
    peer = await raw(session)
    await peer.ask(functions.InvokeWithoutUpdatesRequest(initial(self_user())))
    session.push(update)
    assert isinstance(await peer.ask(functions.PingRequest(9)), types.Pong)
    await peer.ask(self_user())
    session.push(update)
    (pushed,) = await peer.receive()
    assert isinstance(pushed.obj.update, types.UpdateLoginToken)
    assert (pushed.msg_id % 4, pushed.seq_no % 2) == (3, 1)


async def test_logging_out(dc: DataCentre, login: LogIn, telethon: Any, dial: Dial) -> None:
    """After auth.logOut the session is of no use, and nobody is left logged in."""
    await telethon.sign_in(bot_token="21:good")
    (session,) = login.logged_in
    assert await telethon.log_out()
    assert login.logged_in == []
    late = await dial(session)
    with pytest.raises(errors.AuthKeyUnregisteredError):
        await late(self_user())
    assert dc.violations == []


async def test_sessions_that_were_there_before(dc: DataCentre, login: LogIn, telethon: Any) -> None:
    """Sessions made by hand count as logged in, until they are revoked; half-made ones never do."""
    session = dc.create_session(username="before")
    assert who(login) == ["before"]
    session.revoke()
    assert who(login) == []
    assert telethon.session.auth_key.key_id in dc.sessions


async def test_a_data_centre_without_it(dc: DataCentre, dial: Dial) -> None:
    """Unless it is switched on, the log-in calls are no methods."""
    telethon = await dial(dc.create_session())
    for request in (
        functions.auth.SendCodeRequest(PLAIN, 1, "0" * 32, types.CodeSettings()),
        functions.auth.ExportLoginTokenRequest(1, "0" * 32, []),
        functions.account.GetPasswordRequest(),
    ):
        with pytest.raises(errors.InputMethodInvalidError):
            await telethon(request)


async def test_a_new_session_of_telethon(dc: DataCentre, login: LogIn) -> None:
    """A client that was given no address dials the data centre inside `dialling`."""
    with dialling(dc.host, dc.port):
        telethon = TelegramClient(StringSession(), 1, "0" * 32)
        await telethon.connect()
    await telethon.sign_in(bot_token="21:good")
    await telethon.disconnect()
    assert who(login) == ["good_bot"]


async def test_a_whole_program(dc: DataCentre, login: LogIn, tmp_path: Path) -> None:
    """A program that is to trust and dial the data centre is run as it is, with its own words."""
    pem = tmp_path / "key.pem"
    pem.write_text(login.pem)
    words = [sys.executable, "-m", "tests.simulator.trust", dc.host, str(dc.port), str(pem), "--version"]
    program = await asyncio.create_subprocess_exec(*words, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    printed, _ = await program.communicate()
    assert (program.returncode, printed.decode().split()) == (0, ["telethon-sidecar", __version__])


def test_what_a_failing_test_prints() -> None:
    """What lets somebody in is in no repr."""
    printed = repr([Person(phone=PLAIN, code="secret1", password="secret2"), Bot(token="secret3")])
    assert "secret" not in printed
