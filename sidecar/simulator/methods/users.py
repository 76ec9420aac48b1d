"""users.*: who is who. Source: https://core.telegram.org/method/users.getUsers."""

from typing import Any

from telethon.tl import functions

from sidecar.simulator.chats import views
from sidecar.simulator.fault import RpcFault
from sidecar.simulator.methods.table import Call, method
from sidecar.simulator.session import Account


@method(functions.users.GetUsersRequest)
def get_users(call: Call) -> list[Any]:
    """The users asked for, as far as they exist and the caller has met them."""
    if call.dc.levers.migrate_to is not None:
        raise RpcFault(303, f"USER_MIGRATE_{call.dc.levers.migrate_to}")
    found = (call.dc.chats.user(call.caller, asked) for asked in call.request.id)
    return [views.user(account, call.caller.user_id) for account in found if account is not None]


def user(account: Account) -> Any:
    """An account, as it sees itself."""
    return views.user(account, account.user_id)
