"""What others do in a chat reaches a client that wants to hear of it, and what it missed can be had."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from telethon import errors, events, functions, types

from sidecar.simulator import DataCentre, Session
from sidecar.simulator.chats import Channel, Member

from .conftest import Dial, Raw
from .raw import initial

pytestmark = pytest.mark.looptime
Settle = Callable[[], Awaitable[None]]


class Ear:
    """What one client hears: kind, chat, text or identifiers."""

    def __init__(self, telethon: Any) -> None:
        self.heard: list[tuple[Any, ...]] = []
        telethon.add_event_handler(self._new, events.NewMessage)
        telethon.add_event_handler(self._edited, events.MessageEdited)
        telethon.add_event_handler(self._deleted, events.MessageDeleted)

    async def _new(self, event: Any) -> None:
        self.heard.append(("new", event.chat_id, event.id, event.raw_text))

    async def _edited(self, event: Any) -> None:
        self.heard.append(("edited", event.chat_id, event.id, event.raw_text))

    async def _deleted(self, event: Any) -> None:
        self.heard.append(("deleted", event.chat_id, event.deleted_ids))


@pytest.fixture
def news(dc: DataCentre, session: Session) -> Channel:
    """A channel that the account reads."""
    return dc.chats.add_channel("news", channel_id=55, members={session.account.user_id: Member()})


@pytest.fixture
async def telethon(session: Session, dial: Dial, news: Channel) -> Any:
    """A client that wants updates and knows its channel."""
    connected = await dial(session)
    await connected.set_receive_updates(True)
    await connected.get_entity("news")
    return connected


async def test_new_edited_deleted(dc: DataCentre, session: Session, news: Channel, telethon: Any) -> None:
    """All three, in a channel and in a private chat."""
    ear = Ear(telethon)
    anna = dc.chats.add_user("anna_k", user_id=44)
    for place in (news, dc.chats.private(session.account, anna)):
        said = dc.chats.say(place, anna, "hello")
        dc.chats.amend(said, "hello there")
        dc.chats.remove(said)
    await asyncio.sleep(1)
    assert ear.heard == [
        ("new", -1000000000055, 1, "hello"),
        ("edited", -1000000000055, 1, "hello there"),
        ("deleted", -1000000000055, [1]),
        ("new", 44, 1, "hello"),
        ("edited", 44, 1, "hello there"),
        ("deleted", None, [1]),
    ]
    assert dc.violations == []


async def test_who_asked_not_to_be_told(dc: DataCentre, session: Session, news: Channel, dial: Dial) -> None:
    """A connection that says invokeWithoutUpdates in every call hears nothing."""
    deaf = await dial(session)
    ear = Ear(deaf)
    dc.chats.say(news, dc.chats.add_user(), "hello")
    await asyncio.sleep(1)
    assert ear.heard == []


async def test_a_new_connection_has_to_ask_anew(session: Session, telethon: Any, dial: Dial) -> None:
    """Who wants updates is a matter of the connection, not of the key."""
    assert session.listens
    await telethon.disconnect()
    await dial(session)
    assert not session.listens


async def test_a_gap_in_a_channel(dc: DataCentre, news: Channel, telethon: Any) -> None:
    """What was lost on the way comes with updates.getChannelDifference, after Telethon has noticed."""
    ear = Ear(telethon)
    anna = dc.chats.add_user()
    dc.chats.say(news, anna, "first")
    await asyncio.sleep(1)
    dc.levers.lose_updates = 1
    dc.chats.say(news, anna, "lost")
    dc.chats.say(news, anna, "third")
    await asyncio.sleep(5)
    assert [one[2:] for one in ear.heard] == [(1, "first"), (2, "lost"), (3, "third")]
    assert dc.requests["updates.getChannelDifference"] == 1


async def test_a_gap_elsewhere(dc: DataCentre, session: Session, telethon: Any) -> None:
    """The same with updates.getDifference. It has edits and deletions, too, which Telethon 1.45 drops."""
    ear = Ear(telethon)
    anna = dc.chats.add_user(user_id=44)
    chat = dc.chats.private(session.account, anna)
    before = dc.requests["updates.getDifference"]
    dc.levers.lose_updates = 4
    first = dc.chats.say(chat, anna, "first")
    dc.chats.remove(dc.chats.say(chat, anna, "gone"))
    dc.chats.amend(first, "changed")
    dc.chats.say(chat, anna, "last")
    await asyncio.sleep(5)
    assert ear.heard == [("new", 44, 1, "changed"), ("new", 44, 3, "last")]
    assert dc.requests["updates.getDifference"] == before + 1
    missed = await telethon(functions.updates.GetDifferenceRequest(pts=1, date=None, qts=0))
    assert [(type(update), update.pts) for update in missed.other_updates] == [
        (types.UpdateDeleteMessages, 4),
        (types.UpdateEditMessage, 5),
    ]
    assert missed.state.pts == 6
    nothing = await telethon(functions.updates.GetDifferenceRequest(pts=6, date=None, qts=0))
    assert isinstance(nothing, types.updates.DifferenceEmpty)


async def test_the_difference_says_which_call_sent_what(
    dc: DataCentre, session: Session, news: Channel, telethon: Any
) -> None:
    """A message of the account's own comes with updateMessageID, so that a client whose answer was lost finds it."""
    news.members[session.account.user_id] = Member.editor()
    peer = await telethon.get_input_entity("news")
    for place, request in [
        ("me", functions.updates.GetDifferenceRequest(pts=1, date=None, qts=0)),
        (peer, _difference(peer, pts=1)),
    ]:
        await telethon(functions.messages.SendMessageRequest(place, "hello", random_id=7))
        missed = await telethon(request)
        assert [(update.id, update.random_id) for update in missed.other_updates] == [(1, 7)]
        assert [message.message for message in missed.new_messages] == ["hello"]


async def test_the_difference_of_a_channel_comes_in_parts(dc: DataCentre, news: Channel, telethon: Any) -> None:
    """Until the last one is marked as final; a state that cannot be is refused."""
    for text in ("one", "two", "three"):
        dc.chats.say(news, dc.chats.add_user(), text)
    peer = await telethon.get_input_entity("news")
    first = await telethon(_difference(peer, pts=1, limit=2))
    assert ([message.message for message in first.new_messages], first.pts, first.final) == (["one", "two"], 3, False)
    second = await telethon(_difference(peer, pts=3, limit=2))
    assert ([message.message for message in second.new_messages], second.pts, second.final) == (["three"], 4, True)
    third = await telethon(_difference(peer, pts=4))
    assert isinstance(third, types.updates.ChannelDifferenceEmpty)
    with pytest.raises(errors.PersistentTimestampInvalidError):
        await telethon(_difference(peer, pts=0))


async def test_the_other_session_of_an_account(dc: DataCentre, session: Session, raw: Raw, dial: Dial) -> None:
    """What one session sends, the others of its account are told; it is not told itself."""
    other = dc.create_session(user_id=session.account.user_id)
    peer = await raw(other)
    await peer.ask(initial(functions.updates.GetStateRequest()))
    telethon = await dial(session)
    await telethon.set_receive_updates(True)
    ear = Ear(telethon)
    await telethon.send_message("me", "a note")
    (pushed,) = await peer.receive()
    assert [type(update) for update in pushed.obj.updates] == [types.UpdateNewMessage]
    await asyncio.sleep(1)
    assert ear.heard == []


def _difference(peer: Any, *, pts: int, limit: int = 10) -> Any:
    return functions.updates.GetChannelDifferenceRequest(peer, types.ChannelMessagesFilterEmpty(), pts, limit)
