"""Messages through the real Telethon client: sent, changed, deleted, read; once, and by whom they may."""

import asyncio
from typing import Any

import pytest
from telethon import errors, functions, types

from sidecar.simulator import DataCentre, Session
from sidecar.simulator.chats import Channel, Member

from .conftest import Dial

pytestmark = pytest.mark.looptime


@pytest.fixture
def news(dc: DataCentre, session: Session) -> Channel:
    """A channel in which the account is an editor."""
    return dc.chats.add_channel("news", title="News", members={session.account.user_id: Member.editor()})


@pytest.fixture
async def telethon(session: Session, dial: Dial) -> Any:
    """A client that is connected."""
    return await dial(session)


def request(peer: Any, text: str = "hello", *, random_id: int = 7, **how: Any) -> Any:
    """A call that names its message by a number."""
    return functions.messages.SendMessageRequest(peer, text, random_id=random_id, **how)


async def test_a_channel_from_the_first_to_the_last(dc: DataCentre, news: Channel, telethon: Any) -> None:
    """A post is sent, read, changed and deleted; each answer is what Telethon makes a message of."""
    sent = await telethon.send_message("@news", "some **bold** text", silent=True)
    assert (sent.id, sent.message, sent.chat.title, sent.post, sent.silent) == (1, "some bold text", "News", True, True)
    assert [(type(entity), entity.offset, entity.length) for entity in sent.entities] == [
        (types.MessageEntityBold, 5, 4)
    ]
    assert sent.chat_id == int(f"-100{news.id}")
    answer = await telethon.send_message("news", "an answer", reply_to=sent.id)
    assert (answer.id, answer.reply_to.reply_to_msg_id) == (2, 1)
    edited = await telethon.edit_message("news", sent.id, "other text")
    assert (edited.id, edited.message, edited.edit_date is not None) == (1, "other text", True)
    found = await telethon.get_messages("news", ids=[1, 2, 3])
    assert [getattr(message, "message", None) for message in found] == ["other text", "an answer", None]
    assert [message.id for message in await telethon.get_messages("news", limit=10)] == [2, 1]
    assert [(one.pts, one.pts_count) for one in await telethon.delete_messages("news", [1, 3])] == [(5, 1)]
    assert [(one.pts, one.pts_count) for one in await telethon.delete_messages("news", [1])] == [(5, 0)]
    assert await telethon.get_messages("news", ids=1) is None
    assert [post.text for post in news.posts] == ["other text", "an answer"]
    assert dc.violations == []


async def test_a_private_chat_from_the_first_to_the_last(dc: DataCentre, session: Session, telethon: Any) -> None:
    """The same with a person: the short answer is enough for Telethon, and both have a copy of their own."""
    anna = dc.chats.add_user("anna_k")
    chat = dc.chats.private(session.account, anna)
    dc.chats.say(chat, anna, "are you there?")
    sent = await telethon.send_message("anna_k", "yes", parse_mode=None)
    assert (sent.id, sent.message, sent.out, sent.chat_id) == (2, "yes", True, anna.user_id)
    assert (await telethon.edit_message("anna_k", 2, "no")).message == "no"
    found = await telethon.get_messages("anna_k", ids=[1, 2])
    assert [(message.message, message.out) for message in found] == [("are you there?", False), ("no", True)]
    assert [message.id for message in await telethon.get_messages("anna_k", limit=1)] == [2]
    await telethon.delete_messages("anna_k", [2])
    assert await telethon.get_messages("anna_k", ids=2) is None
    assert (await telethon.send_message("me", "a note")).id == 3
    assert dc.violations == []


async def test_a_repeat_sends_nothing(dc: DataCentre, session: Session, news: Channel, telethon: Any) -> None:
    """The same random_id again, in the same chat, is answered by the message that is there; from any session."""
    anna = dc.chats.add_user("anna_k")
    for name, place in [("news", news), ("anna_k", dc.chats.private(session.account, anna))]:
        peer = await telethon.get_input_entity(name)
        first = telethon._get_response_message(7, await telethon(request(peer)), peer)
        again = telethon._get_response_message(7, await telethon(request(peer, "something else")), peer)
        assert (again.id, again.message) == (1, "hello")
        assert first is None or first.id == 1
        assert len(place.posts) == 1


async def test_a_lost_answer(dc: DataCentre, news: Channel, telethon: Any) -> None:
    """The message is sent, and a repeat finds it."""
    peer = await telethon.get_input_entity("news")
    lost = dc.lose_answers("messages.sendMessage")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(telethon(request(peer)), 5)
    assert (lost.served, len(news.posts)) == (1, 1)
    assert telethon._get_response_message(7, await telethon(request(peer)), peer).id == 1
    assert len(news.posts) == 1


async def test_a_dropped_connection(dc: DataCentre, news: Channel, session: Session, telethon: Any, dial: Dial) -> None:
    """The message is sent, the connection is gone, and a repeat over the next one finds it."""
    peer = await telethon.get_input_entity("news")
    dc.drop("messages.sendMessage")
    with pytest.raises((ConnectionError, asyncio.CancelledError)):
        await telethon(request(peer))
    assert (await asyncio.gather(telethon.disconnected, return_exceptions=True))[0] is not None
    later = await dial(session)
    assert later._get_response_message(7, await later(request(peer)), peer).id == 1
    assert len(news.posts) == 1


async def test_a_slow_call(dc: DataCentre, news: Channel, telethon: Any, looptime: Any) -> None:
    """While the first call is in flight, a repeat is RANDOM_ID_DUPLICATE; other calls overtake it."""
    peer = await telethon.get_input_entity("news")
    start = looptime + 0
    dc.slow("messages.sendMessage", seconds=10)
    first = asyncio.ensure_future(telethon(request(peer)))
    await telethon.get_me()
    with pytest.raises(errors.RandomIdDuplicateError):
        await telethon(request(peer))
    assert looptime - start == 2  # which Telethon sleeps over any error of the family 500
    await first
    assert looptime - start == 10
    assert telethon._get_response_message(7, await telethon(request(peer)), peer).id == 1
    assert len(news.posts) == 1
