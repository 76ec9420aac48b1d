"""auth.*: the login of a session. Source: https://core.telegram.org/api/auth."""

from typing import Any

from telethon.tl import functions, types

from sidecar.simulator.methods.table import Call, method


@method(functions.auth.LogOutRequest)
def log_out(call: Call) -> Any:
    """End the login. The key stays known, so later calls are refused and not met with -404."""
    call.session.revoke("AUTH_KEY_UNREGISTERED")
    return types.auth.LoggedOut()
