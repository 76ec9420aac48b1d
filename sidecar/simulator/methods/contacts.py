"""contacts.*: who has which name. Source: https://core.telegram.org/method/contacts.resolveUsername."""

import re
from typing import Any

from telethon.tl import functions, types

from sidecar.simulator.chats import Channel, views
from sidecar.simulator.fault import RpcFault
from sidecar.simulator.methods.messages import people_only
from sidecar.simulator.methods.table import Call, method

_USERNAME = re.compile(r"[a-z](?:_?[a-z0-9]){3,31}", re.IGNORECASE)
"""Letters, digits and underscores, four of them at least: https://core.telegram.org/method/account.updateUsername"""


@method(functions.contacts.ResolveUsernameRequest)
def resolve_username(call: Call) -> Any:
    """Who or what has that name."""
    if not _USERNAME.fullmatch(call.request.username):
        raise RpcFault(400, "USERNAME_INVALID")
    viewer = call.caller.user_id
    found = call.dc.chats.named(call.request.username)
    if found is None:
        raise RpcFault(400, "USERNAME_NOT_OCCUPIED")
    if isinstance(found, Channel):
        return types.contacts.ResolvedPeer(types.PeerChannel(found.id), [views.channel(found, viewer)], [])
    return types.contacts.ResolvedPeer(types.PeerUser(found.user_id), [], [views.user(found, viewer)])


@method(functions.contacts.GetContactsRequest)
def get_contacts(call: Call) -> Any:
    """Nobody: the accounts here keep no address book. Telethon looks up a phone number in it."""
    people_only(call)
    return types.contacts.Contacts([], 0, [])
