"""The key exchange: how a client and a data centre that share no secret come to share an authorisation key.

    client                     server
    req_pq_multi        ─────▶
                        ◀───── resPQ                a number to factor, fingerprints of RSA keys
    req_DH_params       ─────▶                      its factors; new_nonce, for the holder of the RSA key alone
                        ◀───── server_DH_params_ok  g_a, under an AES key made of the nonces
    set_client_DH_params ────▶                      g_b, under the same
                        ◀───── dh_gen_ok            the key is g_ab; or dh_gen_retry, dh_gen_fail

Source: https://core.telegram.org/mtproto/auth_key and https://core.telegram.org/mtproto/security_guidelines. The data
of req_DH_params are wrapped as Telethon 1.45 does it (`telethon.crypto.rsa.encrypt`), in the manner that the page
described before RSA_PAD, and that Telegram still takes: SHA1(data) + data + padding, 255 bytes in all, and
p_q_inner_data without the number of a data centre.

Rules of this file: packets in, packets out; what becomes of the key is not decided here. An exchange is known by its
server_nonce, not by its connection. An incorrect query ends it: -404, and nothing of it is known any more.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha1
from typing import TYPE_CHECKING, Any

from rsa.prime import is_prime
from telethon.crypto import AES
from telethon.errors import TypeNotFoundError
from telethon.extensions import BinaryReader
from telethon.tl import functions, types

from sidecar.simulator.envelope import AuthKey
from sidecar.simulator.login import group, plain
from sidecar.simulator.login.rsa_key import RsaKey
from sidecar.simulator.naming import method_name
from sidecar.simulator.sequence import ServerSequence

if TYPE_CHECKING:
    from sidecar.simulator.datacentre import DataCentre

_FACTOR_BITS = 31
"""Telethon reads pq as a signed number of 64 bits."""
_REMEMBERED = 64
"""Exchanges that are open at once, at most. The oldest is forgotten."""
_BLOCK = 16
_UNREADABLE = (struct.error, BufferError, IndexError, ValueError, TypeNotFoundError)


class Refused(Exception):
    """The query is incorrect: -404, and the exchange must be begun anew."""


@dataclass(slots=True)
class _Open:
    """One exchange that is under way."""

    nonce: int
    server_nonce: int
    factors: tuple[int, int]  # the lower first
    new_nonce: int | None = None  # None until req_DH_params
    a: int = 0
    retry_id: int = 0  # the auxiliary hash of the key that was taken already

    @property
    def cipher(self) -> tuple[bytes, bytes]:
        """AES key and initialisation vector for the rest of the exchange."""
        new, server = _bytes(self.new_nonce or 0, 32), _bytes(self.server_nonce, 16)
        first, second, third = _sha1(new + server), _sha1(server + new), _sha1(new + new)
        return first + second[:12], second[12:] + third + new[:4]

    def new_nonce_hash(self, number: int, key: bytes) -> int:
        """What proves to the client that the server knows the key: number 1 for ok, 2 for retry, 3 for fail."""
        proof = _sha1(_bytes(self.new_nonce or 0, 32) + bytes([number]) + _aux_hash(key))
        return int.from_bytes(proof[4:], "little", signed=True)

    def salt(self) -> int:
        """The first salt of the key that is agreed upon."""
        new, server = _bytes(self.new_nonce or 0, 32), _bytes(self.server_nonce, 16)
        return int.from_bytes(bytes(x ^ y for x, y in zip(new[:8], server[:8], strict=True)), "little", signed=True)


class KeyExchange:
    """Answers the three queries of the exchange."""

    def __init__(self, dc: "DataCentre", rsa_key: RsaKey, accept: Callable[[AuthKey, int], bool]) -> None:
        """Begin with no exchange open.

        Args:
            dc: has the clock and the dice, counts every query, and is told of every incorrect one.
            rsa_key: by which clients know it.
            accept: takes a key and its first salt; False if there is a key of that identifier already.
        """
        self._rsa_key = rsa_key
        self._dc = dc
        self._accept = accept
        self._open: dict[int, _Open] = {}  # by server_nonce, in order of arrival
        self._sequence = ServerSequence()

    def answer(self, packet: bytes) -> bytes | None:
        """The packet that answers one from a client; None for -404."""
        try:
            reply = self._answer(_read(plain.unpack(packet)))
        except (Refused, plain.PlainError) as error:
            self._dc.violate(str(error))
            return None
        return plain.pack(self._sequence.next_id(self._dc.now(), answer=True), bytes(reply))

    def _answer(self, query: Any) -> Any:
        self._dc.requests[method_name(query)] += 1
        match query:
            case functions.ReqPqMultiRequest():
                return self._res_pq(query)
            case functions.ReqDHParamsRequest():
                return self._server_dh_params(self._known(query), query)
            case functions.SetClientDHParamsRequest():
                return self._dh_gen(self._known(query), query)
        raise Refused(f"{method_name(query)} without encryption")

    def _known(self, query: Any) -> _Open:
        """The exchange that a query belongs to. It is taken out, and put back only if the query is correct."""
        exchange = self._open.pop(query.server_nonce, None)
        if exchange is None:
            raise Refused(f"{method_name(query)} with an unknown server_nonce")
        if query.nonce != exchange.nonce:
            raise Refused(f"{method_name(query)} with another nonce")
        return exchange

    def _res_pq(self, query: Any) -> Any:
        p, q = sorted((self._factor(), self._factor()))
        exchange = _Open(query.nonce, _signed(self._dc.rng.randbytes(16)), (p, q))
        self._open[exchange.server_nonce] = exchange
        if len(self._open) > _REMEMBERED:
            del self._open[next(iter(self._open))]
        return types.ResPQ(exchange.nonce, exchange.server_nonce, _big_endian(p * q), [self._rsa_key.fingerprint])

    def _server_dh_params(self, exchange: _Open, query: Any) -> Any:
        p, q = exchange.factors
        if (query.p, query.q) != (_big_endian(p), _big_endian(q)):
            raise Refused("req_DH_params with factors that are not those of pq")
        if query.public_key_fingerprint != self._rsa_key.fingerprint:
            raise Refused("req_DH_params with the fingerprint of an unknown key")
        inner = self._pq_inner_data(query.encrypted_data)
        if (inner.pq, inner.p, inner.q) != (_big_endian(p * q), query.p, query.q):
            raise Refused("p_q_inner_data with other factors than req_DH_params")
        if (inner.nonce, inner.server_nonce) != (exchange.nonce, exchange.server_nonce):
            raise Refused("p_q_inner_data with other nonces than req_DH_params")
        exchange.new_nonce = inner.new_nonce
        exchange.a, g_a = group.secret(self._dc.rng)
        self._open[exchange.server_nonce] = exchange
        answer = bytes(
            types.ServerDHInnerData(
                exchange.nonce,
                exchange.server_nonce,
                group.GENERATOR,
                group.to_bytes(group.PRIME),
                group.to_bytes(g_a),
                int(self._dc.now()),
            )
        )
        sealed = _sha1(answer) + answer
        sealed += self._dc.rng.randbytes(-len(sealed) % _BLOCK)
        encrypted = bytes(AES.encrypt_ige(sealed, *exchange.cipher))
        return types.ServerDHParamsOk(exchange.nonce, exchange.server_nonce, encrypted)

    def _pq_inner_data(self, encrypted: bytes) -> Any:
        data_with_hash = self._rsa_key.decrypt(encrypted)
        if data_with_hash is None:
            raise Refused("req_DH_params with data that are not under the key it names")
        inner, intact = _hashed(data_with_hash, "the data of req_DH_params")
        if not intact or not isinstance(inner, types.PQInnerData):
            raise Refused("req_DH_params with data of a wrong hash, or that are no p_q_inner_data")
        return inner

    def _dh_gen(self, exchange: _Open, query: Any) -> Any:
        if exchange.new_nonce is None:
            raise Refused("set_client_DH_params before req_DH_params")
        if not query.encrypted_data or len(query.encrypted_data) % _BLOCK:
            raise Refused(f"set_client_DH_params with {len(query.encrypted_data)} bytes of ciphertext")
        opened = bytes(AES.decrypt_ige(query.encrypted_data, *exchange.cipher))
        inner, intact = _hashed(opened, "the data of set_client_DH_params")
        if not isinstance(inner, types.ClientDHInnerData):
            raise Refused("set_client_DH_params with data that are no client_DH_inner_data")
        g_b = int.from_bytes(inner.g_b, "big")
        # All 256 bytes. Telethon leaves leading zeros out, hence one in 256 of its exchanges fails, with Telegram too.
        key = group.to_bytes(pow(g_b, exchange.a, group.PRIME))
        names = (exchange.nonce, exchange.server_nonce)
        if (
            not intact
            or (inner.nonce, inner.server_nonce, inner.retry_id) != (*names, exchange.retry_id)
            or not group.is_public(g_b)
        ):
            self._dc.violate("client_DH_inner_data with a wrong hash, nonce, retry_id or g_b")
            return types.DhGenFail(*names, exchange.new_nonce_hash(3, key))
        if not self._accept(AuthKey(key), exchange.salt()):
            exchange.retry_id = int.from_bytes(_aux_hash(key), "little", signed=True)
            self._open[exchange.server_nonce] = exchange
            return types.DhGenRetry(*names, exchange.new_nonce_hash(2, key))
        return types.DhGenOk(*names, exchange.new_nonce_hash(1, key))

    def _factor(self) -> int:
        while True:
            candidate = self._dc.rng.getrandbits(_FACTOR_BITS) | 1 << (_FACTOR_BITS - 1) | 1
            if is_prime(candidate):
                return candidate


def _read(body: bytes) -> Any:
    try:
        return BinaryReader(body).tgread_object()
    except _UNREADABLE as error:
        raise Refused(f"an unencrypted message that is no TL: {error}") from None


def _hashed(data: bytes, what: str) -> tuple[Any, bool]:
    """The object behind a SHA-1 and in front of padding, and whether the hash is right."""
    digest, rest = data[:20], data[20:]
    try:
        reader = BinaryReader(rest)
        found = reader.tgread_object()
    except _UNREADABLE as error:
        raise Refused(f"{what} are no TL: {error}") from None
    return found, _sha1(rest[: reader.tell_position()]) == digest


def _sha1(data: bytes) -> bytes:
    return sha1(data, usedforsecurity=False).digest()


def _aux_hash(key: bytes) -> bytes:
    """The 64 higher-order bits of the key's SHA-1; the lower ones are its identifier."""
    return _sha1(key)[:8]


def _bytes(nonce: int, length: int) -> bytes:
    """A nonce as it travels. Telethon shows it as a signed number."""
    return nonce.to_bytes(length, "little", signed=True)


def _signed(nonce: bytes) -> int:
    return int.from_bytes(nonce, "little", signed=True)


def _big_endian(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
