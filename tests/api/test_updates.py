"""The stream of what happens to messages."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from sidecar.api import updates
from sidecar.simulator.chats import Member
from tests.api.conftest import Api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientResponse

pytestmark = pytest.mark.looptime


class Event(NamedTuple):
    """One event, or a comment."""

    kind: str
    data: Any
    id: str


class Stream:
    """A listener."""

    def __init__(self, answer: ClientResponse) -> None:
        self.answer = answer

    async def next(self, *, comments: bool = False) -> Event:
        """Return the next event; comments only if they are asked for."""
        while True:
            fields: dict[str, str] = {}
            while line := (await self.answer.content.readuntil(b"\n")).decode().strip("\n"):
                name, _, value = line.partition(": ")
                fields[name] = value
            if "event" in fields:
                return Event(fields["event"], json.loads(fields["data"]), fields["id"])
            if comments:
                return Event("", fields[""] if "" in fields else next(iter(fields)), "")


@asynccontextmanager
async def listening(api: Api, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    """Listen, until the block is left."""
    async with api.http.get(f"{api.url}/telegram/updates{query}", headers=headers) as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
        yield Stream(answer)


@asynccontextmanager
async def begun(api: Api, query: str = "") -> AsyncIterator[Stream]:
    """Listen, with updates switched on."""
    async with listening(api, query) as stream:
        first = await stream.next()
        assert (first.kind, first.data["reason"]) == ("gap", "connection")
        yield stream


async def test_new_edited_and_deleted(api: Api) -> None:
    """What happens in the chat is told, in order, whoever does it."""
    await api.start()
    anna = api.dc.chats.add_user("anna")
    async with begun(api) as stream:
        said = api.dc.chats.say(api.channel, anna, "hello")
        api.dc.chats.amend(said, "hello there")
        api.dc.chats.remove(said)
        new, edited, deleted = [await stream.next() for _ in range(3)]

    chat = -1_000_000_000_000 - api.channel.id
    assert (new.kind, new.data["text"], new.data["chat_id"], new.data["out"]) == ("new", "hello", chat, False)
    assert (edited.kind, edited.data["text"], edited.data["id"]) == ("edited", "hello there", new.data["id"])
    assert (deleted.kind, deleted.data) == ("deleted", {"chat_id": chat, "ids": [new.data["id"]]})
    numbers = [int(event.id.partition("-")[2]) for event in (new, edited, deleted)]
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]


async def test_nothing_is_received_before_somebody_listens(api: Api) -> None:
    """Without a listener Telegram sends nothing; the first one has it begin."""
    await api.start()
    await asyncio.sleep(60)
    assert not api.rig.session.listens
    async with begun(api):
        assert api.rig.session.listens


async def test_the_setting_begins_at_once(api: Api) -> None:
    """Who listens later finds what happened before, by its id."""
    await api.start(api_updates=True)
    await asyncio.sleep(1)
    assert api.rig.session.listens


async def test_only_the_chats_asked_for(api: Api) -> None:
    """Other chats are left out; `*` has all; a person's message makes her id known."""
    await api.start()
    anna = api.dc.chats.add_user("anna")
    talk = api.dc.chats.add_channel("talk", megagroup=True, everyone=Member(), members={api.me: Member()})
    private = api.dc.chats.private(api.rig.session.account, anna)
    async with begun(api, "?chat=@talk&chat=@news") as some, listening(api, "?chat=*") as all_:
        api.dc.chats.say(private, anna, "psst")
        api.dc.chats.say(talk, anna, "hello")
        heard = await some.next()
        everything = [await all_.next() for _ in range(2)]
    answer = await api.send(chat=anna.user_id)

    assert (heard.data["text"], heard.data["chat_id"]) == ("hello", -1_000_000_000_000 - talk.id)
    assert sorted(event.data["text"] for event in everything) == ["hello", "psst"]
    assert answer.status == 201


async def test_who_comes_back_gets_what_it_missed(api: Api) -> None:
    """Last-Event-ID: the events after it, and no gap, for they are remembered."""
    await api.start()
    anna = api.dc.chats.add_user("anna")
    async with begun(api) as stream:
        api.dc.chats.say(api.channel, anna, "one")
        last = (await stream.next()).id
    for text in ("two", "three"):
        api.dc.chats.say(api.channel, anna, text)
    await asyncio.sleep(1)
    async with listening(api, **{"Last-Event-ID": last}) as stream:
        missed = [await stream.next() for _ in range(2)]

    assert [(event.kind, event.data["text"]) for event in missed] == [("new", "two"), ("new", "three")]


@pytest.mark.parametrize(("last", "reason"), [("0badcafe-1", "restart"), ("same-999", "restart")])
async def test_an_id_of_another_life_is_a_gap(api: Api, last: str, reason: str) -> None:
    """After a restart nobody knows what was missed."""
    await api.start()
    async with begun(api):
        pass
    async with listening(api, **{"Last-Event-ID": last}) as stream:
        first = await stream.next()

    assert (first.kind, first.data["reason"]) == ("gap", reason)


async def test_what_is_no_id_is_malformed(api: Api) -> None:
    """And so is a stream of a chat that is none."""
    await api.start()
    bad = await api.ask("GET", "/telegram/updates", headers={"Last-Event-ID": "yesterday"})
    chat = await api.ask("GET", "/telegram/updates?chat=no such thing")
    nobody = await api.ask("GET", "/telegram/updates?chat=@nobody_here")

    assert [answer.status for answer in (bad, chat, nobody)] == [400, 400, 404]


async def test_more_than_is_remembered_is_a_gap(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The buffer is bounded: who is too far behind is told, and gets what is left of it."""
    monkeypatch.setattr(updates, "REMEMBERED", 3)
    await api.start()
    anna = api.dc.chats.add_user("anna")
    async with begun(api) as stream:
        api.dc.chats.say(api.channel, anna, "one")
        last = (await stream.next()).id
    for number in range(6):
        api.dc.chats.say(api.channel, anna, f"more {number}")
    await asyncio.sleep(1)
    async with listening(api, **{"Last-Event-ID": last}) as stream:
        events = [await stream.next() for _ in range(4)]

    assert (events[0].kind, events[0].data["reason"]) == ("gap", "buffer")
    assert [event.data["text"] for event in events[1:]] == ["more 3", "more 4", "more 5"]


async def test_a_new_connection_is_a_gap(api: Api) -> None:
    """Updates begin anew with each connection, by themselves, and the gap is told."""
    await api.start()
    anna = api.dc.chats.add_user("anna")
    async with begun(api) as stream:
        api.dc.reset_all()
        await asyncio.sleep(0.001)
        gap = await stream.next()
        api.dc.chats.say(api.channel, anna, "after")
        after = await stream.next()

    assert (gap.kind, gap.data["reason"]) == ("gap", "connection")
    assert after.data["text"] == "after"
    assert api.dc.accepted == 2


async def test_what_telethon_drops_is_a_gap(api: Api) -> None:
    """An edit that comes with a difference is lost; that something was, is told."""
    await api.start()
    anna = api.dc.chats.add_user("anna")
    async with begun(api) as stream:
        first = api.dc.chats.say(api.channel, anna, "one")
        assert (await stream.next()).data["text"] == "one"
        api.dc.levers.lose_updates = 1
        api.dc.chats.amend(first, "one, edited")
        api.dc.chats.say(api.channel, anna, "two")
        events = [await stream.next() for _ in range(2)]

    assert sorted(event.kind for event in events) == ["gap", "new"]
    assert [event.data["reason"] for event in events if event.kind == "gap"] == ["missed"]


async def test_a_quiet_stream_shows_that_it_lives(api: Api) -> None:
    """A comment comes every 15 s."""
    await api.start()
    async with begun(api) as stream:
        began = api.rig.now
        comments = [await stream.next(comments=True) for _ in range(3)]
        took = api.rig.now - began

    assert [comment.kind for comment in comments] == ["", "", ""]
    assert round(took) == 45


async def test_the_number_of_listeners_is_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one too many is 429; a place that is left is free again."""
    monkeypatch.setattr(updates, "MOST_LISTENERS", 2)
    await api.start()
    async with begun(api), listening(api):
        full = await api.ask("GET", "/telegram/updates")
    await asyncio.sleep(1)

    assert (full.status, full.headers["Retry-After"]) == (429, "10")
    async with listening(api):
        pass


async def test_a_second_try_to_begin_tells_nothing_twice(api: Api) -> None:
    """Telegram has a fault of its own, and begins when it is asked again."""
    await api.start()
    anna = api.dc.chats.add_user("anna")
    fault = api.dc.fail("updates.getState", code=500, message="INTERNAL")
    async with begun(api) as stream:
        for text in ("one", "two"):
            api.dc.chats.say(api.channel, anna, text)
        told = [(await stream.next()).data["text"] for _ in range(2)]

    assert (fault.served, told) == (1, ["one", "two"])


async def test_a_flood_wait_of_the_beginning_is_waited_out(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody tries again before it is over."""
    await api.start()
    api.dc.flood("updates.getState", seconds=100)
    async with listening(api):
        await asyncio.sleep(99)

    tried = [record for record in caplog.records if "telegram_operation_failed" in record.getMessage()]
    assert len(tried) == 1


async def test_a_beginning_without_an_answer_is_asked_for_again(api: Api) -> None:
    """The connection lives, and the answer does not come."""
    await api.start()
    mishap = api.dc.lose_answers("updates.getState")
    async with begun(api):
        assert mishap.served == 1
    assert api.dc.accepted == 1


async def test_the_end_of_the_keeper_leaves_the_event_loop_alone(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon stops the keeper first: nobody lends a client any more, and whoever wants one does not spin."""
    await api.start(api_updates=True)
    await asyncio.sleep(1)
    asked = 0
    lend = api.rig.manager.get_client

    async def counted() -> Any:
        nonlocal asked
        asked += 1
        assert asked < 10
        return await lend()

    monkeypatch.setattr(api.rig.manager, "get_client", counted)
    api.rig.manager.stop()
    await api.rig.manager.run()
    await asyncio.sleep(60)

    assert asked == 0
    assert api._serving
    assert not api._serving.done()


async def test_the_end_ends_the_streams(api: Api) -> None:
    """A listener that stops ends its streams at once, and in good order."""
    await api.start()
    async with begun(api) as stream:
        assert api._serving
        api._serving.cancel()
        began = api.rig.now
        assert await stream.answer.content.read() == b""
        assert api.rig.now - began < 0.5
