"""The calls about messages: what they do, and how they fail."""

from __future__ import annotations

import threading

import pytest

from sidecar.simulator.chats import Member
from sidecar.telegram import messages as telegram
from tests.api.conftest import Api

pytestmark = pytest.mark.looptime


async def test_a_message_is_sent_edited_read_and_deleted(api: Api) -> None:
    """The life of a message, in the channel of CHANNEL_URL."""
    await api.start()
    sent = await api.send("hello")
    path = f"/telegram/messages/{sent.body['id']}"
    assert (sent.status, sent.headers["Content-Type"]) == (201, "application/json; charset=utf-8")
    assert sent.body == {
        "id": 1,
        "chat_id": -1_000_000_000_000 - api.channel.id,
        "date": sent.body["date"],
        "link": "https://t.me/news/1",
    }

    edited = await api.ask("PATCH", path, json={"text": "**good** day", "parse_mode": "markdown"})
    assert (edited.status, edited.body["text"]) == (200, "good day")
    read = await api.ask("GET", path)
    assert (read.status, read.body) == (200, edited.body)
    assert read.body["out"] is True
    deleted = await api.ask("DELETE", path)
    assert (deleted.status, deleted.text) == (204, "")
    assert (await api.ask("GET", path)).status == 404
    assert [api.count(method, "ok") for method in ("send", "edit", "delete")] == [1, 1, 1]
    assert (api.count("get", "ok"), api.count("get", "refused")) == (1, 1)


async def test_what_changes_nothing_is_no_error(api: Api) -> None:
    """The same text again is 200, and a message that is gone can be deleted again."""
    await api.start()
    path = f"/telegram/messages/{(await api.send('hello')).body['id']}"

    same = await api.ask("PATCH", path, json={"text": "hello"})
    assert (same.status, same.body["text"]) == (200, "hello")
    assert [(await api.ask("DELETE", path)).status for _ in range(2)] == [204, 204]


@pytest.mark.parametrize("chat", ["@NEWS", "https://t.me/news", "t.me/news/17", "https://telegram.me/News"])
async def test_a_chat_has_many_names(api: Api, chat: str) -> None:
    """A name and every link to it lead to the same chat; it is looked up once, and its id is known from then on."""
    await api.start()
    first = await api.send(chat=chat)
    second = await api.send("again", chat=first.body["chat_id"])
    await api.send("and again", chat=chat)

    assert (first.status, second.status) == (201, 201)
    assert api.texts == ["hello", "again", "and again"]
    assert api.dc.requests["contacts.resolveUsername"] == 1


async def test_people_groups_and_oneself(api: Api) -> None:
    """Users by name, basic groups by id, Saved Messages by `me`; there are no links into those."""
    await api.start()
    anna = api.dc.chats.add_user("anna")
    group = api.dc.chats.add_group("Talk", members={api.me: Member()})
    answers = [await api.send(chat=chat) for chat in ("@anna", -group.id, "me")]

    assert [answer.status for answer in answers] == [201, 201, 201]
    assert [answer.body["chat_id"] for answer in answers] == [anna.user_id, -group.id, api.me]
    assert not any("link" in answer.body for answer in answers)


async def test_an_invitation_leads_to_a_private_chat(api: Api) -> None:
    """Where there is no name, the invitation that the account has taken will do; afterwards the id."""
    await api.start()
    secret = api.dc.chats.add_channel(None, invite="AbCdEf", members={api.me: Member.editor()})
    first = await api.send(chat="https://t.me/+AbCdEf")
    second = await api.send("again", chat=f"https://t.me/c/{secret.id}/1")

    assert (first.status, second.status) == (201, 201)
    assert first.body["link"] == f"https://t.me/c/{secret.id}/1"


async def test_an_id_that_was_never_met_says_what_to_do(api: Api) -> None:
    """Telegram wants an access hash; 404 names the way to it, and asks Telegram nothing."""
    await api.start()
    answer = await api.send(chat=-1_000_000_000_000 - api.channel.id)

    assert (answer.status, answer.body["telegram_error"], answer.body["sent"]) == (404, "PEER_ID_INVALID", "no")
    assert "@name" in answer.body["detail"]
    assert api.texts == []


async def test_a_bot_needs_no_access_hash(api: Api) -> None:
    """A bot may address a chat by its bare id, in a process that has never met it."""
    api.rig.session = api.dc.create_session(is_bot=True, username="a_bot")
    await api.start()
    answer = await api.send(chat=-1_000_000_000_000 - api.channel.id)

    assert answer.status == 201
    assert api.texts == ["hello"]


async def test_how_a_message_is_sent(api: Api) -> None:
    """What stands in the body reaches Telegram: formatting, silence, no preview, what it answers."""
    await api.start()
    first = await api.send("question")
    await api.send("<b>bold</b> 👍", parse_mode="html", silent=True, link_preview=False, reply_to=first.body["id"])
    post = api.channel.posts[1]

    assert (post.text, post.silent, post.link_preview) == ("bold 👍", True, False)
    assert [type(entity).__name__ for entity in post.entities or []] == ["MessageEntityBold"]
    assert (await api.ask("GET", "/telegram/messages/2")).body["text"] == "bold 👍"


@pytest.mark.parametrize(
    ("text", "mode", "status"),
    [
        pytest.param("", "none", 422, id="empty"),
        pytest.param(" \n\t", "none", 422, id="blank"),
        pytest.param("<b></b>", "html", 422, id="only-marks"),
        pytest.param("x" * 4096, "none", 201, id="longest"),
        pytest.param("x" * 4097, "none", 422, id="too-long"),
        pytest.param("👍" * 4096, "none", 201, id="longest-emoji"),
        pytest.param("👍" * 4097, "none", 422, id="too-many-emoji"),
        pytest.param("<b>" + "x" * 4096 + "</b>", "html", 201, id="longest-without-its-marks"),
        pytest.param("**" + "x" * 4097 + "**", "markdown", 422, id="too-long-without-its-marks"),
        pytest.param("  " + "x" * 4096 + "\n", "none", 201, id="longest-without-white-space"),
    ],
)
async def test_the_limits_of_a_text_are_telegrams(api: Api, text: str, mode: str, status: int) -> None:
    """Empty and too long are 422 without asking Telegram, counted as Telegram counts."""
    await api.start()
    answer = await api.send(text, parse_mode=mode)

    assert answer.status == status
    assert api.dc.requests["messages.sendMessage"] == (status == 201)
    if status == 422:
        assert answer.body["telegram_error"] in {"MESSAGE_EMPTY", "MESSAGE_TOO_LONG"}


async def test_a_text_that_takes_long_to_read_keeps_to_the_deadline(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its marks are taken out in a thread, and nobody waits for that longer than for anything else."""
    await api.start()
    held = threading.Event()
    monkeypatch.setattr(telegram, "letter", lambda _: held.wait(10))
    try:
        answer = await api.send("x" * 1000, parse_mode="markdown", wait=1)
    finally:
        held.set()

    assert (answer.status, answer.body["sent"]) == (504, "no")
    assert api.texts == []


async def test_no_right_to_write_is_403(api: Api) -> None:
    """Telegram's own name for it is told; nothing was sent."""
    await api.start()
    api.channel.members[api.me] = Member()
    answer = await api.send()

    assert (answer.status, answer.headers["Content-Type"]) == (403, "application/problem+json; charset=utf-8")
    assert (answer.body["status"], answer.body["sent"]) == (403, "no")
    assert answer.body["telegram_error"] in {"CHAT_WRITE_FORBIDDEN", "CHAT_ADMIN_REQUIRED"}
    assert api.count("send", "refused") == 1


@pytest.mark.parametrize("path", ["/telegram/messages/5?chat=@nobody_here", "/telegram/messages/5"])
async def test_what_does_not_exist_is_404(api: Api, path: str) -> None:
    """An unknown chat, and an unknown message."""
    await api.start()
    assert (await api.ask("GET", path)).status == 404
    assert (await api.ask("PATCH", path.partition("?")[0], json={"text": "x"})).status == 404


async def test_a_message_of_another_chat_is_none_of_this_one(api: Api) -> None:
    """Outside channels ids are the account's own: naming the wrong chat finds, changes and deletes nothing."""
    await api.start()
    api.dc.chats.add_user("anna")
    api.dc.chats.add_user("bernd")
    sent = await api.send("for anna", chat="@anna")
    path = f"/telegram/messages/{sent.body['id']}"

    assert (await api.ask("GET", f"{path}?chat=@bernd")).status == 404
    assert (await api.ask("DELETE", f"{path}?chat=@bernd")).status == 204
    assert (await api.ask("GET", f"{path}?chat=@anna")).body["text"] == "for anna"


async def test_without_a_chat_and_a_channel_it_is_malformed(api: Api) -> None:
    """Nobody guesses where a message belongs."""
    await api.start(channel_url=None)
    answer = await api.send()

    assert answer.status == 400
    assert "CHANNEL_URL" in answer.body["detail"]


async def test_any_other_no_of_telegrams_is_422_with_its_name(api: Api) -> None:
    """What this version does not know is passed on by name, and is no fault of ours."""
    await api.start()
    api.dc.fail("messages.sendMessage", code=400, message="QUIZ_ANSWER_MISSING")
    answer = await api.send()

    assert (answer.status, answer.body["telegram_error"]) == (422, "QUIZ_ANSWER_MISSING")
