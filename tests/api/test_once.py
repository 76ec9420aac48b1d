"""Exactly once: whatever is lost between the application, this process and Telegram."""

from __future__ import annotations

import asyncio

import pytest
from telethon.tl import types

from sidecar.api import ledger
from sidecar.api.carrier import Carrier
from sidecar.api.problems import Problem
from sidecar.link import LinkLost, Reason
from sidecar.state import State
from tests.api.conftest import Api

pytestmark = pytest.mark.looptime


async def test_a_repeat_is_answered_as_the_first(api: Api) -> None:
    """The same key and body again: the same answer, from memory, and one message."""
    await api.start()
    first = await api.send(key="order-1")
    again = await api.send(key="order-1")
    quoted = await api.send(key='"order-1"')

    assert [(answer.status, answer.text) for answer in (again, quoted)] == [(201, first.text)] * 2
    assert api.dc.requests["messages.sendMessage"] == 1
    assert api.texts == ["hello"]


@pytest.mark.parametrize("other", [{"text": "goodbye"}, {"chat": "@anna"}, {"silent": True}])
async def test_a_repeat_with_another_body_is_422(api: Api, other: dict[str, object]) -> None:
    """A key stands for one message: text, chat and how it is sent."""
    await api.start()
    api.dc.chats.add_user("anna")
    await api.send(key="order-1")
    answer = await api.send(**{"text": "hello", "key": "order-1"} | other)  # type: ignore[arg-type]

    assert (answer.status, answer.body["title"]) == (422, "The key was used before")
    assert api.texts == ["hello"]


async def test_the_connection_is_lost_with_the_answer(api: Api) -> None:
    """Telegram has executed it and resets the connection: it is asked again over the next one, and was sent once."""
    await api.start()
    mishap = api.dc.drop("messages.sendMessage")
    answer = await api.send(key="order-1")

    assert mishap.served == 1
    assert (answer.status, answer.body["id"]) == (201, 1)
    assert api.texts == ["hello"]
    assert api.rig.dc.accepted == 2


async def test_without_a_key_too(api: Api) -> None:
    """A call without a key has a `random_id` of its own, that its repeats here share."""
    await api.start()
    api.dc.drop("messages.sendMessage", times=2)
    answers = [await api.send(), await api.send()]

    assert [answer.body["id"] for answer in answers] == [1, 2]
    assert api.texts == ["hello", "hello"]


async def test_the_answer_is_lost_alone(api: Api) -> None:
    """The connection lives on and the answer does not come: after 5 s it is asked again, with the same id."""
    await api.start()
    api.dc.lose_answers("messages.sendMessage")
    began = api.rig.now
    answer = await api.send(key="order-1")

    assert (answer.status, answer.body["id"], round(api.rig.now - began)) == (201, 1, 6)
    assert api.texts == ["hello"]


async def test_what_is_still_in_flight_is_waited_for(api: Api) -> None:
    """RANDOM_ID_DUPLICATE means that the first call is under way; it is asked until it is over."""
    await api.start()
    api.dc.slow("messages.sendMessage", seconds=7)
    answer = await api.send(key="order-1")

    assert (answer.status, answer.body["id"]) == (201, 1)
    assert api.texts == ["hello"]


async def test_what_telegram_will_not_tell_is_found(api: Api) -> None:
    """Should every repeat be refused, the message is found in the chat, though others say the same."""
    await api.start()
    await api.send(key="another")
    api.dc.levers.refuse_repeats = True
    api.dc.lose_answers("messages.sendMessage")
    answer = await api.send(key="order-1")

    assert (answer.status, answer.body["id"]) == (201, 2)
    assert api.texts == ["hello", "hello"]


async def test_a_late_refusal_disturbs_nobody(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """Telegram may refuse a message's envelope, too, and Telethon does not look whether anybody still waits."""
    await api.start()
    api.dc.lose_answers("messages.sendMessage")
    sending = asyncio.create_task(api.send(key="order-1"))
    await asyncio.sleep(5.5)
    sender = (await api.rig.manager.get_client())._sender
    (given_up,) = sender._pending_state
    refused = types.BadMsgNotification(given_up, 1, 64)
    for connection in api.dc._open():
        connection.push(api.rig.session, bytes(refused))
    answer = await sending

    assert (answer.status, answer.body["id"]) == (201, 1)
    assert given_up not in sender._pending_state
    assert [record for record in caplog.records if record.name.startswith("telethon") and record.exc_info] == []


async def test_a_stop_in_the_instant_of_a_loss_leaves_the_event_loop_alone(api: Api) -> None:
    """Between the word to stop and the keeper's hearing it, no client is lent and nobody waits for one."""
    await api.start()
    carrier, attempts = Carrier(api.rig.manager), 0
    await api.dc.stop_listening()

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        assert attempts < 10
        if attempts == 1:
            api.dc.reset_all()
            await api.rig.until(State.WAITING)
            raise LinkLost(Reason.RESET, "the connection was reset")
        api.rig.manager.stop()
        await api.rig.manager.get_client(0.5)

    with pytest.raises(Problem) as caught:
        await carrier.again(api.rig.clock() + 30, attempt)
    assert (caught.value.status, attempts) == (503, 3)


async def test_a_bot_is_told_that_it_was_sent(api: Api) -> None:
    """No bot may read a history: 409 says that the message was sent, and it is never sent again."""
    api.rig.session = api.dc.create_session(is_bot=True, username="a_bot")
    await api.start()
    api.dc.levers.refuse_repeats = True
    api.dc.lose_answers("messages.sendMessage")
    answer = await api.send(key="order-1", wait=15)

    assert (answer.status, answer.body["sent"]) == (409, "yes")
    assert answer.body["telegram_error"] == "RANDOM_ID_DUPLICATE"
    assert api.texts == ["hello"]


async def test_the_deadline_passes(api: Api) -> None:
    """504 at the deadline says that nobody knows; the repeat is answered with the message that was sent."""
    await api.start()
    api.dc.lose_answers("messages.sendMessage")
    began = api.rig.now
    late = await api.send(key="order-1", wait=2)
    assert (late.status, late.body["sent"], round(api.rig.now - began, 1)) == (504, "unknown", 2.0)
    again = await api.send(key="order-1")

    assert (again.status, again.body["id"]) == (201, 1)
    assert api.texts == ["hello"]
    assert api.count("send", "failed") == 1


async def test_a_caller_that_hangs_up_has_sent(api: Api) -> None:
    """The message goes out without its caller, and the repeat gets its answer without asking Telegram again."""
    await api.start()
    api.dc.slow("messages.sendMessage", seconds=2)
    calling = asyncio.create_task(api.send(key="order-1"))
    await asyncio.sleep(1)
    calling.cancel()
    await asyncio.wait([calling])
    await asyncio.sleep(5)
    again = await api.send(key="order-1")

    assert (again.status, again.body["id"]) == (201, 1)
    assert api.dc.requests["messages.sendMessage"] == 1
    assert api.texts == ["hello"]


async def test_repeats_at_the_same_time_share_one_message(api: Api) -> None:
    """Twenty callers with one key: one call to Telegram, twenty equal answers."""
    await api.start()
    api.dc.slow("messages.sendMessage", seconds=1)
    answers = await asyncio.gather(*(api.send(key="order-1") for _ in range(20)))

    assert {(answer.status, answer.text) for answer in answers} == {(201, answers[0].text)}
    assert api.dc.requests["messages.sendMessage"] == 1
    other = await api.send("other", key="order-1")
    assert other.status == 422


async def test_a_refused_message_may_be_mended_under_its_key(api: Api) -> None:
    """Nothing was sent under it, so it stands for nothing yet."""
    await api.start()
    assert (await api.send("hello", key="order-1", chat="@nobody_here")).status == 404
    assert (await api.send("hello", key="order-1")).status == 201
    assert api.texts == ["hello"]


async def test_another_body_is_noticed_even_if_the_key_is_forgotten(api: Api) -> None:
    """Telegram answers a repeat with the first message: that it says something else is noticed by its text."""
    await api.start()
    await api.send(key="order-1")
    await api.stop()
    await api.serve()
    answer = await api.send("something else", key="order-1")

    assert (answer.status, answer.body["title"]) == (422, "The key was used before")
    assert (await api.send(key="order-1")).body["id"] == 1
    assert api.texts == ["hello"]


async def test_the_account_is_replaced_under_a_call(api: Api) -> None:
    """What one account began is not done by another, though it has the connection now."""
    api.rig.mount(api.rig.session)
    await api.start(from_files=True)
    await api.send("before")
    api.dc.levers.black_hole = True
    calling = asyncio.create_task(api.send(key="order-1"))
    await asyncio.sleep(0.5)
    api.rig.mount(api.dc.create_session(username="other"))
    await asyncio.sleep(5)
    api.dc.levers.black_hole = False
    answer = await calling

    assert (answer.status, answer.body["sent"]) == (503, "unknown")
    assert api.texts == ["before", "hello"]  # by the first account, whose answer fell into the hole


async def test_the_ledger_forgets_the_oldest(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is bounded; a forgotten key is still not sent twice, for Telegram knows its id."""
    monkeypatch.setattr(ledger, "MOST", 3)
    await api.start()
    for number in range(5):
        await api.send(f"text {number}", key=f"order-{number}")
    again = await api.send("text 0", key="order-0")

    assert (again.status, again.body["id"]) == (201, 1)
    assert len(api.texts) == 5
