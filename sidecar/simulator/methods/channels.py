"""channels.*: channels by id. Source: https://core.telegram.org/method/channels.getChannels."""

from typing import Any

from telethon.tl import functions, types

from sidecar.simulator.methods.table import Call, RpcFault, method


@method(functions.channels.GetChannelsRequest)
def get_channels(call: Call) -> Any:
    """The channels asked for. A bot needs no access hash; a user that has not got it has never met the channel."""
    known = {channel.id: channel for channel in call.dc.channels.values()}
    found = []
    for asked in call.request.id:
        channel = known.get(asked.channel_id)
        if channel is None or not (call.session.account.is_bot or asked.access_hash == channel.access_hash):
            raise RpcFault(400, "CHANNEL_INVALID")
        found.append(channel)
    return types.messages.Chats(chats=found)
