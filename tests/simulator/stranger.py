"""A hand-made client without a key: it takes the steps of the key exchange, right or wrong.

What it computes, it computes with Telethon's own functions.
"""

import struct
import time
from hashlib import sha1
from typing import Any

from telethon.crypto import AES, Factorization, rsa
from telethon.extensions import BinaryReader
from telethon.helpers import generate_key_data_from_nonce
from telethon.tl import functions, types

from sidecar.simulator import DataCentre


def plain(body: bytes) -> bytes:
    """An unencrypted message."""
    return struct.pack("<qqi", 0, int(time.time()) << 32, len(body)) + body


def number(data: bytes) -> int:
    """A big number as the exchange writes it."""
    return int.from_bytes(data, "big")


class Stranger:
    """One exchange. It has to be made inside `trusting`."""

    def __init__(self, dc: DataCentre, *, nonce: int = 5, new_nonce: int = -7, b: int = 0) -> None:
        self.dc = dc
        self.nonce = nonce
        self.new_nonce = new_nonce
        self.b = b or 1 << 2000
        self.pq: Any = None
        self.server_nonce = 0
        self.dh: Any = None

    def ask(self, query: Any) -> Any:
        """Send a query: the answer, or None for -404."""
        assert self.dc.unencrypted
        packet = self.dc.unencrypted(plain(bytes(query)))
        if packet is None:
            return None
        key_id, msg_id, length = struct.unpack_from("<qqi", packet)
        assert (key_id, msg_id % 4, length) == (0, 1, len(packet) - 20)
        return BinaryReader(packet[20:]).tgread_object()

    def begin(self) -> None:
        """Take the first step."""
        self.pq = self.ask(functions.ReqPqMultiRequest(self.nonce))
        self.server_nonce = self.pq.server_nonce

    def proof(self, *, data: bytes | None = None, inner: dict[str, Any] | None = None, **changes: Any) -> Any:
        """The query of the second step, with other content where any is given."""
        p, q = (rsa.get_byte_array(factor) for factor in Factorization.factorize(number(self.pq.pq)))
        fingerprint = self.pq.server_public_key_fingerprints[0]
        right = {"pq": self.pq.pq, "p": p, "q": q, "new_nonce": self.new_nonce, **self._names}
        data = bytes(types.PQInnerData(**right | (inner or {}))) if data is None else data
        query = {
            **self._names,
            "p": p,
            "q": q,
            "public_key_fingerprint": fingerprint,
            "encrypted_data": rsa.encrypt(fingerprint, data),
        }
        return functions.ReqDHParamsRequest(**query | changes)

    def prove(self) -> Any:
        """Take the second step."""
        answer = self.ask(self.proof())
        assert isinstance(answer, types.ServerDHParamsOk)
        opened = AES.decrypt_ige(answer.encrypted_answer, *self.cipher)
        reader = BinaryReader(opened[20:])
        self.dh = reader.tgread_object()
        assert sha1(opened[20 : 20 + reader.tell_position()], usedforsecurity=False).digest() == opened[:20]
        return answer

    def offer(self, *, digest: bytes | None = None, data: bytes | None = None, **changes: Any) -> Any:
        """The query of the third step, with other content where any is given."""
        g_b = rsa.get_byte_array(pow(self.dh.g, self.b, number(self.dh.dh_prime)))
        inner = {**self._names, "retry_id": 0, "g_b": g_b}
        data = bytes(types.ClientDHInnerData(**inner | changes)) if data is None else data
        sealed = (sha1(data, usedforsecurity=False).digest() if digest is None else digest) + data
        return functions.SetClientDHParamsRequest(**self._names, encrypted_data=AES.encrypt_ige(sealed, *self.cipher))

    @property
    def key(self) -> bytes:
        """The key that both sides should have."""
        return pow(number(self.dh.g_a), self.b, number(self.dh.dh_prime)).to_bytes(256, "big")

    @property
    def cipher(self) -> Any:
        """AES key and initialisation vector of the exchange."""
        return generate_key_data_from_nonce(self.server_nonce, self.new_nonce)

    @property
    def _names(self) -> dict[str, int]:
        return {"nonce": self.nonce, "server_nonce": self.server_nonce}
