"""Whether the account may post in a channel or group."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from telethon import errors, types

from sidecar.link import LinkError, LinkLost, Reason
from sidecar.race import asked_to_stop
from sidecar.telegram.verdicts import verdict

if TYPE_CHECKING:
    from telethon import TelegramClient


@dataclass(frozen=True, slots=True)
class Channel:
    """What an account may do in a channel.

    Attributes:
        title: as people see it.
        may_post: whether it may send messages there.
        role: why: creator, administrator (with its rights, as Telegram names them), member.
    """

    title: str
    may_post: bool
    role: str


class NoChannel(Exception):
    """There is no such channel for this account. The message says why, and what to do."""


async def look_up(client: TelegramClient, name: str) -> Channel:
    """Resolve a channel and tell what the account may do there.

    Args:
        client: connected.
        name: https://t.me/name, @name or an id.

    Raises:
        NoChannel: it does not exist, or the account does not know it.
        LinkError: Telegram could not be asked.
    """
    try:
        found = await client.get_entity(int(name) if name.lstrip("-").isdigit() else name)
    except (errors.ChannelPrivateError, errors.ChannelInvalidError):
        raise NoChannel(f"{name} is private and the account is not in it; add the account") from None
    except (ValueError, errors.UsernameInvalidError):
        told = f"{name} cannot be found; check its spelling, use its @name or link, and add the account to it"
        raise NoChannel(told) from None
    except (errors.InviteHashExpiredError, errors.InviteHashInvalidError, errors.InviteHashEmptyError):
        raise NoChannel("the invite link has expired or is wrong; use the channel's @name or id") from None
    except errors.BotMethodInvalidError:
        raise NoChannel("a bot cannot follow an invite link; use the channel's @name or id") from None
    except asyncio.CancelledError:
        if asked_to_stop():
            raise
        raise LinkLost(Reason.CLOSED, "Telethon dropped the connection with the question unanswered") from None
    except LinkError:
        raise
    except Exception as error:
        raise verdict(error) from error
    match found:
        case types.Channel():
            return _judge(found)
        case types.Chat():
            return Channel(found.title, may_post=not (found.left or found.deactivated), role="member")
        case _:
            raise NoChannel(f"{name} is no channel or group, but a person or bot; check CHANNEL_URL")


def _judge(channel: types.Channel) -> Channel:
    if channel.creator:
        return Channel(channel.title, may_post=True, role="creator")
    if rights := channel.admin_rights:
        named = [right for right, has in rights.to_dict().items() if has is True]
        may_post = bool(rights.post_messages) if channel.broadcast else True
        return Channel(channel.title, may_post=may_post, role=f"administrator: {', '.join(named) or 'no rights'}")
    if channel.left:
        return Channel(channel.title, may_post=False, role="not a member")
    restricted = [channel.banned_rights, channel.default_banned_rights]
    muted = any(rights.send_messages for rights in restricted if rights)
    return Channel(channel.title, may_post=not (channel.broadcast or muted), role="member")
