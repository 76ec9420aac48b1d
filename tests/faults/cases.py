"""The cases: every fault of the simulator, in every state that it can meet, and what must come of it.

Rules of this file: data only. A family is one fault; its lines are the states, each with the row that is expected:
what the daemon did, seconds to notice, seconds to recover after the fault was over, attempts, connections opened.
Randomness is fixed at one half, so checks come every 60 s sharp, and delays are half their ceiling: 0.25 s after the
first failure, 0.5, 1, 2, 4, 8 and then 15 s; 0.05 s after a connection that had proven itself.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from telethon import TelegramClient, errors
from telethon.sessions import StringSession

from sidecar.simulator import frames
from tests.faults.observe import Case, Ends, Row, Strike, When
from tests.rig import API_HASH, Rig

START, CONNECTING, UNPROVEN, PROVEN = When.START, When.CONNECTING, When.UNPROVEN, When.PROVEN
WAITING, REFUSED, UNCONFIGURED = When.WAITING, When.REFUSED, When.UNCONFIGURED
AT_ONCE, NOTICED, NEW_SESSION, NEVER = Ends.AT_ONCE, Ends.NOTICED, Ends.NEW_SESSION, Ends.NEVER

Expected = tuple[str, float | None, float | None, int, int]

GET_ME = "users.getUsers"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

# ------------------------------------------------------------------------------------------------- what can strike


def _call(name: str, *args: Any, **kwargs: Any) -> Strike:
    return lambda rig: getattr(rig.dc, name)(*args, **kwargs)


def _set(**levers: Any) -> Strike:
    def strike(rig: Rig) -> None:
        for name, value in levers.items():
            setattr(rig.dc.levers, name, value)

    return strike


def _both(*strikes: Strike) -> Strike:
    async def strike(rig: Rig) -> None:
        for one in strikes:
            if done := one(rig):
                await done

    return strike


def _fail(code: int, message: str, *, method: str = GET_ME, times: int | None = 1) -> Strike:
    def strike(rig: Rig) -> None:
        rig.dc.fail(method, code=code, message=message, times=times)

    return strike


def _answer(text: str, times: int | None = 1) -> Strike:
    def strike(rig: Rig) -> None:
        rig.dc.answer_raw(GET_ME, bytes.fromhex(text), times=times)

    return strike


def _revoke(message: str, code: int = 401) -> Strike:
    return lambda rig: rig.session.revoke(message, code)


def _forget(rig: Rig) -> None:
    rig.session.forget()
    rig.dc.close_all()


async def _down(rig: Rig) -> None:
    await rig.dc.stop_listening()
    rig.dc.close_all()


def _other_session(rig: Rig) -> None:
    rig.mount(rig.dc.create_session())


def _other_hash(rig: Rig) -> None:
    rig.mount(rig.session, api_hash="f" * 32)


def _reload(rig: Rig) -> None:
    rig.mount(rig.session, api_hash="f" * 32)
    rig.manager.reload_credentials()


def _vanish(rig: Rig) -> Awaitable[None]:
    async def strike() -> None:
        rig.mount(session_string="")
        await asyncio.sleep(MINUTE)
        rig.mount(rig.session)

    return strike()


async def _stop(rig: Rig) -> None:
    began = rig.now
    await rig.stop()
    assert rig.now == began, "stopping takes no time"


async def _twin(rig: Rig) -> None:
    """Use the session a second time, as a forgotten laptop would; Telegram then ends it for good."""
    rig.session.duplicate_kills = True
    twin = TelegramClient(StringSession(rig.session.string), 1, API_HASH, connection_retries=0, receive_updates=False)
    with suppress(errors.AuthKeyDuplicatedError):
        await twin.connect()
    await twin.disconnect()


GARBAGE = b"\xff" * 64
HALF_A_FRAME = frames.encode(bytes(64), 0)[:38]
TOO_LONG = struct.pack("<ii", 0x7FFFFFFF, 0)
NOT_A_FRAME = struct.pack("<i", -429)

# ------------------------------------------------------------------------------------------------------ the families


def _family(
    fault: str,
    strike: Strike,
    ends: Ends | float,
    expected: Mapping[When, Expected],
    *,
    variant: str = "",
    **more: Any,
) -> Iterator[Case]:
    for when, (did, noticed, recovered, attempts, opened) in expected.items():
        row = Row(did, noticed, recovered, attempts, opened)
        yield Case(fault=fault, variant=variant, when=when, strike=strike, ends=ends, row=row, **more)


_CUT_CONNECTIONS: tuple[Case, ...] = (
    *_family(
        "FIN",
        _call("close_all"),
        AT_ONCE,
        {
            CONNECTING: ("failed (closed)", 0.0, 0.25, 1, 1),
            UNPROVEN: ("lost (closed)", 0.0, 0.25, 1, 1),
            PROVEN: ("lost (closed)", 0.0, 0.05, 1, 1),
        },
    ),
    *_family(
        "RST",
        _call("reset_all"),
        AT_ONCE,
        {
            CONNECTING: ("failed (reset)", 0.0, 0.25, 1, 1),
            UNPROVEN: ("lost (reset)", 0.0, 0.25, 1, 1),
            PROVEN: ("lost (reset)", 0.0, 0.05, 1, 1),
        },
    ),
    *_family(
        "FIN in the middle of a frame",
        _call("send_truncated"),
        AT_ONCE,
        {
            CONNECTING: ("failed (closed)", 0.0, 0.25, 1, 1),
            UNPROVEN: ("lost (closed)", 0.0, 0.25, 1, 1),
            PROVEN: ("lost (closed)", 0.0, 0.05, 1, 1),
        },
    ),
    *_family(
        "a connection is accepted and closed",
        _set(accept_then_close=True),
        NOTICED,
        {
            START: ("failed (closed)", 0.0, 0.25, 2, 2),
            WAITING: ("failed (closed)", 0.25, 0.5, 2, 2),
        },
    ),
    *_family(
        "a connection is accepted and closed",
        _both(_set(accept_then_close=True), _call("close_all")),
        MINUTE,
        {
            CONNECTING: ("failed (closed)", 0.0, 0.75, 9, 9),
            UNPROVEN: ("lost (closed), failed (closed)", 0.0, 0.75, 9, 9),
            PROVEN: ("lost (closed), failed (closed)", 0.0, 0.8, 10, 10),
        },
        variant="for a minute",
    ),
    *_family(
        "server down",
        _down,
        1.0,
        {
            START: ("failed (unreachable)", 0.0, 0.75, 4, 1),
            CONNECTING: ("failed (closed), failed (unreachable)", 0.0, 0.75, 3, 1),
            UNPROVEN: ("lost (closed), failed (unreachable)", 0.0, 0.75, 3, 1),
            PROVEN: ("lost (closed), failed (unreachable)", 0.0, 0.8, 4, 1),
            WAITING: ("failed (unreachable)", 0.25, 0.75, 3, 1),
        },
        variant="1 s",
    ),
    *_family(
        "server down",
        _down,
        MINUTE,
        {
            START: ("failed (unreachable)", 0.0, 0.75, 10, 1),
            CONNECTING: ("failed (closed), failed (unreachable)", 0.0, 0.75, 9, 1),
            UNPROVEN: ("lost (closed), failed (unreachable)", 0.0, 0.75, 9, 1),
            PROVEN: ("lost (closed), failed (unreachable)", 0.0, 0.8, 10, 1),
            WAITING: ("failed (unreachable)", 0.25, 0.75, 9, 1),
        },
        variant="1 min",
    ),
    *_family(
        "server down",
        _down,
        HOUR,
        {
            PROVEN: ("lost (closed), failed (unreachable)", 0.0, 0.8, 246, 1),
        },
        variant="1 h",
    ),
    *_family(
        "server down",
        _down,
        DAY,
        {
            PROVEN: ("lost (closed), failed (unreachable)", 0.0, 211.8, 299, 1),
        },
        variant="1 day (longest delay set to 600 s)",
        noop_cycles=5,
        settings={"backoff_max": 600},
    ),
)

_SILENCE: tuple[Case, ...] = (
    *_family(
        "black hole",
        _set(black_hole=True),
        NOTICED,
        {
            START: ("failed (connect_timeout)", 15.0, 0.25, 2, 2),
            CONNECTING: ("failed (connect_timeout)", 12.5, 0.25, 1, 1),
            UNPROVEN: ("lost (ping_timeout)", 6.0, 0.25, 1, 1),
            PROVEN: ("lost (ping_timeout)", 6.0, 0.05, 1, 1),
            WAITING: ("failed (connect_timeout)", 15.25, 0.5, 2, 2),
        },
    ),
    *_family(
        "black hole",
        _set(black_hole=True),
        10 * MINUTE,
        {
            PROVEN: ("lost (ping_timeout), failed (connect_timeout)", 6.0, 21.8, 24, 24),
        },
        variant="10 min",
    ),
    *_family(
        "server stops reading",
        _set(stop_reading=True),
        NOTICED,
        {
            START: ("failed (connect_timeout)", 15.0, 0.25, 2, 2),
            CONNECTING: ("failed (connect_timeout)", 12.5, 0.25, 1, 1),
            UNPROVEN: ("lost (ping_timeout)", 6.0, 0.25, 1, 1),
            PROVEN: ("lost (ping_timeout)", 6.0, 0.05, 1, 1),
            WAITING: ("failed (connect_timeout)", 15.25, 0.5, 2, 2),
        },
    ),
    *_family(
        "accepted, then silence",
        _set(silent_accept=True),
        NOTICED,
        {
            START: ("failed (connect_timeout)", 15.0, 0.25, 2, 2),
            WAITING: ("failed (connect_timeout)", 15.25, 0.5, 2, 2),
        },
    ),
    *_family(
        "accepted, then silence",
        _both(_set(silent_accept=True), _call("close_all")),
        MINUTE,
        {
            CONNECTING: ("failed (closed), failed (connect_timeout)", 0.0, 7.75, 5, 5),
            UNPROVEN: ("lost (closed), failed (connect_timeout)", 0.0, 7.75, 5, 5),
            PROVEN: ("lost (closed), failed (connect_timeout)", 0.0, 3.8, 5, 5),
        },
        variant="for a minute, after a FIN",
    ),
    *_family(
        "pings answered, but no RPC",
        _set(answer_pings_only=True),
        NOTICED,
        {
            START: ("failed (connect_timeout)", 15.0, 0.25, 2, 2),
            CONNECTING: ("failed (connect_timeout)", 12.5, 0.25, 1, 1),
            UNPROVEN: ("lost (watchdog_timeout)", 70.0, 0.25, 1, 1),
            PROVEN: ("lost (watchdog_timeout)", 70.0, 0.05, 1, 1),
            WAITING: ("failed (connect_timeout)", 15.25, 0.5, 2, 2),
        },
    ),
    *_family(
        "RPCs answered, but no pings",
        _set(ignore_pings=True),
        NOTICED,
        {
            START: ("lost (ping_timeout)", 3.0, 0.25, 2, 2),
            CONNECTING: ("lost (ping_timeout)", 3.5, 0.25, 1, 1),
            UNPROVEN: ("lost (ping_timeout)", 6.0, 0.25, 1, 1),
            PROVEN: ("lost (ping_timeout)", 6.0, 0.05, 1, 1),
            WAITING: ("lost (ping_timeout)", 3.25, 0.5, 2, 2),
        },
    ),
    *_family(
        "one answer is lost",
        _set(lose_answers=1),
        NOTICED,
        {
            START: ("failed (connect_timeout)", 15.0, 0.25, 2, 2),
            CONNECTING: ("failed (connect_timeout)", 12.5, 0.25, 1, 1),
            UNPROVEN: ("lost (watchdog_timeout)", 70.0, 0.25, 1, 1),
            PROVEN: ("lost (watchdog_timeout)", 70.0, 0.05, 1, 1),
            WAITING: ("failed (connect_timeout)", 15.25, 0.5, 2, 2),
        },
    ),
    *_family(
        "three answers are lost",
        _set(lose_answers=3),
        AT_ONCE,
        {
            START: ("failed (connect_timeout)", 15.0, 46.75, 4, 4),
            PROVEN: ("lost (watchdog_timeout), failed (connect_timeout)", 70.0, 100.8, 3, 3),
        },
    ),
)

_LATENCY: tuple[Case, ...] = (
    *_family(
        "latency",
        _set(latency=2.1),
        100.0,
        {
            START: ("connected", None, 0.0, 1, 1),
        },
        variant="2.1 s: connecting (7 round trips) takes 14.7 s of 15 s",
    ),
    *_family(
        "latency",
        _set(latency=2.2),
        NOTICED,
        {
            START: ("failed (connect_timeout)", 15.0, 0.25, 2, 2),
        },
        variant="2.2 s: connecting (7 round trips) would take 15.4 s",
    ),
    *_family(
        "latency",
        _set(latency=2.9),
        100.0,
        {
            UNPROVEN: ("kept", None, 0.0, 0, 0),
            PROVEN: ("kept", None, 0.0, 0, 0),
        },
        variant="2.9 s, under the 3 s of a ping",
    ),
    *_family(
        "latency",
        _set(latency=3.1),
        NOTICED,
        {
            UNPROVEN: ("lost (ping_timeout)", 6.0, 0.25, 1, 1),
            PROVEN: ("lost (ping_timeout)", 6.0, 0.05, 1, 1),
        },
        variant="3.1 s, over the 3 s of a ping",
    ),
    *_family(
        "latency",
        _set(latency=9.9),
        100.0,
        {
            UNPROVEN: ("kept", None, 0.0, 0, 0),
            PROVEN: ("kept", None, 0.0, 0, 0),
        },
        variant="9.9 s, under the 10 s of a check (pings allowed 20 s)",
        settings={"ping_timeout": 20},
    ),
    *_family(
        "latency",
        _set(latency=10.1),
        NOTICED,
        {
            UNPROVEN: ("lost (watchdog_timeout)", 70.0, 0.25, 1, 1),
            PROVEN: ("lost (watchdog_timeout)", 70.0, 0.05, 1, 1),
        },
        variant="10.1 s, over the 10 s of a check (pings allowed 20 s)",
        settings={"ping_timeout": 20},
    ),
)

_TRANSPORT_ERRORS: tuple[Case, ...] = (
    *_family(
        "transport error -404",
        _call("send_transport_error", 404),
        AT_ONCE,
        {
            CONNECTING: ("failed (unknown_key)", 0.0, 120.25, 1, 1),
            UNPROVEN: ("lost (unknown_key)", 0.0, 120.25, 1, 1),
            PROVEN: ("lost (unknown_key)", 0.0, 120.05, 1, 1),
        },
        variant="once, on a live connection",
    ),
    *_family(
        "transport error -404",
        _set(transport_error=404),
        NOTICED,
        {
            START: ("failed (unknown_key)", 0.0, 120.25, 2, 2),
            WAITING: ("failed (unknown_key)", 0.25, 120.5, 2, 2),
        },
        variant="once",
    ),
    *_family(
        "transport error -404",
        _forget,
        NEW_SESSION,
        {
            START: ("failed (unknown_key), refused (unknown_key)", 0.0, 3.25, 4, 4),
            CONNECTING: ("failed (closed), failed (unknown_key), refused (unknown_key)", 0.0, 3.75, 4, 4),
            UNPROVEN: ("lost (closed), failed (unknown_key), refused (unknown_key)", 0.0, 2.25, 4, 4),
            PROVEN: ("lost (closed), failed (unknown_key), refused (unknown_key)", 0.0, 3.2, 4, 4),
            WAITING: ("failed (unknown_key), refused (unknown_key)", 0.25, 2.25, 4, 4),
        },
        variant="for ever",
    ),
    *_family(
        "transport error -429",
        _call("send_transport_error", 429),
        AT_ONCE,
        {
            CONNECTING: ("failed (transport_flood)", 0.0, 120.25, 1, 1),
            UNPROVEN: ("lost (transport_flood)", 0.0, 120.25, 1, 1),
            PROVEN: ("lost (transport_flood)", 0.0, 120.05, 1, 1),
        },
        variant="in a frame",
    ),
    *_family(
        "transport error -429",
        _call("send_transport_error", 429, bare=True),
        AT_ONCE,
        {
            CONNECTING: ("failed (transport_flood)", 0.0, 120.25, 1, 1),
            UNPROVEN: ("lost (transport_flood)", 0.0, 120.25, 1, 1),
            PROVEN: ("lost (transport_flood)", 0.0, 120.05, 1, 1),
        },
        variant="bare, once",
    ),
    *_family(
        "transport error -429",
        _call("send_transport_error", 429, bare=True, repeat=3),
        AT_ONCE,
        {
            CONNECTING: ("failed (transport_flood)", 0.0, 120.25, 1, 1),
            UNPROVEN: ("lost (transport_flood)", 0.0, 120.25, 1, 1),
            PROVEN: ("lost (transport_flood)", 0.0, 120.05, 1, 1),
        },
        variant="bare, three times",
    ),
    *_family(
        "transport error -429",
        _set(transport_error=429),
        NOTICED,
        {
            START: ("failed (transport_flood)", 0.0, 120.25, 2, 2),
            WAITING: ("failed (transport_flood)", 0.25, 120.5, 2, 2),
        },
        variant="to a new connection",
    ),
    *_family(
        "transport error -429",
        _set(garbage_on_accept=NOT_A_FRAME),
        NOTICED,
        {
            START: ("failed (transport_flood)", 0.0, 120.25, 2, 2),
            WAITING: ("failed (transport_flood)", 0.25, 120.5, 2, 2),
        },
        variant="bare, once, to a new connection",
    ),
    *_family(
        "transport error -429",
        _set(garbage_on_accept=3 * NOT_A_FRAME),
        NOTICED,
        {
            START: ("failed (transport_flood)", 0.0, 120.25, 2, 2),
            WAITING: ("failed (transport_flood)", 0.25, 120.5, 2, 2),
        },
        variant="bare, three times, to a new connection",
    ),
)

_ANSWERS: tuple[Case, ...] = (
    *_family(
        "FLOOD_WAIT on connecting",
        _fail(420, "FLOOD_WAIT_3"),
        3.0,
        {
            START: ("failed (flood_wait)", 0.0, 0.25, 2, 2),
        },
        variant="3 s",
    ),
    *_family(
        "FLOOD_WAIT on a check",
        _fail(420, "FLOOD_WAIT_3"),
        MINUTE + 3,
        {
            UNPROVEN: ("kept (check: flood_wait)", 60.0, 60.0, 0, 0),
            PROVEN: ("kept (check: flood_wait)", 60.0, 60.0, 0, 0),
        },
        variant="3 s",
    ),
    *_family(
        "FLOOD_WAIT on connecting",
        _fail(420, "FLOOD_WAIT_300"),
        300.0,
        {
            START: ("failed (flood_wait)", 0.0, 0.25, 2, 2),
            WAITING: ("failed (flood_wait)", 0.25, 0.75, 2, 2),
        },
        variant="300 s",
    ),
    *_family(
        "FLOOD_WAIT on a check",
        _fail(420, "FLOOD_WAIT_300"),
        MINUTE + 300,
        {
            PROVEN: ("kept (check: flood_wait)", 60.0, 60.0, 0, 0),
        },
        variant="300 s",
    ),
    *_family(
        "FLOOD_WAIT on connecting",
        _fail(420, "FLOOD_WAIT_20000"),
        20000.0,
        {
            START: ("failed (flood_wait)", 0.0, 0.25, 2, 2),
        },
        variant="20 000 s",
        noop_cycles=5,
    ),
    *_family(
        "FLOOD_WAIT on a check",
        _fail(420, "FLOOD_WAIT_20000"),
        MINUTE + 20000,
        {
            PROVEN: ("kept (check: flood_wait)", 60.0, 60.0, 0, 0),
        },
        variant="20 000 s",
        noop_cycles=5,
        settings={"ping_interval": 60},
    ),
    *_family(
        "500 INTERNAL",
        _fail(500, "INTERNAL"),
        NOTICED,
        {
            START: ("failed (server_error)", 2.0, 0.25, 2, 2),
            CONNECTING: ("failed (server_error)", 2.5, 0.25, 1, 1),
            UNPROVEN: ("kept (check: server_error)", 62.0, 60.0, 0, 0),
            PROVEN: ("kept (check: server_error)", 62.0, 60.0, 0, 0),
            WAITING: ("failed (server_error)", 2.25, 0.5, 2, 2),
        },
        variant="once",
    ),
    *_family(
        "500 INTERNAL",
        _fail(500, "INTERNAL", times=None),
        10 * MINUTE,
        {
            START: ("failed (server_error)", 2.0, 5.75, 41, 41),
            PROVEN: ("kept (check: server_error)", 62.0, 18.0, 0, 0),
        },
        variant="for 10 minutes",
    ),
    *_family(
        "-503 Timeout",
        _fail(-503, "Timeout"),
        NOTICED,
        {
            START: ("failed (server_error)", 2.0, 0.25, 2, 2),
            CONNECTING: ("failed (server_error)", 2.5, 0.25, 1, 1),
            UNPROVEN: ("kept (check: server_error)", 62.0, 60.0, 0, 0),
            PROVEN: ("kept (check: server_error)", 62.0, 60.0, 0, 0),
            WAITING: ("failed (server_error)", 2.25, 0.5, 2, 2),
        },
        variant="once",
    ),
    *_family(
        "-503 Timeout",
        _fail(-503, "Timeout", times=None),
        10 * MINUTE,
        {
            START: ("failed (server_error)", 2.0, 5.75, 41, 41),
            PROVEN: ("kept (check: server_error)", 62.0, 18.0, 0, 0),
        },
        variant="for 10 minutes",
    ),
    *_family(
        "303 USER_MIGRATE",
        _set(migrate_to=4),
        NOTICED,
        {
            START: ("failed (migrated)", 0.0, 0.25, 2, 2),
            CONNECTING: ("failed (migrated)", 0.5, 0.25, 1, 1),
            UNPROVEN: ("lost (migrated)", 60.0, 0.25, 1, 1),
            PROVEN: ("lost (migrated)", 60.0, 0.05, 1, 1),
            WAITING: ("failed (migrated)", 0.25, 0.5, 2, 2),
        },
    ),
    *_family(
        "bad_server_salt",
        _call("force_bad_salt"),
        AT_ONCE,
        {
            CONNECTING: ("connected", None, 0.5, 0, 0),
            UNPROVEN: ("kept", None, 0.0, 0, 0),
            PROVEN: ("kept", None, 0.0, 0, 0),
        },
    ),
    *_family(
        "an unknown constructor",
        _answer("efbeadde"),
        NOTICED,
        {
            START: ("failed (protocol)", 0.0, 0.25, 2, 2),
            CONNECTING: ("failed (protocol)", 0.5, 0.25, 1, 1),
            UNPROVEN: ("kept (check: server_error)", 60.0, 60.0, 0, 0),
            PROVEN: ("kept (check: server_error)", 60.0, 60.0, 0, 0),
            WAITING: ("failed (protocol)", 0.25, 0.5, 2, 2),
        },
    ),
    *_family(
        "an unknown constructor",
        _answer("15c4b51c01000000efbeadde"),
        NOTICED,
        {
            UNPROVEN: ("kept (check: server_error)", 60.0, 60.0, 0, 0),
            PROVEN: ("kept (check: server_error)", 60.0, 60.0, 0, 0),
        },
        variant="in a vector",
    ),
    *_family(
        "an empty vector",
        _answer("15c4b51c00000000"),
        NOTICED,
        {
            START: ("failed (protocol)", 0.0, 0.25, 2, 2),
            CONNECTING: ("failed (protocol)", 0.5, 0.25, 1, 1),
            UNPROVEN: ("lost (protocol)", 60.0, 0.25, 1, 1),
            PROVEN: ("lost (protocol)", 60.0, 0.05, 1, 1),
            WAITING: ("failed (protocol)", 0.25, 0.5, 2, 2),
        },
    ),
)

_REFUSALS: tuple[Case, ...] = (
    *_family(
        "401",
        _revoke("AUTH_KEY_UNREGISTERED"),
        NEW_SESSION,
        {
            START: ("refused (unregistered)", 0.0, 2.0, 2, 2),
            PROVEN: ("refused (unregistered)", 60.0, 2.0, 1, 1),
        },
        variant="`AUTH_KEY_UNREGISTERED`",
    ),
    *_family(
        "401",
        _revoke("SESSION_REVOKED"),
        NEW_SESSION,
        {
            START: ("refused (revoked)", 0.0, 2.0, 2, 2),
            CONNECTING: ("refused (revoked)", 0.5, 3.0, 1, 1),
            UNPROVEN: ("refused (revoked)", 60.0, 2.0, 1, 1),
            PROVEN: ("refused (revoked)", 60.0, 2.0, 1, 1),
            WAITING: ("refused (revoked)", 0.25, 3.75, 2, 2),
        },
        variant="`SESSION_REVOKED`",
    ),
    *_family(
        "401",
        _revoke("SESSION_EXPIRED"),
        NEW_SESSION,
        {
            START: ("refused (expired)", 0.0, 2.0, 2, 2),
            PROVEN: ("refused (expired)", 60.0, 2.0, 1, 1),
        },
        variant="`SESSION_EXPIRED`",
    ),
    *_family(
        "401",
        _revoke("USER_DEACTIVATED"),
        NEW_SESSION,
        {
            START: ("refused (deactivated)", 0.0, 2.0, 2, 2),
            PROVEN: ("refused (deactivated)", 60.0, 2.0, 1, 1),
        },
        variant="`USER_DEACTIVATED`",
    ),
    *_family(
        "401",
        _revoke("USER_DEACTIVATED_BAN"),
        NEW_SESSION,
        {
            START: ("refused (banned)", 0.0, 2.0, 2, 2),
            PROVEN: ("refused (banned)", 60.0, 2.0, 1, 1),
        },
        variant="`USER_DEACTIVATED_BAN`",
    ),
    *_family(
        "401",
        _revoke("AUTH_KEY_INVALID"),
        NEW_SESSION,
        {
            START: ("refused (unauthorized)", 0.0, 2.0, 2, 2),
            PROVEN: ("refused (unauthorized)", 60.0, 2.0, 1, 1),
        },
        variant="`AUTH_KEY_INVALID`",
    ),
    *_family(
        "401",
        _revoke("AUTH_KEY_PERM_EMPTY"),
        NEW_SESSION,
        {
            START: ("refused (unauthorized)", 0.0, 2.0, 2, 2),
            PROVEN: ("refused (unauthorized)", 60.0, 2.0, 1, 1),
        },
        variant="`AUTH_KEY_PERM_EMPTY`",
    ),
    *_family(
        "401",
        _revoke("ACTIVE_USER_REQUIRED"),
        NEW_SESSION,
        {
            START: ("refused (unauthorized)", 0.0, 2.0, 2, 2),
            PROVEN: ("refused (unauthorized)", 60.0, 2.0, 1, 1),
        },
        variant="`ACTIVE_USER_REQUIRED`",
    ),
    *_family(
        "401",
        _revoke("SESSION_PASSWORD_NEEDED"),
        NEW_SESSION,
        {
            START: ("refused (unauthorized)", 0.0, 2.0, 2, 2),
            PROVEN: ("refused (unauthorized)", 60.0, 2.0, 1, 1),
        },
        variant="`SESSION_PASSWORD_NEEDED`",
    ),
    *_family(
        "401",
        _revoke("A_NAME_NOBODY_KNOWS"),
        NEW_SESSION,
        {
            START: ("refused (unauthorized)", 0.0, 2.0, 2, 2),
            PROVEN: ("refused (unauthorized)", 60.0, 2.0, 1, 1),
        },
        variant="`A_NAME_NOBODY_KNOWS`",
    ),
    *_family(
        "406",
        _revoke("AUTH_KEY_DUPLICATED", 406),
        NEW_SESSION,
        {
            START: ("refused (duplicated)", 0.0, 2.0, 2, 2),
            CONNECTING: ("refused (duplicated)", 0.5, 3.0, 1, 1),
            UNPROVEN: ("refused (duplicated)", 60.0, 2.0, 1, 1),
            PROVEN: ("refused (duplicated)", 60.0, 2.0, 1, 1),
            WAITING: ("refused (duplicated)", 0.25, 3.75, 2, 2),
        },
        variant="`AUTH_KEY_DUPLICATED`",
    ),
    *_family(
        "the session is used elsewhere too",
        _twin,
        NEW_SESSION,
        {
            CONNECTING: ("refused (duplicated)", 0.5, 3.0, 1, 1),
            UNPROVEN: ("refused (duplicated)", 60.0, 2.0, 1, 1),
            PROVEN: ("refused (duplicated)", 60.0, 2.0, 1, 1),
        },
        strangers=1,
    ),
    *_family(
        "400",
        _fail(400, "API_ID_INVALID", method="help.getConfig"),
        NEW_SESSION,
        {
            START: ("refused (bad_api_credentials)", 0.0, 2.0, 2, 2),
        },
        variant="`API_ID_INVALID`",
    ),
    *_family(
        "406",
        _fail(406, "UPDATE_APP_TO_LOGIN", method="help.getConfig"),
        NEW_SESSION,
        {
            START: ("refused (update_required)", 0.0, 2.0, 2, 2),
        },
        variant="`UPDATE_APP_TO_LOGIN`",
    ),
)

# A clock of Telegram's that is set back in mid-connection is left out: it does not happen, and nobody could follow it,
# because identifiers tell the time and must not fall. Our own clock, if it falls behind, looks like a jump ahead here.
_CLOCKS: tuple[Case, ...] = (
    *_family(
        "Telegram's clock jumps",
        _set(clock_skew=-400.0),
        AT_ONCE,
        {
            START: ("connected", None, 0.0, 1, 1),
            WAITING: ("connected", None, 0.25, 1, 1),
        },
        variant="-400 s",
    ),
    *_family(
        "Telegram's clock jumps",
        _set(clock_skew=-100.0),
        AT_ONCE,
        {
            START: ("connected", None, 0.0, 1, 1),
            WAITING: ("connected", None, 0.25, 1, 1),
        },
        variant="-100 s",
    ),
    *_family(
        "Telegram's clock jumps",
        _set(clock_skew=31.0),
        AT_ONCE,
        {
            START: ("connected", None, 0.0, 1, 1),
            CONNECTING: ("failed (connect_timeout)", 12.5, 12.75, 1, 1),
            UNPROVEN: ("lost (ping_timeout)", 6.0, 6.25, 1, 1),
            PROVEN: ("lost (ping_timeout)", 6.0, 6.05, 1, 1),
            WAITING: ("connected", None, 0.25, 1, 1),
        },
        variant="+31 s",
    ),
    *_family(
        "Telegram's clock jumps",
        _set(clock_skew=100.0),
        AT_ONCE,
        {
            START: ("connected", None, 0.0, 1, 1),
            CONNECTING: ("failed (connect_timeout)", 12.5, 12.75, 1, 1),
            UNPROVEN: ("lost (ping_timeout)", 6.0, 6.25, 1, 1),
            PROVEN: ("lost (ping_timeout)", 6.0, 6.05, 1, 1),
            WAITING: ("connected", None, 0.25, 1, 1),
        },
        variant="+100 s",
    ),
    *_family(
        "Telegram's clock jumps",
        _set(clock_skew=100_000.0),
        AT_ONCE,
        {
            START: ("connected", None, 0.0, 1, 1),
            CONNECTING: ("connected", None, 0.5, 0, 0),
            UNPROVEN: ("kept", None, 0.0, 0, 0),
            PROVEN: ("kept", None, 0.0, 0, 0),
            WAITING: ("connected", None, 0.25, 1, 1),
        },
        variant="+100000 s",
    ),
)

_NOISE: tuple[Case, ...] = (
    *_family(
        "garbage",
        _call("send_all", GARBAGE),
        AT_ONCE,
        {
            CONNECTING: ("failed (protocol)", 0.0, 0.25, 1, 1),
            UNPROVEN: ("lost (protocol)", 0.0, 0.25, 1, 1),
            PROVEN: ("lost (protocol)", 0.0, 0.05, 1, 1),
        },
    ),
    *_family(
        "garbage",
        _set(garbage_on_accept=GARBAGE),
        NOTICED,
        {
            START: ("failed (protocol)", 0.0, 0.25, 2, 2),
            WAITING: ("failed (protocol)", 0.25, 0.5, 2, 2),
        },
        variant="to a new connection",
    ),
    *_family(
        "an oversized length prefix",
        _call("send_all", TOO_LONG + bytes(64)),
        AT_ONCE,
        {
            CONNECTING: ("failed (protocol)", 0.0, 0.25, 1, 1),
            UNPROVEN: ("lost (protocol)", 0.0, 0.25, 1, 1),
            PROVEN: ("lost (protocol)", 0.0, 0.05, 1, 1),
        },
    ),
    *_family(
        "an oversized length prefix",
        _set(garbage_on_accept=TOO_LONG + bytes(64)),
        NOTICED,
        {
            START: ("failed (protocol)", 0.0, 0.25, 2, 2),
            WAITING: ("failed (protocol)", 0.25, 0.5, 2, 2),
        },
        variant="to a new connection",
    ),
    *_family(
        "an oversized length prefix",
        _call("send_all", TOO_LONG + bytes(8 << 20)),
        AT_ONCE,
        {
            CONNECTING: ("failed (protocol)", 0.0, 0.25, 1, 1),
            UNPROVEN: ("lost (protocol)", 0.0, 0.25, 1, 1),
            PROVEN: ("lost (protocol)", 0.0, 0.05, 1, 1),
        },
        variant="and 8 MB behind it",
    ),
    *_family(
        "half a frame",
        _call("send_all", HALF_A_FRAME),
        AT_ONCE,
        {
            CONNECTING: ("failed (protocol)", 0.5, 0.75, 1, 1),
            UNPROVEN: ("lost (protocol)", 3.0, 3.25, 1, 1),
            PROVEN: ("lost (protocol)", 3.0, 3.05, 1, 1),
        },
        variant="and no FIN",
    ),
    *_family(
        "half a frame",
        _set(garbage_on_accept=HALF_A_FRAME),
        NOTICED,
        {
            START: ("failed (protocol)", 0.0, 0.25, 2, 2),
            WAITING: ("failed (protocol)", 0.25, 0.5, 2, 2),
        },
        variant="to a new connection",
    ),
)

_ORDERS: tuple[Case, ...] = (
    *_family(
        "credentials change",
        _other_session,
        AT_ONCE,
        {
            CONNECTING: ("lost (credentials_changed), took the new ones", 3.5, 3.5, 1, 1),
            UNPROVEN: ("lost (credentials_changed), took the new ones", 4.0, 4.0, 1, 1),
            PROVEN: ("lost (credentials_changed), took the new ones", 4.0, 4.0, 1, 1),
            WAITING: ("lost (credentials_changed), took the new ones", 4.0, 4.0, 2, 2),
            REFUSED: ("took the new ones", 4.0, 4.0, 1, 1),
            UNCONFIGURED: ("took the new ones", 4.0, 4.0, 1, 1),
        },
        variant="another session",
        watched=True,
    ),
    *_family(
        "credentials change",
        _other_hash,
        AT_ONCE,
        {
            CONNECTING: ("lost (credentials_changed), took the new ones", 3.5, 3.5, 1, 1),
            UNPROVEN: ("lost (credentials_changed), took the new ones", 4.0, 4.0, 1, 1),
            PROVEN: ("lost (credentials_changed), took the new ones", 4.0, 4.0, 1, 1),
            WAITING: ("lost (credentials_changed), took the new ones", 4.0, 4.0, 2, 2),
        },
        variant="the same session",
        watched=True,
    ),
    *_family(
        "credentials change",
        _reload,
        AT_ONCE,
        {
            CONNECTING: ("failed (credentials_changed), took the new ones", 0.0, 0.0, 1, 1),
            UNPROVEN: ("lost (credentials_changed), took the new ones", 0.0, 0.0, 1, 1),
            PROVEN: ("lost (credentials_changed), took the new ones", 0.0, 0.0, 1, 1),
            WAITING: ("took the new ones", 0.0, 0.0, 1, 1),
        },
        variant="the same session, and SIGHUP",
        watched=True,
    ),
    *_family(
        "credentials change",
        _both(_set(stop_reading=True), _other_hash),
        MINUTE,
        {
            PROVEN: ("lost (credentials_changed), took the new ones, failed (connect_timeout)", 4.0, 0.0, 4, 4),
        },
        variant="the same session, while the server stops reading for a minute",
        watched=True,
    ),
    *_family(
        "credentials vanish",
        _vanish,
        MINUTE,
        {
            CONNECTING: ("lost (credentials_changed), took the new ones, held (unconfigured)", 3.5, 3.5, 1, 1),
            UNPROVEN: ("lost (credentials_changed), took the new ones, held (unconfigured)", 4.0, 2.0, 1, 1),
            PROVEN: ("lost (credentials_changed), took the new ones, held (unconfigured)", 4.0, 2.0, 1, 1),
            WAITING: ("lost (credentials_changed), took the new ones, held (unconfigured)", 4.0, 2.0, 2, 2),
        },
        variant="for a minute",
        watched=True,
    ),
    *_family(
        "black hole",
        _set(black_hole=True),
        NEW_SESSION,
        {
            REFUSED: ("held still", None, 2.0, 1, 1),
        },
    ),
    *_family(
        "server down",
        _down,
        NEW_SESSION,
        {
            REFUSED: ("held still", None, 2.0, 1, 1),
        },
    ),
    *_family(
        "SIGTERM",
        _stop,
        NEVER,
        {
            CONNECTING: ("stopped", 0.0, None, 0, 0),
            UNPROVEN: ("stopped", 0.0, None, 0, 0),
            PROVEN: ("stopped", 0.0, None, 0, 0),
            WAITING: ("stopped", 0.0, None, 0, 0),
            REFUSED: ("stopped", 0.0, None, 0, 0),
            UNCONFIGURED: ("stopped", 0.0, None, 0, 0),
        },
    ),
    *_family(
        "SIGTERM",
        _both(_set(black_hole=True), _stop),
        NEVER,
        {
            CONNECTING: ("stopped", 0.0, None, 0, 0),
            PROVEN: ("stopped", 0.0, None, 0, 0),
        },
        variant="in a black hole",
    ),
)

CASES: tuple[Case, ...] = (
    *_CUT_CONNECTIONS,
    *_SILENCE,
    *_LATENCY,
    *_TRANSPORT_ERRORS,
    *_ANSWERS,
    *_REFUSALS,
    *_CLOCKS,
    *_NOISE,
    *_ORDERS,
)
