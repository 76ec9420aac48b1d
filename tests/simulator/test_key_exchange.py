"""A client without a key gets one, or is told at which step it went wrong."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import pytest
from rsa.prime import is_prime
from telethon.crypto import AES, AuthKey
from telethon.crypto import rsa as telethon_rsa
from telethon.tl import functions, types

from sidecar.simulator import DataCentre
from sidecar.simulator.login import LogIn, RsaKey, group

from .conftest import Arrive
from .raw import frame
from .stranger import Stranger, number, plain
from .trust import newcomer, trusting

STEPS = {"req_pq_multi": 1, "req_DH_params": 1, "set_client_DH_params": 1}


@pytest.fixture
def stranger(dc: DataCentre, login: LogIn) -> Stranger:
    """A client that has asked for the number to factor."""
    made = Stranger(dc)
    made.begin()
    return made


def test_the_group() -> None:
    """The prime is safe and has 2048 bits, and 3 generates its subgroup: what security_guidelines ask of it."""
    assert group.PRIME.bit_length() == 2048
    assert is_prime(group.PRIME)
    assert is_prime((group.PRIME - 1) // 2)
    assert (group.GENERATOR, group.PRIME % 3) == (3, 2)


def test_the_rsa_key(rsa_key: RsaKey) -> None:
    """Telethon computes the same fingerprint from the PEM, and what it encrypts comes back whole."""
    with trusting(rsa_key.pem):
        block = telethon_rsa.encrypt(rsa_key.fingerprint, b"data")
        assert block
    opened = rsa_key.decrypt(block)
    assert opened
    assert (len(opened), opened[20:24]) == (255, b"data")
    assert telethon_rsa.encrypt(rsa_key.fingerprint, b"data") is None
    assert rsa_key.decrypt(block[1:]) is None


async def test_telethon_gets_a_key(dc: DataCentre, login: LogIn, arrive: Arrive) -> None:
    """The unmodified client exchanges a key, breaks no rule, and is a stranger with it."""
    telethon = await arrive()
    session = dc.sessions[telethon.session.auth_key.key_id]
    assert session.key.data == telethon.session.auth_key.key
    assert dc.requests["req_pq_multi"] == dc.requests["req_DH_params"] == dc.requests["set_client_DH_params"]
    assert dc.violations == []
    assert await telethon.get_me() is None
    assert login.logged_in == []


async def test_a_data_centre_that_is_not_trusted(dc: DataCentre, rsa_key: RsaKey) -> None:
    """Telethon encrypts nothing for a key that it does not know."""
    LogIn(dc, key=rsa_key)
    telethon = newcomer(dc, connection_retries=1)
    with pytest.raises(ConnectionError, match="auth_key generation failed"):
        await telethon.connect()
    assert dc.requests == {"req_pq_multi": 2}
    assert dc.sessions == {}
    await telethon.disconnect()
    await asyncio.gather(telethon.disconnected, return_exceptions=True)


def test_the_steps(dc: DataCentre, stranger: Stranger) -> None:
    """Each answer names both nonces and proves that the server knows what it should; the first salt is theirs."""
    stranger.prove()
    done = stranger.ask(stranger.offer())
    assert isinstance(done, types.DhGenOk)
    assert (done.nonce, done.server_nonce) == (stranger.nonce, stranger.server_nonce)
    key = AuthKey(stranger.key)
    assert done.new_nonce_hash1 == key.calc_new_nonce_hash(stranger.new_nonce, 1)
    salts = dc.sessions[key.key_id].salt, stranger.new_nonce ^ stranger.server_nonce
    assert salts[0] % 2**64 == salts[1] % 2**64
    assert dc.requests == STEPS
    assert dc.violations == []


def test_the_clock_of_the_exchange(dc: DataCentre, stranger: Stranger) -> None:
    """The client learns the server's time, by which it makes its message identifiers from then on."""
    dc.levers.clock_skew = 1000
    stranger.prove()
    assert stranger.dh.server_time == int(dc.now())


Query = Callable[[Stranger], Any]

WRONG_PROOFS: list[tuple[Query, str]] = [
    (lambda peer: peer.proof(nonce=6), "req_DH_params with another nonce"),
    (lambda peer: peer.proof(server_nonce=6), "req_DH_params with an unknown server_nonce"),
    (lambda peer: peer.proof(p=b"\3"), "req_DH_params with factors that are not those of pq"),
    (lambda peer: peer.proof(q=b"\3"), "req_DH_params with factors that are not those of pq"),
    (lambda peer: peer.proof(public_key_fingerprint=6), "req_DH_params with the fingerprint of an unknown key"),
    (lambda peer: peer.proof(encrypted_data=b"\xff" * 256), "req_DH_params with data that are not under the key"),
    (lambda peer: peer.proof(encrypted_data=b"\1"), "req_DH_params with data that are not under the key"),
    (lambda peer: peer.proof(data=b"no TL"), "the data of req_DH_params are no TL"),
    (
        lambda peer: peer.proof(data=bytes(types.MsgsAck([1]))),
        "req_DH_params with data of a wrong hash, or that are no",
    ),
    (lambda peer: peer.proof(inner={"p": b"\3"}), "p_q_inner_data with other factors"),
    (lambda peer: peer.proof(inner={"nonce": 6}), "p_q_inner_data with other nonces"),
    (lambda peer: peer.proof(inner={"server_nonce": 6}), "p_q_inner_data with other nonces"),
    (lambda peer: functions.ReqPqRequest(1), "req_pq without encryption"),
    (lambda peer: functions.help.GetConfigRequest(), "help.getConfig without encryption"),
    (lambda peer: b"\1\2\3\4", "an unencrypted message that is no TL"),
]


@pytest.mark.parametrize(("wrong", "rule"), WRONG_PROOFS)
def test_a_wrong_second_step(dc: DataCentre, stranger: Stranger, wrong: Query, rule: str) -> None:
    """What is not as it should be is met with -404, and noted."""
    assert stranger.ask(wrong(stranger)) is None
    assert len(dc.violations) == 1
    assert dc.violations[0].startswith(rule)
    assert dc.sessions == {}


def test_an_exchange_that_went_wrong(dc: DataCentre, stranger: Stranger) -> None:
    """After an incorrect query, a correct one gets -404 too: the exchange must be begun anew."""
    assert stranger.ask(stranger.proof(p=b"\3")) is None
    assert stranger.ask(stranger.proof()) is None
    stranger.begin()
    assert stranger.prove()


WRONG_OFFERS: list[tuple[Query, str]] = [
    (lambda peer: peer.offer(data=b"no TL" * 4), "the data of set_client_DH_params are no TL"),
    (lambda peer: peer.offer(data=bytes(types.MsgsAck([1]))), "set_client_DH_params with data that are no"),
    (
        lambda peer: functions.SetClientDHParamsRequest(peer.nonce, peer.server_nonce, bytes(17)),
        "set_client_DH_params with 17 bytes",
    ),
    (
        lambda peer: functions.SetClientDHParamsRequest(peer.nonce, peer.server_nonce, b""),
        "set_client_DH_params with 0 bytes",
    ),
    (
        lambda peer: functions.SetClientDHParamsRequest(6, peer.server_nonce, bytes(16)),
        "set_client_DH_params with another nonce",
    ),
]


@pytest.mark.parametrize(("wrong", "rule"), WRONG_OFFERS)
def test_a_wrong_third_step(dc: DataCentre, stranger: Stranger, wrong: Query, rule: str) -> None:
    """What cannot be read is met with -404, and noted."""
    stranger.prove()
    assert stranger.ask(wrong(stranger)) is None
    assert len(dc.violations) == 1
    assert dc.violations[0].startswith(rule)
    assert dc.sessions == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": bytes(20)},
        {"nonce": 6},
        {"server_nonce": 6},
        {"retry_id": 6},
        {"g_b": b"\1"},
        {"g_b": group.to_bytes(group.PRIME - 1)},
        {"g_b": group.to_bytes(1 << 1983)},
    ],
)
def test_dh_gen_fail(dc: DataCentre, stranger: Stranger, changes: dict[str, Any]) -> None:
    """A wrong hash, nonce, retry_id or a dangerous g_b makes no key, and the server proves that it says so."""
    stranger.prove()
    failed = stranger.ask(stranger.offer(**changes))
    assert isinstance(failed, types.DhGenFail)
    g_b = number(changes["g_b"]) if "g_b" in changes else None
    if g_b is None:  # else only the server can compute the key
        assert failed.new_nonce_hash3 == AuthKey(stranger.key).calc_new_nonce_hash(stranger.new_nonce, 3)
    assert dc.violations == ["client_DH_inner_data with a wrong hash, nonce, retry_id or g_b"]
    assert dc.sessions == {}
    assert stranger.ask(stranger.offer()) is None


def test_dh_gen_retry(dc: DataCentre, login: LogIn) -> None:
    """A key that is taken already is not given again; the client tries another g_b and says which key failed."""
    dice = dc.rng.getstate()
    first = Stranger(dc)
    first.begin()
    first.prove()
    assert isinstance(first.ask(first.offer()), types.DhGenOk)
    dc.rng.setstate(dice)  # the same dice make the same g_a
    second = Stranger(dc, new_nonce=8)
    second.begin()
    second.prove()
    assert second.key == first.key
    taken = AuthKey(second.key)
    again = second.ask(second.offer())
    assert isinstance(again, types.DhGenRetry)
    assert again.new_nonce_hash2 == taken.calc_new_nonce_hash(second.new_nonce, 2)
    second.b += 1
    retry_id = taken.aux_hash - (1 << 64) if taken.aux_hash >> 63 else taken.aux_hash
    assert isinstance(second.ask(second.offer(retry_id=retry_id)), types.DhGenOk)
    assert len(dc.sessions) == 2
    assert dc.violations == []


def test_a_key_that_begins_with_zero(dc: DataCentre, stranger: Stranger) -> None:
    """The server's key has 256 bytes always; Telethon leaves leading zeros out, and so finds the proof wrong."""
    stranger.prove()
    while stranger.key[0]:
        stranger.b += 1
    done = stranger.ask(stranger.offer())
    assert done.new_nonce_hash1 == AuthKey(stranger.key).calc_new_nonce_hash(stranger.new_nonce, 1)
    telethons = AuthKey(telethon_rsa.get_byte_array(number(stranger.key)))
    assert done.new_nonce_hash1 != telethons.calc_new_nonce_hash(stranger.new_nonce, 1)


def test_a_third_step_without_the_second(stranger: Stranger, dc: DataCentre) -> None:
    """Without new_nonce there is nothing to encrypt with."""
    query = functions.SetClientDHParamsRequest(
        stranger.nonce, stranger.server_nonce, AES.encrypt_ige(bytes(16), *stranger.cipher)
    )
    assert stranger.ask(query) is None
    assert dc.violations == ["set_client_DH_params before req_DH_params"]


def test_exchanges_that_are_left_lying(dc: DataCentre, stranger: Stranger) -> None:
    """64 exchanges may be open; the oldest is forgotten then."""
    for _ in range(63):
        Stranger(dc).begin()
    held = stranger.proof()
    Stranger(dc).begin()
    assert stranger.ask(held) is None
    assert dc.violations == ["req_DH_params with an unknown server_nonce"]


@pytest.mark.parametrize(
    ("packet", "rule"),
    [
        (bytes(8), "an unencrypted message of 8 bytes"),
        (struct.pack("<qqi", 0, 4, 8) + bytes(4), "an unencrypted message that says 8 and has 4 bytes"),
        (struct.pack("<qqi", 0, 5, 4) + bytes(4), "an unencrypted message with the identifier 5"),
        (struct.pack("<qqi", 0, 0, 4) + bytes(4), "an unencrypted message with the identifier 0"),
    ],
)
async def test_what_is_no_unencrypted_message(dc: DataCentre, login: LogIn, packet: bytes, rule: str) -> None:
    """On the wire, -404 is a frame of four bytes, and the connection is closed after it."""
    assert await _ask(dc, packet) == frame(struct.pack("<i", -404))
    assert dc.violations == [rule]


async def test_a_data_centre_without_it(dc: DataCentre) -> None:
    """Unless it is switched on, an unencrypted message is one with an unknown key."""
    assert await _ask(dc, plain(bytes(functions.ReqPqMultiRequest(1)))) == frame(struct.pack("<i", -404))
    assert (dc.requests, dc.violations) == ({}, [])


async def _ask(dc: DataCentre, packet: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    reader, writer = await asyncio.open_connection(dc.host, dc.port)
    writer.write(frame(packet))
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer
