"""users.*: who is who. Source: https://core.telegram.org/method/users.getUsers."""

from typing import Any

from telethon.tl import functions, types

from sidecar.simulator.methods.table import Call, RpcFault, method
from sidecar.simulator.session import Account


@method(functions.users.GetUsersRequest)
def get_users(call: Call) -> list[Any]:
    """The users asked for, as far as they exist: only the account itself does."""
    if call.dc.levers.migrate_to is not None:
        raise RpcFault(303, f"USER_MIGRATE_{call.dc.levers.migrate_to}")
    account = call.session.account
    return [
        user(account)
        for asked in call.request.id
        if isinstance(asked, types.InputUserSelf) or getattr(asked, "user_id", None) == account.user_id
    ]


def user(account: Account) -> Any:
    """An account, as it sees itself."""
    return types.User(
        id=account.user_id,
        is_self=True,
        access_hash=account.user_id,  # any number will do, as long as it stays the same
        first_name=account.first_name,
        last_name=account.last_name,
        username=account.username,
        phone=account.phone,
        bot=account.is_bot,
        bot_info_version=1 if account.is_bot else None,
    )
