"""The RSA key by which a client knows a data centre.

Source: https://core.telegram.org/mtproto/auth_key (public key fingerprints; the encrypted data of req_DH_params).
"""

import math
from hashlib import sha1

import rsa
from rsa.key import gen_keys
from rsa.prime import is_prime
from rsa.randnum import read_random_odd_int
from telethon.tl import TLObject

_BITS = 2048
_BYTES = _BITS // 8
_SMALL_PRIMES = math.prod(n for n in range(3, 4000, 2) if all(n % k for k in range(3, math.isqrt(n) + 1, 2)))


class RsaKey:
    """One pair of keys."""

    def __init__(self, private: rsa.PrivateKey) -> None:
        self._private = private
        self._public = rsa.PublicKey(private.n, private.e)

    @classmethod
    def generate(cls) -> "RsaKey":
        """Make a new pair. It takes a second or so: tests make one and share it."""
        p, q, e, d = gen_keys(_BITS, _prime)
        return cls(rsa.PrivateKey(p * q, e, d, p, q))

    @property
    def pem(self) -> str:
        """The public key as PKCS #1 in PEM, which is what `telethon.crypto.rsa.add_key` takes."""
        return self._public.save_pkcs1().decode()

    @property
    def fingerprint(self) -> int:
        """The 64 lower-order bits of the SHA-1 of modulus and exponent, each serialised as a TL string."""
        n, e = (TLObject.serialize_bytes(_big_endian(number)) for number in (self._public.n, self._public.e))
        return int.from_bytes(sha1(n + e, usedforsecurity=False).digest()[-8:], "little", signed=True)

    def decrypt(self, block: bytes) -> bytes | None:
        """The 255 bytes inside a block of 256, or None if it cannot have been made with the public key."""
        number = int.from_bytes(block, "big")
        if len(block) != _BYTES or number >= self._private.n:
            return None
        plain = self._private.blinded_decrypt(number).to_bytes(_BYTES, "big")
        return plain[1:] if plain[0] == 0 else None


def _prime(bits: int) -> int:
    # The library's own search tries every odd number in full, which takes it six times as long.
    while True:
        candidate = read_random_odd_int(bits) | 3 << (bits - 2)  # two such numbers have a product of full length
        if math.gcd(candidate, _SMALL_PRIMES) == 1 and is_prime(candidate):
            return candidate


def _big_endian(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
