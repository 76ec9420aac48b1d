"""The group in which keys are agreed upon and passwords are checked: Telegram's own prime, and a generator of it.

Source: https://core.telegram.org/mtproto/security_guidelines (validation of DH parameters; g_a and g_b validation) and
https://core.telegram.org/mtproto/samples-auth_key (the prime, as Telegram sends it).
"""

import random

_BITS = 2048
BYTES = _BITS // 8

PRIME = int(
    "c71caeb9c6b1c9048e6c522f70f13f73980d40238e3e21c14934d037563d930f"
    "48198a0aa7c14058229493d22530f4dbfa336f6e0ac925139543aed44cce7c37"
    "20fd51f69458705ac68cd4fe6b6b13abdc9746512969328454f18faf8c595f64"
    "2477fe96bb2a941d5bcd1d4ac8cc49880708fa9b378e3c4f3a9060bee67cf9a4"
    "a4a695811051907e162753b56b0f6b410dba74d8a84b2a14b3144e0ef1284754"
    "fd17ed950d5965b4b9dd46582db1178d169c6bc465b0d6ff9ca3928fef5b9ae4"
    "e418fc15e83ebea0f87fa9ff5eed70050ded2849f47bf959d956850ce929851f"
    "0d8115f635b105ee2e4e15d04b2454bf6f4fadf034b10403119cd8e3b92fcc5b",
    16,
)
"""A safe prime: (PRIME - 1) / 2 is one too. The tests check that."""

GENERATOR = 3
"""Generates the subgroup of that half, because PRIME is 2 modulo 3."""

_MARGIN = 1 << (_BITS - 64)


def is_public(number: int) -> bool:
    """Whether a number may be the power that a peer makes public: not too near to either end of the group."""
    return _MARGIN <= number <= PRIME - _MARGIN


def secret(rng: random.Random) -> tuple[int, int]:
    """A secret exponent, and the power of the generator that is made public."""
    while True:
        exponent = rng.getrandbits(_BITS)
        if is_public(power := pow(GENERATOR, exponent, PRIME)):
            return exponent, power


def to_bytes(number: int) -> bytes:
    """A number of the group in all its bytes, leading zeros included."""
    return number.to_bytes(BYTES, "big")
