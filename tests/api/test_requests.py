"""What a request may look like, and what is answered to one that may not."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from sidecar.api import carrier
from sidecar.api.asked import check_token, idempotency_key, patience
from sidecar.api.models import canonical_chat
from sidecar.api.problems import Problem
from sidecar.link import Reason
from sidecar.state import State
from tests.api.conftest import Api

JSON = {"Content-Type": "application/json"}
PROBLEM = "application/problem+json; charset=utf-8"

BODIES = {
    "nothing": b"",
    "no-json": b"{text: hello}",
    "half": b'{"text": "hel',
    "two": b'{"text": "a"} {"text": "b"}',
    "a-list": b'[{"text": "hello"}]',
    "a-text": b'"hello"',
    "null": b"null",
    "no-text": b"{}",
    "text-null": b'{"text": null}',
    "text-number": b'{"text": 5}',
    "misspelt": b'{"text": "hello", "silnet": true}',
    "silent-text": b'{"text": "hello", "silent": "yes"}',
    "parse-mode": b'{"text": "hello", "parse_mode": "rtf"}',
    "reply-to-zero": b'{"text": "hello", "reply_to": 0}',
    "reply-to-huge": b'{"text": "hello", "reply_to": 99999999999}',
    "reply-to-half": b'{"text": "hello", "reply_to": 1.5}',
    "reply-to-infinite": b'{"text": "hello", "reply_to": Infinity}',
    "chat-empty": b'{"text": "hello", "chat": ""}',
    "chat-zero": b'{"text": "hello", "chat": 0}',
    "chat-huge": b'{"text": "hello", "chat": 99999999999999999999999}',
    "chat-words": b'{"text": "hello", "chat": "no such thing"}',
    "chat-elsewhere": b'{"text": "hello", "chat": "https://example.org/news"}',
    "chat-list": b'{"text": "hello", "chat": ["@news"]}',
    "no-utf-8": b'{"text": "\xff\xfe"}',
    "utf-16": '{"text": "hello"}'.encode("utf-16"),
    "half-a-pair": b'{"text": "\\ud83d"}',
    "deep": b'{"text": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "a-huge-number": b'{"text": "hello", "reply_to": ' + b"9" * 5000 + b"}",
}


@pytest.mark.looptime
async def test_a_malformed_body_is_400(api: Api) -> None:
    """It is said what is wrong, never repeated, and nothing is sent."""
    await api.start()
    answers = {
        name: await api.ask("POST", "/telegram/messages", data=body, headers=JSON) for name, body in BODIES.items()
    }

    told = {name: (one.status, one.headers["Content-Type"], one.body["title"]) for name, one in answers.items()}
    assert told == dict.fromkeys(BODIES, (400, PROBLEM, "The request is malformed"))
    assert not any("no such thing" in one.text for one in answers.values())
    assert api.dc.requests["messages.sendMessage"] == 0


@pytest.mark.looptime
async def test_a_body_that_is_too_large_is_413(api: Api) -> None:
    """64 KiB is the limit; the connection does not survive it, the listener does."""
    await api.start()
    whole = json.dumps({"text": "hello"}).encode().ljust(64 * 1024)
    assert (await api.ask("POST", "/telegram/messages", data=whole, headers=JSON)).status == 201
    answer = await api.ask("POST", "/telegram/messages", data=whole + b" ", headers=JSON)

    assert (answer.status, answer.headers["Content-Type"]) == (413, PROBLEM)
    assert (await api.send()).status == 201


@pytest.mark.looptime
@pytest.mark.parametrize("head", [{"Content-Type": "text/plain"}, JSON | {"Content-Encoding": "gzip"}])
async def test_what_a_browser_sends_unasked_is_415(api: Api, head: dict[str, str]) -> None:
    """A page in a browser on this machine cannot post without a preflight, which is not answered."""
    await api.start()
    assert (await api.ask("POST", "/telegram/messages", data=b'{"text": "x"}', headers=head)).status == 415
    preflight = await api.ask("OPTIONS", "/telegram/messages", headers={"Origin": "http://evil.example"})
    assert (preflight.status, preflight.headers["Allow"]) == (405, "POST")
    assert "Access-Control-Allow-Origin" not in preflight.headers


PATHS = [
    "/telegram/messages/0",
    "/telegram/messages/-1",
    "/telegram/messages/x",
    "/telegram/messages/2147483648",
    "/telegram/messages/99999999999999999999",
    "/telegram/messages/1%00",
    "/telegram/messages/1?chat=",
    "/telegram/messages/1?chat=@a&chat=@b",
    "/telegram/messages/1?chat=%ff",
    "/telegram/messages/1?chta=@news",
]


@pytest.mark.looptime
async def test_a_malformed_path_or_query_is_400(api: Api) -> None:
    """For GET and for DELETE."""
    await api.start()
    answers = {path: [await api.ask(method, path) for method in ("GET", "DELETE")] for path in PATHS}
    told = {path: [(one.status, one.headers["Content-Type"]) for one in both] for path, both in answers.items()}
    assert told == {path: [(400, PROBLEM)] * 2 for path in PATHS}


HEADS = [
    {"Request-Timeout": "soon"},
    {"Request-Timeout": "0"},
    {"Request-Timeout": "-1"},
    {"Request-Timeout": "301"},
    {"Request-Timeout": "nan"},
    {"Request-Timeout": "1e2"},
    {"Idempotency-Key": ""},
    {"Idempotency-Key": "two words"},
    {"Idempotency-Key": "x" * 256},
    {"Idempotency-Key": "ключ"},
]


@pytest.mark.looptime
async def test_a_malformed_header_is_400(api: Api) -> None:
    """A deadline or key that cannot be meant is told, not guessed at."""
    await api.start()
    answers = [await api.ask("POST", "/telegram/messages", json={"text": "x"}, headers=head) for head in HEADS]
    told = [(head, one.status, one.headers["Content-Type"]) for head, one in zip(HEADS, answers, strict=True)]
    assert told == [(head, 400, PROBLEM) for head in HEADS]
    assert api.texts == []


@pytest.mark.looptime
async def test_unknown_paths_and_methods_are_problems(api: Api) -> None:
    """As everything else that is wrong."""
    await api.start()
    nothing, method = await api.ask("GET", "/telegram"), await api.ask("PUT", "/telegram/messages/1")

    assert (nothing.status, nothing.headers["Content-Type"]) == (404, PROBLEM)
    assert (method.status, method.headers["Allow"]) == (405, "DELETE, GET, HEAD, PATCH")


# -------------------------------------------------------------------------------------------------------------- token


TOKENS = [
    (None, 401),
    ("", 401),
    ("right", 401),
    ("Bearer", 401),
    ("Bearer wrong", 401),
    ("Bearer righ", 401),
    ("Bearer rightt", 401),
    ("Basic right", 401),
    ("Bearer ръгхт", 401),
    ("Bearer right", 200),
    ("bearer right", 200),
]


@pytest.mark.looptime
@pytest.mark.parametrize("path", ["/telegram/session/status", "/openapi.json"])
async def test_the_token_is_asked_for(api: Api, path: str) -> None:
    """Where there is one, every call needs it, the description too; it is never repeated."""
    await api.start(api_token="right")
    heads = [{"Authorization": given} if given is not None else {} for given, _ in TOKENS]
    answers = [await api.ask("GET", path, headers=head) for head in heads]

    assert [(given, one.status) for (given, _), one in zip(TOKENS, answers, strict=True)] == TOKENS
    for answer in (one for one in answers if one.status == 401):
        assert (answer.headers["WWW-Authenticate"], answer.headers["Content-Type"]) == ("Bearer", PROBLEM)
        assert "righ" not in answer.text


@pytest.mark.looptime
async def test_without_a_token_a_path_is_not_even_told(api: Api) -> None:
    """Who has no token does not learn what there is, whatever the method, and sends nothing."""
    await api.start(api_token="right")
    paths = ("/nothing", "/telegram/messages", "/telegram/messages/1", "/telegram/updates", "/openapi.json")
    methods = ("GET", "HEAD", "OPTIONS", "POST", "PATCH", "DELETE", "TRACE")
    told = {
        (method, path): (await api.ask(method, path, json={"text": "x"})).status for method in methods for path in paths
    }

    assert set(told.values()) == {401}
    assert api.texts == []


@pytest.mark.looptime
async def test_the_token_may_change_and_never_vanishes(api: Api) -> None:
    """A new token in its file is asked for within 10 s; a file that is gone opens nothing."""
    api.rig.mount(api.rig.session, api_token="first")
    await api.start(from_files=True)

    async def statuses() -> list[int]:
        tokens = ("first", "second")
        heads = [{"Authorization": f"Bearer {token}"} for token in tokens]
        return [(await api.ask("GET", "/openapi.json", headers=head)).status for head in heads]

    assert await statuses() == [200, 401]
    api.rig.mount(api.rig.session, api_token="second")
    await asyncio.sleep(10)
    assert await statuses() == [401, 200]
    api.rig.mount(api.rig.session)
    await asyncio.sleep(10)
    assert await statuses() == [401, 200]
    assert api.dc.accepted == 1


@given(given=st.text(), token=st.text(min_size=1))
def test_only_the_token_itself_opens(given: str, token: str) -> None:
    """Whatever is sent, nothing but a Problem comes out, and only the token passes."""
    opened = True
    with suppress(Problem):
        check_token([f"Bearer {given}"], SecretStr(token), open_without=True)
        opened = given.strip() == token
    assert opened


def test_without_a_token_only_this_machine_is_let_in() -> None:
    """A listener that others reach, and whose token is not there yet, answers nobody."""
    check_token([], None, open_without=True)
    for sent in ([], ["Bearer "], ["Bearer None"]):
        with pytest.raises(Problem, match="as long as SIDECAR_API_TOKEN"):
            check_token(sent, None, open_without=False)


NAMES = [
    ("127.0.0.1", 200),
    ("127.0.0.1:9878", 200),
    ("localhost:9878", 200),
    ("LOCALHOST", 200),
    ("[::1]:9878", 200),
    ("evil.example:9878", 421),
    ("localhost.evil.example", 421),
    ("127.0.0.1.evil.example", 421),
    ("user@evil.example", 421),
    ("evil.example#localhost", 421),
    ("10.0.0.1", 421),
    ("[::1", 421),
    ("", 421),
]


@pytest.mark.looptime
@pytest.mark.parametrize("token", [None, "right"])
async def test_a_page_in_a_browser_cannot_name_us(api: Api, token: str | None) -> None:
    """Without a token, a call to a name that anybody may lead here gets nothing; with one, names do not matter."""
    await (api.start(api_token=token) if token else api.start())
    heads = [{"Host": name} | ({"Authorization": f"Bearer {token}"} if token else {}) for name, _ in NAMES]
    told = [(await api.ask("GET", "/openapi.json", headers=head)).status for head in heads]

    assert told == ([200] * len(NAMES) if token else [status for _, status in NAMES])


# ------------------------------------------------------------------------------------------------------------ the pure


@given(st.text(max_size=30))
def test_headers_are_read_or_refused(text: str) -> None:
    """No text makes anything but a value or a Problem."""
    for read in (lambda: patience(text), lambda: idempotency_key([text])):
        with suppress(Problem):
            assert read()


@given(st.one_of(st.text(max_size=40), st.integers(), st.from_regex(r"(@|t\.me/|https://t\.me/c/)[\w+/]{0,20}")))
def test_a_chat_is_brought_into_one_form(chat: Any) -> None:
    """The form is its own: what comes out is taken and stays as it is."""
    try:
        form = canonical_chat(chat)
    except ValueError:
        return
    assert canonical_chat(form) == form


# ------------------------------------------------------------------------------------------------------------- status


@pytest.mark.looptime
async def test_the_status_comes_from_memory(api: Api) -> None:
    """The account as the last verified get_me told it; Telegram is not asked."""
    await api.start()
    before = sum(api.dc.requests.values())
    answer = await api.ask("GET", "/telegram/session/status")

    assert (answer.status, answer.body) == (
        200,
        {
            "status": "connected",
            "user_id": api.me,
            "username": "simulated_user",
            "phone": "15550100",
            "is_bot": False,
            "first_name": "Simulated",
            "last_name": "User",
        },
    )
    assert sum(api.dc.requests.values()) == before


@pytest.mark.looptime
async def test_the_status_of_no_connection_is_503(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """State, reason, why, and when to ask again; and a line in the log."""
    await api.start()
    await api.dc.stop_listening()
    api.dc.reset_all()
    await asyncio.sleep(5)
    answer = await api.ask("GET", "/telegram/session/status")
    snapshot = api.rig.snapshot

    assert (answer.status, answer.headers["Content-Type"]) == (503, PROBLEM)
    assert (answer.body["state"], answer.body["reason"]) == (State.WAITING, Reason.UNREACHABLE)
    assert "cannot be reached" in answer.body["why"]
    assert snapshot.retry_at is not None
    assert 0 <= int(answer.headers["Retry-After"]) - (snapshot.retry_at - api.rig.clock()) < 1
    logged = [record.msg for record in caplog.records if record.name == "sidecar"]
    assert {"event": "session_status_failed", "state": "waiting", "reason": "unreachable"} in logged


# ------------------------------------------------------------------------------------------------------- not connected


@pytest.mark.looptime
async def test_a_refused_session_is_503_at_once(api: Api) -> None:
    """A person must act first: nobody waits for that."""
    await api.start()
    api.rig.session.revoke()
    await api.rig.until(State.REFUSED)
    began = api.rig.now
    answer = await api.send()

    assert (answer.status, answer.body["sent"], answer.body["reason"]) == (503, "no", "revoked")
    assert (answer.headers["Retry-After"], api.rig.now - began < 0.1) == ("10", True)


@pytest.mark.looptime
async def test_a_session_that_is_revoked_in_a_call_is_503(api: Api) -> None:
    """The keeper learns of it with its next check; the call is not repeated until then."""
    await api.start()
    await api.send()
    api.rig.session.revoke()
    answer = await api.send()

    assert (answer.status, answer.body["reason"]) == (503, "revoked")
    assert api.dc.requests["messages.sendMessage"] == 2


@pytest.mark.looptime
async def test_an_outage_is_503_and_a_short_one_is_not_noticed(api: Api) -> None:
    """A call waits for a reconnect of some milliseconds, and for no long outage."""
    await api.start()
    await asyncio.sleep(70)  # proven: it is dialled again at once
    api.dc.close_all()
    await asyncio.sleep(0.001)
    assert (await api.send()).status == 201
    await api.dc.stop_listening()
    api.dc.reset_all()
    await asyncio.sleep(20)
    began = api.rig.now
    answer = await api.send()

    assert (answer.status, answer.body["state"]) == (503, "waiting")
    assert api.rig.now - began < 2


@pytest.mark.looptime
async def test_telegrams_own_fault_is_asked_again_and_503_in_the_end(api: Api) -> None:
    """Once it passes, the call succeeds; if it stays, 503 has Telegram's name for it."""
    await api.start()
    api.dc.fail("messages.sendMessage", code=500, message="INTERDC_2_CALL_ERROR")
    assert (await api.send(key="order-1")).status == 201
    api.dc.fail("messages.sendMessage", code=500, message="INTERDC_2_CALL_ERROR", times=None)
    answer = await api.send(key="order-2", wait=3)

    assert (answer.status, answer.body["telegram_error"]) == (503, "INTERDC_2_CALL_ERROR")
    assert (answer.body["sent"], answer.headers["Retry-After"]) == ("unknown", "1")


@pytest.mark.looptime
async def test_the_number_of_calls_is_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one too many is 429 at once; those under way are not disturbed."""
    monkeypatch.setattr(carrier, "MOST_UNDER_WAY", 5)
    await api.start()
    await api.send()
    api.dc.slow("messages.sendMessage", seconds=2, times=5)
    slow = [asyncio.create_task(api.send(f"{n}")) for n in range(5)]
    await asyncio.sleep(1)
    began = api.rig.now
    answer = await api.send()

    assert (answer.status, answer.body["sent"], api.rig.now - began < 0.1) == (429, "no", True)
    assert [(await one).status for one in slow] == [201] * 5


async def test_a_fault_of_ours_is_500_without_a_traceback(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The traceback goes to the log, and the caller is told nothing of it."""
    api.rig.slack = 5
    await api.start()

    def broken(*_: object) -> None:
        raise KeyError("a secret of ours")

    monkeypatch.setattr(carrier.Carrier, "account", broken)
    answer = await api.send()

    assert (answer.status, answer.headers["Content-Type"]) == (500, PROBLEM)
    assert "KeyError" not in answer.text
    assert "secret" not in answer.text
