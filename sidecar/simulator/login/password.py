"""The second step: checking a password that the server never sees, by SRP.

Source: https://core.telegram.org/api/srp. H is SHA-256, every number in a hash has 256 bytes, `|` joins.

    x   = PH2(password, salt1, salt2)      what only the password gives
    v   = g^x mod p                        what the server keeps
    k   = H(p | g)
    g_b = (k * v + g^b) mod p              srp_B, the challenge
    g_a                                    the client's A
    u   = H(g_a | g_b)
    s   = (g_a * v^u)^b mod p              the client's is (g_b - k * v)^(a + u * x)
    M1  = H(H(p) xor H(g) | H(salt1) | H(salt2) | g_a | g_b | H(s))

Rules of this file: the arithmetic of the server's side, written from that page and not with Telethon's, which it is
there to be held against. Which session it is about is not known here.
"""

import hmac
import random
from dataclasses import dataclass
from hashlib import pbkdf2_hmac, sha256
from typing import Any

from telethon.tl import types

from sidecar.simulator.login import group
from sidecar.simulator.methods import RpcFault

_ROUNDS = 100_000
_SALT_BYTES = 32


def _h(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()


def _sh(data: bytes, salt: bytes) -> bytes:
    return _h(salt, data, salt)


_P, _G = group.to_bytes(group.PRIME), group.to_bytes(group.GENERATOR)
_K = int.from_bytes(_h(_P, _G), "big")


class Verifier:
    """What the server keeps of one password."""

    def __init__(self, password: str, rng: random.Random) -> None:
        self.salt1, self.salt2 = rng.randbytes(_SALT_BYTES), rng.randbytes(_SALT_BYTES)
        ph1 = _sh(_sh(password.encode(), self.salt1), self.salt2)
        x = _sh(pbkdf2_hmac("sha512", ph1, self.salt1, _ROUNDS), self.salt2)
        self.v = pow(group.GENERATOR, int.from_bytes(x, "big"), group.PRIME)

    @property
    def algorithm(self) -> Any:
        """How the client has to compute its side."""
        return types.PasswordKdfAlgoSHA256SHA256PBKDF2HMACSHA512iter100000SHA256ModPow(
            self.salt1, self.salt2, group.GENERATOR, _P
        )


@dataclass(frozen=True, slots=True)
class Challenge:
    """One chance to show that the password is known."""

    verifier: Verifier
    srp_id: int
    b: int
    g_b: bytes

    @classmethod
    def new(cls, verifier: Verifier, rng: random.Random) -> "Challenge":
        """Make a challenge."""
        while True:
            b, power = group.secret(rng)
            g_b = (_K * verifier.v + power) % group.PRIME
            if group.is_public(g_b):
                return cls(verifier, rng.getrandbits(63), b, group.to_bytes(g_b))

    def check(self, answer: Any) -> None:
        """Judge an inputCheckPasswordSRP.

        Raises:
            RpcFault: SRP_ID_INVALID if it answers another challenge, PASSWORD_HASH_INVALID if it does not prove that
                the password is known.
        """
        if not isinstance(answer, types.InputCheckPasswordSRP):
            raise RpcFault(400, "PASSWORD_HASH_INVALID")
        if answer.srp_id != self.srp_id:
            raise RpcFault(400, "SRP_ID_INVALID")
        a = int.from_bytes(answer.A, "big")
        if not group.is_public(a):
            raise RpcFault(400, "PASSWORD_HASH_INVALID")  # 0 would make s known without any password
        g_a = group.to_bytes(a)
        u = int.from_bytes(_h(g_a, self.g_b), "big")
        s = pow(a * pow(self.verifier.v, u, group.PRIME), self.b, group.PRIME)
        mixed = bytes(x ^ y for x, y in zip(_h(_P), _h(_G), strict=True))
        salts = _h(self.verifier.salt1), _h(self.verifier.salt2)
        expected = _h(mixed, *salts, g_a, self.g_b, _h(group.to_bytes(s)))
        if not hmac.compare_digest(expected, answer.M1):
            raise RpcFault(400, "PASSWORD_HASH_INVALID")
