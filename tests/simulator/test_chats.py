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


async def test_a_mishap_is_for_the_api(dc: DataCentre) -> None:
    """Service messages have levers of their own, and what is no method at all would never match."""
    for name, told in [("ping", "'ping' is no method of the API"), ("messages.say", "is not a method of Telegram")]:
        with pytest.raises(ValueError, match=told):
            dc.drop(name)


async def test_repeats_are_refused(dc: DataCentre, news: Channel, telethon: Any) -> None:
    """With the lever, every repeat is RANDOM_ID_DUPLICATE."""
    peer = await telethon.get_input_entity("news")
    await telethon(request(peer))
    dc.levers.refuse_repeats = True
    with pytest.raises(errors.RandomIdDuplicateError):
        await telethon(request(peer))
    assert len(news.posts) == 1


async def test_a_random_id_belongs_to_an_account_and_a_chat(
    dc: DataCentre, session: Session, news: Channel, telethon: Any, dial: Dial
) -> None:
    """The same number in another chat, or of another account, is another message; 0 is none."""
    peer = await telethon.get_input_entity("news")
    await telethon(request(peer))
    await telethon(request("me"))
    other = dc.create_session(username="other")
    news.members[other.account.user_id] = Member.editor()
    await (await dial(other))(request("news", "by another"))
    again = dc.create_session(user_id=session.account.user_id)
    await (await dial(again))(request("news"))
    assert [post.text for post in news.posts] == ["hello", "by another"]
    assert len(dc.chats.private(session.account, session.account).posts) == 1
    with pytest.raises(errors.RandomIdEmptyError):
        await telethon(request(peer, random_id=0))


async def test_a_repeat_after_the_message_was_deleted(news: Channel, telethon: Any) -> None:
    """It is not sent again: the answer has its identifier, and no message."""
    peer = await telethon.get_input_entity("news")
    await telethon(request(peer))
    await telethon.delete_messages(peer, [1])
    (only,) = (await telethon(request(peer))).updates
    assert (only.id, only.random_id) == (1, 7)
    assert len(news.posts) == 1


async def test_a_basic_group(dc: DataCentre, session: Session, telethon: Any) -> None:
    """Each member has a copy under a number of their own, and who joins later has none."""
    anna, late = dc.chats.add_user("anna_k"), dc.create_session(username="late_one")
    group = dc.chats.add_group("Us", members={session.account.user_id: Member(), anna.user_id: Member()})
    await telethon.send_message("me", "takes the first number")
    said = dc.chats.say(group, anna, "hello")
    answer = await telethon.send_message(-group.id, "hi", reply_to=2)
    assert (answer.id, answer.chat.title, answer.reply_to.reply_to_msg_id) == (3, "Us", 2)
    assert (await telethon.edit_message(-group.id, 3, "hi!")).message == "hi!"
    found = await telethon.get_messages(-group.id, ids=2)
    assert (found.message, found.sender.username, found.out) == ("hello", "anna_k", False)
    assert sorted(said.ids.values()) == [1, 2]
    group.members[late.account.user_id] = Member()
    reply = dc.chats.say(group, anna, "and hello again", reply_to=said)
    assert dc.chats.boxes[late.account.user_id].posts == {1: reply}
    await telethon.delete_messages(-group.id, [3], revoke=False)
    assert await telethon.get_messages(-group.id, ids=3) is None
    assert len(dc.chats.boxes[anna.user_id].posts) == 3
    with pytest.raises(errors.MessageDeleteForbiddenError):
        await telethon.delete_messages(-group.id, [2])
    assert (await telethon.get_entity(-group.id)).title == "Us"
    with pytest.raises(errors.ChatIdInvalidError):
        await telethon.get_entity(-1)


async def test_the_history_in_pages(dc: DataCentre, news: Channel, telethon: Any) -> None:
    """Newest first or oldest first, between limits, in pages of a hundred; the same for private chats."""
    anna = dc.chats.add_user("anna_k")
    for number in range(1, 251):
        dc.chats.say(news, anna, str(number))

    async def ids(**how: Any) -> list[int]:
        return [message.id for message in await telethon.get_messages("news", **how)]

    assert await ids(limit=250) == list(range(250, 0, -1))
    assert await ids(limit=3, reverse=True) == [1, 2, 3]
    assert await ids(limit=3, offset_id=100) == [99, 98, 97]
    assert await ids(limit=None, min_id=100, max_id=103) == [102, 101]
    assert await ids(limit=3, add_offset=5) == [245, 244, 243]
    assert dc.violations == []


async def test_the_history_before_a_moment(dc: DataCentre, session: Session, telethon: Any) -> None:
    """An offset_date leads to what was written before it."""
    anna = dc.chats.add_user("anna_k")
    chat = dc.chats.private(session.account, anna)
    dc.chats.say(chat, anna, "long ago").date -= 1000
    dc.chats.say(chat, anna, "now")
    peer = await telethon.get_input_entity("anna_k")
    wanted = int(dc.now()) - 500
    assert len(await telethon.get_messages("anna_k", limit=10)) == 2
    page = await telethon(functions.messages.GetHistoryRequest(peer, 0, wanted, 0, 10, 0, 0, 0))
    assert [message.message for message in page.messages] == ["long ago"]
    assert isinstance(page, types.messages.MessagesSlice)


async def test_dialogs(dc: DataCentre, session: Session, news: Channel, telethon: Any) -> None:
    """All chats of the account, with the last message where there is one."""
    dc.chats.add_group("Us", members={session.account.user_id: Member()})
    dc.chats.add_group("Others", members={})
    dc.chats.add_channel("others")
    anna = dc.chats.add_user("anna_k", first_name="Anna")
    dc.chats.say(dc.chats.private(session.account, anna), anna, "hello")
    dialogs = await telethon.get_dialogs()
    assert [(one.name, one.message.message if one.message else None) for one in dialogs] == [
        ("Anna", "hello"),
        ("Us", None),
        ("News", None),
    ]


async def test_a_flood_wait_for_one_method(dc: DataCentre, news: Channel, telethon: Any) -> None:
    """It says how long is left, holds back that method alone, and ends by itself."""
    dc.flood("messages.sendMessage", seconds=30)
    for left in (30, 20):
        with pytest.raises(errors.FloodWaitError) as caught:
            await telethon.send_message("news", "too early")
        assert caught.value.seconds == left
        assert await telethon.get_messages("news", limit=1) == []
        await asyncio.sleep(10)
    await asyncio.sleep(10)
    assert await telethon.send_message("news", "in time")
    with pytest.raises(ValueError, match="'send' is not a method of Telegram"):
        dc.flood("send", seconds=1)


async def test_a_flood_wait_for_one_chat(news: Channel, telethon: Any) -> None:
    """Others can be written to meanwhile."""
    sent = await telethon.send_message("news", "first")
    news.flood(30)
    with pytest.raises(errors.FloodWaitError):
        await telethon.send_message("news", "too early")
    with pytest.raises(errors.FloodWaitError):
        await telethon.edit_message("news", sent.id, "too early")
    assert await telethon.send_message("me", "in time")


async def test_what_is_not_simulated(dc: DataCentre, telethon: Any) -> None:
    """A call that asks for more is a fault of the test, and is raised where the data centre is left."""
    with pytest.raises(ConnectionError):
        await telethon.send_message("me", "later", schedule=2_000_000_000)
    (fault,) = dc.errors
    assert str(fault) == "schedule_date of SendMessageRequest is not simulated"
    dc.errors.clear()
