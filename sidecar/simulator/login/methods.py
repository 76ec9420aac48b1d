"""What the log-in calls answer.

Source: https://core.telegram.org/api/auth, https://core.telegram.org/api/qr-login, https://core.telegram.org/api/srp
and the page of each method, https://core.telegram.org/method/auth.sendCode and so on, for its errors.

Rules of this file: one function per method, in the table `HANDLERS` by class. What lets somebody in is in `desk`.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from telethon.tl import functions, types

from sidecar.simulator.methods import Call, RpcFault
from sidecar.simulator.methods.table import Method

if TYPE_CHECKING:
    from sidecar.simulator.login.accounts import Person
    from sidecar.simulator.login.desk import LogIn

_RESEND_SECONDS = 60
"""After this a client may ask for the code by another way."""


def _send_code(desk: "LogIn", call: Call) -> Any:
    person = desk.people.get(call.request.phone_number)
    if person is None:
        raise RpcFault(400, "PHONE_NUMBER_INVALID")
    if person.banned:
        raise RpcFault(400, "PHONE_NUMBER_BANNED")
    kind = types.auth.SentCodeTypeApp(len(person.code))
    name = desk.codes.send(call.session, person)
    return types.auth.SentCode(kind, name, next_type=types.auth.CodeTypeSms(), timeout=_RESEND_SECONDS)


def _resend_code(desk: "LogIn", call: Call) -> Any:
    # Telethon asks for this when send_code_request is called a second time.
    person = desk.codes.sent_to(call.session, call.request.phone_number, call.request.phone_code_hash)
    kind = types.auth.SentCodeTypeSms(len(person.code))
    return types.auth.SentCode(kind, desk.codes.send(call.session, person))


def _sign_in(desk: "LogIn", call: Call) -> Any:
    request = call.request
    if not request.phone_code:
        raise RpcFault(400, "PHONE_CODE_EMPTY")
    person = desk.codes.sent_to(call.session, request.phone_number, request.phone_code_hash)
    if request.phone_code != person.code:
        raise RpcFault(400, "PHONE_CODE_INVALID")
    return desk.let_in(call.session, person)


def _get_password(desk: "LogIn", call: Call) -> Any:
    # Only on the way in. The settings of somebody who is logged in are no part of this simulation.
    person, challenge = desk.challenge(call.session)
    return types.account.Password(
        new_algo=challenge.verifier.algorithm,
        new_secure_algo=types.SecurePasswordKdfAlgoUnknown(),
        secure_random=b"",
        has_password=True,
        current_algo=challenge.verifier.algorithm,
        srp_B=challenge.g_b,
        srp_id=challenge.srp_id,
        hint=person.hint,
    )


def _check_password(desk: "LogIn", call: Call) -> Any:
    return desk.check_password(call.session, call.request.password)


def _import_bot_authorization(desk: "LogIn", call: Call) -> Any:
    bot = desk.bots.get(call.request.bot_auth_token)
    if bot is None:
        raise RpcFault(400, "ACCESS_TOKEN_INVALID")
    if bot.expired:
        raise RpcFault(400, "ACCESS_TOKEN_EXPIRED")
    return desk.enter(call.session, bot.account)


def _export_login_token(desk: "LogIn", call: Call) -> Any:
    person: Person | None = desk.scanned.get(call.session)
    if person is not None:
        return types.auth.LoginTokenSuccess(desk.let_in(call.session, person))
    token, expires = desk.tokens.hand_out(call.session)
    return types.auth.LoginToken(expires, token)


HANDLERS: dict[type, Callable[["LogIn", Call], Any]] = {
    functions.account.GetPasswordRequest: _get_password,
    functions.auth.CheckPasswordRequest: _check_password,
    functions.auth.ExportLoginTokenRequest: _export_login_token,
    functions.auth.ImportBotAuthorizationRequest: _import_bot_authorization,
    functions.auth.ResendCodeRequest: _resend_code,
    functions.auth.SendCodeRequest: _send_code,
    functions.auth.SignInRequest: _sign_in,
}


def table(desk: "LogIn") -> dict[type, Method]:
    """The methods of one desk, as a data centre wants them."""
    return {request: Method(partial(execute, desk), needs_login=False) for request, execute in HANDLERS.items()}
