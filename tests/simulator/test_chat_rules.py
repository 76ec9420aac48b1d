"""What Telegram refuses, and with which error: who may write, what, where and when; and what cannot be found."""

import asyncio
from typing import Any

import pytest
from telethon import errors, functions, types

from sidecar.simulator import DataCentre, Session
from sidecar.simulator.chats import Channel, Member, views
from sidecar.simulator.chats.text import LENGTH_MAX, judge, units

from .conftest import Dial

pytestmark = pytest.mark.looptime
EMOJI = "\N{GRINNING FACE}"


@pytest.fixture
def me(session: Session) -> int:
    """The user id of the client."""
    return session.account.user_id


@pytest.fixture
def news(dc: DataCentre, me: int) -> Channel:
    """A channel in which the account is an editor."""
    return dc.chats.add_channel("news", members={me: Member.editor()})


@pytest.fixture
def talk(dc: DataCentre, me: int) -> Channel:
    """A supergroup in which everybody may write, and the account is an ordinary member."""
    return dc.chats.add_channel("talk", megagroup=True, members={me: Member()})


@pytest.fixture
async def telethon(session: Session, dial: Dial) -> Any:
    """A client that is connected."""
    return await dial(session)


# ----------------------------------------------------------------------------------------- who may write


@pytest.mark.parametrize(
    ("member", "error"),
    [
        (Member(), errors.ChatWriteForbiddenError),
        (Member(left=True), errors.ChatWriteForbiddenError),
        (Member.editor(post=False), errors.ChatAdminRequiredError),
        (Member.kicked(), errors.ChannelPrivateError),
        (Member.editor(edit=False, delete=False), None),
        (Member(creator=True), None),
    ],
)
async def test_writing_in_a_channel(news: Channel, me: int, telethon: Any, member: Member, error: Any) -> None:
    """Only administrators with the right to post do."""
    peer = await telethon.get_input_entity("news")
    news.members[me] = member
    await refused_or_sent(telethon, peer, error)


@pytest.mark.parametrize(
    ("member", "error"),
    [
        (Member(), None),
        (Member(left=True), errors.ChatWriteForbiddenError),
        (Member.muted(), errors.UserBannedInChannelError),
        (Member.kicked(), errors.ChannelPrivateError),
        (Member.editor(post=False), None),
    ],
)
async def test_writing_in_a_supergroup(talk: Channel, me: int, telethon: Any, member: Member, error: Any) -> None:
    """Members do, unless they are muted."""
    peer = await telethon.get_input_entity("talk")
    talk.members[me] = member
    await refused_or_sent(telethon, peer, error)


async def test_writing_where_nobody_writes(talk: Channel, me: int, telethon: Any) -> None:
    """A supergroup may be for its administrators alone."""
    talk.nobody_writes = True
    await refused_or_sent(telethon, "talk", errors.ChatWriteForbiddenError)
    talk.members[me] = Member.editor()
    await refused_or_sent(telethon, "talk", None)


async def test_writing_in_a_basic_group(dc: DataCentre, me: int, telethon: Any) -> None:
    """Members do; who was thrown out may not, and of others' groups one knows nothing."""
    group = dc.chats.add_group(members={me: Member()})
    await refused_or_sent(telethon, -group.id, None)
    group.members[me] = Member.kicked()
    await refused_or_sent(telethon, -group.id, errors.ChatWriteForbiddenError)
    del group.members[me]
    await refused_or_sent(telethon, -group.id, errors.PeerIdInvalidError)


async def test_writing_to_somebody_who_is_blocked(dc: DataCentre, session: Session, telethon: Any) -> None:
    """Either way it is refused, and the sender is told which."""
    anna = dc.chats.add_user("anna_k")
    chat = dc.chats.private(session.account, anna)
    chat.blocked_by.add(anna.user_id)
    await refused_or_sent(telethon, "anna_k", errors.UserIsBlockedError)
    chat.blocked_by.add(session.account.user_id)
    await refused_or_sent(telethon, "anna_k", errors.YouBlockedUserError)


async def test_slow_mode(talk: Channel, me: int, telethon: Any) -> None:
    """A member waits between two messages, and is told how long; other chats and administrators do not."""
    talk.slow_mode = 30
    await telethon.send_message("talk", "first")
    await asyncio.sleep(0.5)
    for left in (30, 20):
        with pytest.raises(errors.SlowModeWaitError) as caught:
            await telethon.send_message("talk", "too early")
        assert caught.value.seconds == left
        await telethon.send_message("me", "elsewhere")
        await asyncio.sleep(10)
    await asyncio.sleep(9.5)
    await telethon.send_message("talk", "in time")
    assert (await telethon.get_entity("talk")).slowmode_enabled
    talk.members[me] = Member.editor()
    await telethon.send_message("talk", "at once")
    assert [post.text for post in talk.posts] == ["first", "in time", "at once"]


async def test_a_refused_message_costs_no_slow_mode(talk: Channel, telethon: Any) -> None:
    """Only what is sent counts."""
    talk.slow_mode = 30
    with pytest.raises(errors.MessageTooLongError):
        await telethon.send_message("talk", "x" * 4097)
    await telethon.send_message("talk", "first")


# ---------------------------------------------------------------------------------------- what is written


@pytest.mark.parametrize("character", ["x", "\N{LATIN SMALL LETTER E WITH ACUTE}", EMOJI])
async def test_the_greatest_length(news: Channel, telethon: Any, character: str) -> None:
    """4096 code points, whatever they take in UTF-16; white space at the ends does not count."""
    text = character * LENGTH_MAX
    assert (await telethon.send_message("news", f" {text}\n", parse_mode=None)).message == text
    with pytest.raises(errors.MessageTooLongError):
        await telethon.send_message("news", text + character, parse_mode=None)
    with pytest.raises(errors.MessageTooLongError):
        await telethon.edit_message("news", 1, text + character, parse_mode=None)
    assert len(news.posts) == 1


@pytest.mark.parametrize("text", ["", " ", "\n\t \n"])
async def test_an_empty_text(news: Channel, telethon: Any, text: str) -> None:
    """Nothing but white space is no message."""
    peer = await telethon.get_input_entity("news")
    with pytest.raises(errors.MessageEmptyError):
        await telethon(functions.messages.SendMessageRequest(peer, text, random_id=1))
    assert news.posts == []


@pytest.mark.parametrize(("offset", "length"), [(-1, 2), (0, 0), (0, -1), (0, 4), (3, 1), (4, 1)])
async def test_entities_out_of_bounds(news: Channel, telethon: Any, offset: int, length: int) -> None:
    """They count UTF-16 code units, and may not reach beyond the text, nor be empty."""
    entity = types.MessageEntityBold(offset, length)
    with pytest.raises(errors.EntityBoundsInvalidError):
        await telethon.send_message("news", f"{EMOJI}x", formatting_entities=[entity])


@pytest.mark.parametrize(("offset", "length"), [(0, 3), (2, 1), (0, 2)])
async def test_entities_in_bounds(news: Channel, telethon: Any, offset: int, length: int) -> None:
    """An emoji takes two units."""
    entity = types.MessageEntityBold(offset, length)
    sent = await telethon.send_message("news", f"{EMOJI}x", formatting_entities=[entity])
    assert [(one.offset, one.length) for one in sent.entities] == [(offset, length)]


def test_white_space_takes_its_entities_along() -> None:
    """What is stripped at the ends moves and shortens the entities, and drops those that are left empty."""
    bold, lost = types.MessageEntityBold(0, 6), types.MessageEntityItalic(7, 1)
    text, (moved,) = judge(f"  {EMOJI}ab  ", [bold, lost], int)
    assert (text, units(text), moved.offset, moved.length) == (f"{EMOJI}ab", 4, 0, 4)
    assert (bold.offset, bold.length) == (0, 6)


async def test_mentions(dc: DataCentre, news: Channel, me: int, telethon: Any) -> None:
    """A mention without a username names a person whom the writer has met."""
    await telethon.get_input_entity("news")
    sent = await telethon.send_message("news", f"[you](tg://user?id={me})", parse_mode="md")
    assert [(type(one), one.user_id) for one in sent.entities] == [(types.MessageEntityMentionName, me)]
    stranger = types.InputMessageEntityMentionName(0, 3, types.InputUser(dc.chats.add_user().user_id, 1))
    peer = await telethon.get_input_entity("news")
    with pytest.raises(errors.EntityMentionUserInvalidError):
        await telethon(functions.messages.SendMessageRequest(peer, "you", random_id=1, entities=[stranger]))


async def test_an_answer_to_nothing(news: Channel, telethon: Any) -> None:
    """What is answered has to be there, in the same chat."""
    note = await telethon.send_message("me", "a note")
    with pytest.raises(errors.RPCError, match="REPLY_MESSAGE_ID_INVALID"):
        await telethon.send_message("news", "an answer", reply_to=note.id)


# ------------------------------------------------------------------------------------ editing and deleting


async def test_editing_without_a_change(dc: DataCentre, news: Channel, telethon: Any) -> None:
    """MESSAGE_NOT_MODIFIED, unless text, style, or the preview of a link is another."""
    await telethon.send_message("news", "see https://example.org", link_preview=True)
    for same in ("see https://example.org", " see https://example.org "):
        with pytest.raises(errors.MessageNotModifiedError):
            await telethon.edit_message("news", 1, same, parse_mode=None)
    await telethon.edit_message("news", 1, "see https://example.org", link_preview=False)
    await telethon.edit_message("news", 1, "**see** https://example.org", link_preview=False)
    await telethon.send_message("news", "no link")
    with pytest.raises(errors.MessageNotModifiedError):
        await telethon.edit_message("news", 2, "no link", link_preview=False)
    assert [post.link_preview for post in news.posts] == [False, True]


async def test_editing_what_is_not_there(dc: DataCentre, news: Channel, telethon: Any) -> None:
    """No such message in that chat."""
    await telethon.send_message("me", "a note")
    with pytest.raises(errors.MessageIdInvalidError):
        await telethon.edit_message("news", 1, "text")
    dc.chats.add_user("anna_k")
    with pytest.raises(errors.MessageIdInvalidError):
        await telethon.edit_message("anna_k", 1, "text")


async def test_editing_what_others_wrote(
    dc: DataCentre, session: Session, news: Channel, talk: Channel, telethon: Any
) -> None:
    """In a channel its editors may; anywhere else, nobody but the author."""
    anna = dc.chats.add_user("anna_k")
    for place in (news, talk, dc.chats.private(session.account, anna)):
        dc.chats.say(place, anna, "by another")
    await telethon.edit_message("news", 1, "edited")
    for name in ("talk", "anna_k"):
        with pytest.raises(errors.MessageAuthorRequiredError):
            await telethon.edit_message(name, 1, "edited")
    news.members[session.account.user_id] = Member.editor(edit=False)
    with pytest.raises(errors.MessageAuthorRequiredError):
        await telethon.edit_message("news", 1, "edited again")


async def test_editing_too_late(news: Channel, talk: Channel, telethon: Any) -> None:
    """After 48 hours nothing can be edited but posts of a channel."""
    for place in (news, talk):
        await telethon.send_message(place.username, "text")
        place.posts[0].date -= 172_801
    await telethon.edit_message("news", 1, "edited")
    with pytest.raises(errors.MessageEditTimeExpiredError):
        await telethon.edit_message("talk", 1, "edited")


async def test_deleting_what_others_wrote(dc: DataCentre, talk: Channel, me: int, telethon: Any) -> None:
    """It takes a right, but not in a private chat."""
    anna = dc.chats.add_user("anna_k")
    said = dc.chats.say(talk, anna, "by another")
    with pytest.raises(errors.MessageDeleteForbiddenError):
        await telethon.delete_messages("talk", [1])
    talk.members[me] = Member.editor()
    await telethon.delete_messages("talk", [1])
    assert said.text
    assert await telethon.get_messages("talk", ids=1) is None


# ----------------------------------------------------------------------------------------- what is found


async def test_names(dc: DataCentre, session: Session, news: Channel, telethon: Any) -> None:
    """Channels, people and logged-in accounts are found by name, in any case of letters; others are not."""
    anna = dc.chats.add_user("Anna_K", phone="15550199")
    dc.create_session(username="another")
    assert (await telethon.get_entity("@NEWS")).id == news.id
    found = await telethon.get_entity("https://t.me/anna_k")
    assert (found.id, found.username, found.phone, found.is_self) == (anna.user_id, "Anna_K", None, False)
    assert (await telethon.get_entity("another")).id != session.account.user_id
    for name, error in [
        ("nobody_here", errors.UsernameNotOccupiedError),
        ("abc", errors.UsernameInvalidError),
        ("two__lines", errors.UsernameInvalidError),
        ("x" * 33, errors.UsernameInvalidError),
    ]:
        with pytest.raises(error):
            await telethon(functions.contacts.ResolveUsernameRequest(name))
    with pytest.raises(ValueError, match="Cannot find any entity"):
        await telethon.get_entity("+15550199")


async def test_access_hashes(dc: DataCentre, news: Channel, me: int, telethon: Any, dial: Dial) -> None:
    """An account has to have met whom it writes to: the number of another account is of no use."""
    anna, other = dc.chats.add_user("anna_k"), dc.create_session(username="another")
    good = await telethon.get_input_entity("news")
    stolen = await (await dial(other)).get_input_entity("news")
    assert good.access_hash != stolen.access_hash
    for peer, error in [
        (stolen, errors.ChannelInvalidError),
        (types.InputPeerChannel(news.id, 0), errors.ChannelInvalidError),
        (types.InputPeerChannel(1, good.access_hash), errors.ChannelInvalidError),
        (types.InputPeerUser(anna.user_id, 0), errors.PeerIdInvalidError),
        (types.InputPeerUser(1, 0), errors.PeerIdInvalidError),
        (types.InputPeerEmpty(), errors.PeerIdInvalidError),
    ]:
        with pytest.raises(error):
            await telethon(functions.messages.SendMessageRequest(peer, "hello"))
    assert (await telethon.get_entity(types.PeerChannel(news.id))).title == news.title
    with pytest.raises(ValueError, match="Could not find the input entity"):
        await telethon.get_input_entity(types.PeerChannel(1))


async def test_a_private_channel(dc: DataCentre, me: int, telethon: Any) -> None:
    """Who is not in it may not look inside, even with the access hash of a member of yesterday."""
    channel = dc.chats.add_channel(members={me: Member.editor()}, invite="AbCdEf")
    assert (await telethon.get_entity("https://t.me/+AbCdEf")).id == channel.id
    await telethon.send_message("https://t.me/+AbCdEf", "hello")
    peer = types.InputPeerChannel(channel.id, views.access_hash(me, "channel", channel.id))
    channel.members[me] = Member(left=True)
    for request in (
        functions.channels.GetChannelsRequest([peer]),
        functions.channels.GetMessagesRequest(peer, [1]),
        functions.messages.GetHistoryRequest(peer, 0, None, 0, 10, 0, 0, 0),
    ):
        with pytest.raises(errors.ChannelPrivateError):
            await telethon(request)


async def test_invite_links(dc: DataCentre, me: int, telethon: Any) -> None:
    """They lead members inside, show others the door, and may be worthless."""
    channel = dc.chats.add_channel(title="News", invite="AbCdEf")
    dc.chats.add_group("Us", members={me: Member()}, invite="GhIjKl")
    seen = await telethon(functions.messages.CheckChatInviteRequest("AbCdEf"))
    assert (seen.title, seen.channel, seen.broadcast, seen.megagroup) == ("News", True, True, False)
    assert (await telethon.get_entity("https://t.me/+GhIjKl")).title == "Us"
    channel.members[me] = Member.kicked()
    seen = await telethon(functions.messages.CheckChatInviteRequest("AbCdEf"))
    assert isinstance(seen, types.ChatInvite)
    with pytest.raises(errors.InviteHashExpiredError):
        await telethon.get_entity("https://t.me/+Unknown")
    with pytest.raises(errors.InviteHashEmptyError):
        await telethon(functions.messages.CheckChatInviteRequest(""))


async def test_who_was_thrown_out_sees_a_closed_door(news: Channel, me: int, telethon: Any) -> None:
    """A name still leads to the channel, and it is shown as forbidden."""
    news.members[me] = Member.kicked()
    found = await telethon(functions.contacts.ResolveUsernameRequest("news"))
    assert isinstance(found.chats[0], types.ChannelForbidden)


async def test_no_identifiers(news: Channel, telethon: Any) -> None:
    """Asking for no message is an error of its own."""
    peer = await telethon.get_input_entity("news")
    for request in (
        functions.channels.GetMessagesRequest(peer, []),
        functions.messages.GetMessagesRequest([]),
    ):
        with pytest.raises(errors.MessageIdsEmptyError):
            await telethon(request)


# ------------------------------------------------------------------------------------------------- bots


async def test_a_bot(dc: DataCentre, news: Channel, dial: Dial) -> None:
    """A bot needs no access hash where it is known, writes to nobody first, and may not look back."""
    bot = dc.create_session(is_bot=True, username="some_bot")
    anna, other = dc.chats.add_user("anna_k"), dc.chats.add_user("other_bot", is_bot=True)
    telethon = await dial(bot)
    by_number = types.InputPeerUser(anna.user_id, 0)
    for peer in ("anna_k", by_number):
        await refused_or_sent(telethon, peer, errors.PeerIdInvalidError)
    await refused_or_sent(telethon, "other_bot", errors.UserIsBotError)
    dc.chats.say(dc.chats.private(bot.account, anna), anna, "/start")
    await refused_or_sent(telethon, by_number, None)
    channel = types.InputPeerChannel(news.id, 0)
    await refused_or_sent(telethon, channel, errors.ChannelInvalidError)
    news.members[bot.account.user_id] = Member.editor()
    await refused_or_sent(telethon, channel, None)
    assert other.is_bot
    for request in (
        functions.messages.GetHistoryRequest(channel, 0, None, 0, 10, 0, 0, 0),
        functions.messages.GetDialogsRequest(None, 0, types.InputPeerEmpty(), 10, 0),
        functions.messages.CheckChatInviteRequest("AbCdEf"),
        functions.contacts.GetContactsRequest(0),
    ):
        with pytest.raises(errors.BotMethodInvalidError):
            await telethon(request)


async def refused_or_sent(telethon: Any, peer: Any, error: Any) -> None:
    """Write a message, which fails in this way, or does not."""
    if error is None:
        assert (await telethon.send_message(peer, "hello")).message == "hello"
        return
    with pytest.raises(error):
        await telethon.send_message(peer, "hello")
