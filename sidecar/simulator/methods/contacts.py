"""contacts.*: who has which name. Source: https://core.telegram.org/method/contacts.resolveUsername."""

from typing import Any

from telethon.tl import functions, types

from sidecar.simulator.methods.table import Call, RpcFault, method


@method(functions.contacts.ResolveUsernameRequest)
def resolve_username(call: Call) -> Any:
    """The channel of that name; people cannot be found here."""
    channel = call.dc.channels.get(call.request.username.lower())
    if channel is None:
        raise RpcFault(400, "USERNAME_NOT_OCCUPIED")
    return types.contacts.ResolvedPeer(peer=types.PeerChannel(channel.id), chats=[channel], users=[])
