"""The unmodified Telethon client finds a data centre."""

import asyncio
from typing import Any

import pytest
from telethon import functions, types
from telethon.errors import AuthKeyDuplicatedError, SessionRevokedError

from sidecar.simulator import DataCentre, Session

from .conftest import Dial
from .raw import self_user


async def test_it_connects(dc: DataCentre, session: Session, dial: Dial) -> None:
    """A client connects, is who the session says, and breaks no rule."""
    me = await (await dial(session)).get_me()
    assert (me.id, me.username, me.phone, me.bot) == (1000001, "simulated_user", "15550100", False)
    assert dc.violations == []
    assert (dc.accepted, dc.live, session.connections, session.worst_overlap) == (1, 1, 1, 0)
    assert dc.requests == {
        "help.getConfig": 1,
        "users.getUsers": 2,
        "updates.getState": 1,
        "updates.getDifference": 1,
    }


async def test_a_bot(dc: DataCentre, dial: Dial) -> None:
    """A bot has a username, and neither a phone nor a last name."""
    me = await (await dial(dc.create_session(is_bot=True, user_id=7, username="some_bot"))).get_me()
    assert (me.id, me.bot, me.username, me.phone, me.last_name) == (7, True, "some_bot", None, None)


async def test_the_configuration(dc: DataCentre, session: Session, dial: Dial) -> None:
    """help.getConfig gives the server's clock, and every address in it is the simulator's."""
    dc.tmp_sessions = 2
    dc.levers.clock_skew = 20
    config = await (await dial(session))(functions.help.GetConfigRequest())
    assert abs(config.date.timestamp() - dc.now()) < 5
    assert (config.this_dc, config.tmp_sessions) == (2, 2)
    assert {(option.ip_address, option.port) for option in config.dc_options} == {(dc.host, dc.port)}


async def test_ipv6(client: Any) -> None:
    """The listener and the session string may be of the sixth version."""
    async with DataCentre(host="::1") as dc:
        session = dc.create_session()
        assert len(session.string) == 369
        telethon = client(session)
        telethon._use_ipv6 = True
        await telethon.connect()
        assert dc.violations == []
        await telethon.disconnect()


async def test_a_bare_ping(dc: DataCentre, session: Session, dial: Dial) -> None:
    """Telethon's sender sends a ping bare, and its pong comes back."""
    pong = await (await dial(session))._sender.send(functions.PingRequest(5))
    assert isinstance(pong, types.Pong)
    assert pong.ping_id == 5
    assert dc.requests["ping"] == 1


async def test_a_revoked_session(session: Session, dial: Dial) -> None:
    """Revoked: calls fail with the true error, pings do not, connect() succeeds; restored: all is well."""
    telethon = await dial(session)
    session.revoke()
    with pytest.raises(SessionRevokedError):
        await telethon(self_user())
    await telethon._sender.send(functions.PingRequest(1))
    late = await dial(session)
    assert await late.get_me() is None
    session.restore()
    assert await late.get_me()


async def test_log_out(session: Session, dial: Dial) -> None:
    """auth.logOut is answered, and ends the login but not the key."""
    telethon = await dial(session)
    assert isinstance(await telethon(functions.auth.LogOutRequest()), types.auth.LoggedOut)
    assert await telethon.get_me() is None


async def test_two_connections_on_one_key(dc: DataCentre, session: Session, dial: Dial) -> None:
    """An overlap is counted when the second connection uses the key, and harms nobody by default."""
    first, second = await dial(session), await dial(session)
    assert (session.connections, session.worst_overlap) == (2, 1)
    await dial(dc.create_session())
    assert session.worst_overlap == 1
    assert await first.get_me()
    await second.disconnect()
    await asyncio.sleep(0)
    assert (session.connections, session.worst_overlap) == (1, 1)


async def test_a_duplicated_key(session: Session, dial: Dial) -> None:
    """With `duplicate_kills`, the second connection ends the session for both, and for good."""
    session.duplicate_kills = True
    first = await dial(session)
    with pytest.raises(AuthKeyDuplicatedError):
        await dial(session)
    with pytest.raises(AuthKeyDuplicatedError):
        await first.get_me()
    await first.disconnect()
    with pytest.raises(AuthKeyDuplicatedError):
        await dial(session)


async def test_one_connection_after_the_other(session: Session, dial: Dial) -> None:
    """A client that closes its connection and opens the next at once has not overlapped."""
    session.duplicate_kills = True
    for _ in range(20):
        telethon = await dial(session)
        await telethon.disconnect()
    assert session.worst_overlap == 0


async def test_a_new_salt(dc: DataCentre, session: Session, dial: Dial) -> None:
    """After `force_bad_salt` the client is told the new one and sends again; the call succeeds."""
    telethon = await dial(session)
    dc.force_bad_salt()
    assert await telethon.get_me()
    assert dc.violations == []
    assert telethon._sender._state.salt == session.salt


async def test_a_whole_batch(dc: DataCentre, session: Session, dial: Dial) -> None:
    """Calls in one container are each answered."""
    telethon = await dial(session)
    users = await telethon([self_user() for _ in range(50)])
    assert len(users) == 50
    assert dc.violations == []


async def test_a_packed_request(dc: DataCentre, session: Session, dial: Dial) -> None:
    """Telethon compresses long requests; they are unpacked."""
    telethon = await dial(session)
    asked = functions.users.GetUsersRequest([types.InputUserSelf()] * 200)
    assert len(await telethon(asked)) == 200
    assert dc.violations == []


async def test_users_that_do_not_exist(session: Session, dial: Dial) -> None:
    """users.getUsers knows the account itself, by its number too, and nobody else."""
    telethon = await dial(session)
    asked = [types.InputUser(session.account.user_id, 0), types.InputUser(5, 0)]
    assert [user.id for user in await telethon(functions.users.GetUsersRequest(asked))] == [1000001]
