"""What Telegram holds back, and what it does not."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from sidecar.api import gates
from sidecar.messages import Call, HeldBack
from sidecar.simulator.chats import Member
from tests.api.conftest import Api

pytestmark = pytest.mark.looptime


async def test_a_long_flood_wait_is_429_at_once(api: Api) -> None:
    """With Retry-After and Telegram's name; until it is over nobody asks Telegram for the same."""
    await api.start()
    await api.send()
    api.dc.flood("messages.sendMessage", seconds=100)
    began = api.rig.now
    first = await api.send()
    await asyncio.sleep(40)
    second = await api.send()

    assert (first.status, first.headers["Retry-After"], first.body["sent"]) == (429, "100", "no")
    assert first.body["telegram_error"] == "FLOOD_WAIT_100"
    assert (second.status, second.headers["Retry-After"]) == (429, "60")
    assert api.rig.now - began < 41
    assert api.dc.requests["messages.sendMessage"] == 2
    assert api.count("send", "flood_wait") == 2
    await asyncio.sleep(60)
    assert (await api.send()).status == 201


async def test_it_holds_back_only_what_it_is_about(api: Api) -> None:
    """Sending is held back; reading, editing, deleting and the status are not."""
    await api.start()
    sent = await api.send()
    api.dc.flood("messages.sendMessage", seconds=100)
    path = f"/telegram/messages/{sent.body['id']}"

    assert (await api.send()).status == 429
    assert (await api.ask("GET", path)).status == 200
    assert (await api.ask("PATCH", path, json={"text": "x"})).status == 200
    assert (await api.ask("DELETE", path)).status == 204
    assert (await api.ask("GET", "/telegram/session/status")).status == 200


async def test_a_flood_of_names_does_not_hold_back_known_chats(api: Api) -> None:
    """Looking names up is held back; chats that are known are written to."""
    await api.start()
    await api.send()
    api.dc.chats.add_user("anna")
    api.dc.flood("contacts.resolveUsername", seconds=100)

    assert (await api.send(chat="@anna")).status == 429
    assert (await api.send()).status == 201


async def test_a_short_flood_wait_is_waited_out_in_turn(api: Api) -> None:
    """Callers with patience wait, one goes first, and all are sent; who has none is told how long it takes."""
    await api.start()
    await api.send("first")
    api.dc.flood("messages.sendMessage", seconds=4)
    began = api.rig.now
    calls = [asyncio.create_task(api.send(f"text {n}")) for n in range(5)]
    await asyncio.sleep(1)
    hasty = await api.send("hasty", wait=1)
    answers = [await call for call in calls]

    assert (hasty.status, hasty.headers["Retry-After"]) == (429, "3")
    assert [answer.status for answer in answers] == [201] * 5
    assert 4 <= api.rig.now - began < 4.5
    assert sorted(api.texts) == ["first", *(f"text {n}" for n in range(5))]


async def test_who_waits_is_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queue and age have a limit; the rest is 429 at once, and nobody else is disturbed."""
    monkeypatch.setattr(gates, "MOST_WAITING", 3)
    await api.start()
    sent = await api.send()
    api.dc.flood("messages.sendMessage", seconds=10)
    calls = [asyncio.create_task(api.send(f"text {n}")) for n in range(8)]
    await asyncio.sleep(1)
    told = [call.result() for call in calls if call.done()]

    assert [answer.status for answer in told] == [429] * 5
    assert (await api.ask("GET", f"/telegram/messages/{sent.body['id']}")).status == 200
    assert sorted([(await call).status for call in calls]) == [201] * 3 + [429] * 5


async def test_a_wait_that_grows_is_not_waited_for_any_longer(api: Api) -> None:
    """Who waits and finds the gate closed anew, for longer than one may wait, is told."""
    await api.start()
    await api.send("first")
    api.dc.flood("messages.sendMessage", seconds=2)
    calls = [asyncio.create_task(api.send(f"text {n}")) for n in range(3)]
    await asyncio.sleep(1)
    api.dc.flood("messages.sendMessage", seconds=50)
    answers = [await call for call in calls]

    assert [answer.status for answer in answers] == [429] * 3
    assert api.dc.requests["messages.sendMessage"] <= 5


async def test_what_is_asked_on_the_way_is_not_asked_in_its_wait_either(api: Api) -> None:
    """Outside channels a message is looked at before it is deleted, and after an edit that changed nothing."""
    await api.start()
    api.dc.chats.add_user("anna")
    path = f"/telegram/messages/{(await api.send(chat='@anna')).body['id']}"
    api.dc.flood("messages.getMessages", seconds=100)
    deleted = await api.ask("DELETE", f"{path}?chat=@anna")
    edited = await api.ask("PATCH", path, json={"text": "hello", "chat": "@anna"})
    again = await api.ask("DELETE", f"{path}?chat=@anna")

    assert [answer.status for answer in (deleted, edited, again)] == [429] * 3
    assert [answer.body["telegram_error"] for answer in (deleted, edited, again)] == ["FLOOD_WAIT_100"] * 3
    assert api.dc.requests["messages.getMessages"] == 1
    await asyncio.sleep(95)
    assert (await api.ask("DELETE", f"{path}?chat=@anna")).status == 204
    assert api.dc.requests["messages.getMessages"] == 2


async def test_who_waits_for_one_chat_is_in_no_way_of_another(api: Api) -> None:
    """A flood wait is over; the first in the queue still waits for slow mode, and the others do not wait for that."""
    await api.start()
    api.dc.chats.add_channel("talk", megagroup=True, everyone=Member(), members={api.me: Member()}, slow_mode=12)
    assert [(await api.send(chat=chat)).status for chat in ("@talk", "@news")] == [201, 201]
    assert (await api.send(chat="@talk", wait=1)).status == 429
    api.dc.flood("messages.sendMessage", seconds=3)
    assert (await api.send(wait=1)).status == 429
    began = api.rig.now
    slow = asyncio.create_task(api.send("slow", chat="@talk"))
    await asyncio.sleep(0.1)
    assert (await api.send("quick")).status == 201
    assert api.rig.now - began < 4
    assert (await slow).status == 201


async def test_slow_mode_is_about_one_chat(api: Api) -> None:
    """The group in slow mode is held back, with the time that is left; the channel is not."""
    await api.start()
    api.dc.chats.add_channel("talk", megagroup=True, everyone=Member(), members={api.me: Member()}, slow_mode=60)
    assert (await api.send(chat="@talk")).status == 201
    slow = await api.send(chat="@talk")

    assert (slow.status, slow.body["telegram_error"]) == (429, f"SLOWMODE_WAIT_{slow.headers['Retry-After']}")
    assert 55 <= int(slow.headers["Retry-After"]) <= 60
    assert (await api.send()).status == 201


async def test_a_closed_gate_keeps_nothing_of_the_call() -> None:
    """An error's traceback holds the connection that it came over, and a gate may be closed for a day."""

    class Connection:
        pass

    def refuse(_: Connection) -> None:
        raise HeldBack(Call.SEND, 86_400, everywhere=True)

    def asked() -> weakref.ref[Connection]:
        connection = Connection()
        try:
            refuse(connection)
        except HeldBack as error:
            gate.close(error, None)
        return weakref.ref(connection)

    gate = gates.Gates()
    gone = asked()
    gc.collect()
    assert gone() is None
