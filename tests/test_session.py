"""Session strings: what is read from them, what is refused, and that Telethon agrees."""

import base64
import hashlib
import ipaddress
import re
import string

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from telethon.crypto import AuthKey
from telethon.sessions import StringSession

from sidecar.session import SessionFacts, read_session

KEY = bytes(range(256))

NOT_VERSION_1 = 'does not start with "1", as a Telethon StringSession does'
LENGTH = "has {} characters; a Telethon StringSession has 353 (IPv4) or 369 (IPv6)"
ALPHABET = "contains characters that a Telethon StringSession never has (it is URL-safe base64)"
PADDING = "is padded unlike a Telethon StringSession; was it cut or joined?"
NO_KEY = "holds no auth key; it was saved before the log-in"
NO_PORT = "holds no port of a data centre"

keys = st.binary(min_size=256, max_size=256).filter(any)
addresses = st.ip_addresses().map(str)


def saved(dc: int = 2, host: str = "149.154.167.51", port: int = 443, key: bytes = KEY) -> str:
    """Have Telethon save a session."""
    session = StringSession()
    session.set_dc(dc, host, port)
    session.auth_key = AuthKey(key)
    return str(session.save())


def packed(dc: int = 2, address: bytes = bytes(4), port: int = 443, key: bytes = KEY, tail: bytes = b"") -> str:
    """Pack a session string by hand, right or wrong."""
    data = bytes([dc]) + address + port.to_bytes(2, "big") + key + tail
    return "1" + base64.urlsafe_b64encode(data).decode()


@pytest.mark.parametrize(
    ("host", "length", "ipv6"),
    [
        pytest.param("149.154.167.51", 353, False, id="ipv4"),
        pytest.param("2001:67c:4e8:f002::a", 369, True, id="ipv6"),
    ],
)
def test_the_public_part_is_read(host: str, length: int, ipv6: bool) -> None:
    """Data centre, address, port and the fingerprint of the key are read from what Telethon saves."""
    text = saved(dc=4, host=host, port=8443)
    assert len(text) == length
    facts = read_session(text)
    assert facts == SessionFacts(dc=4, host=host, port=8443, fingerprint="40aff2e9")
    assert facts.ipv6 is ipv6


@settings(deadline=None)
@given(dc=st.integers(0, 255), host=addresses, port=st.integers(1, 65535), key=keys)
def test_round_trip(dc: int, host: str, port: int, key: bytes) -> None:
    """Whatever Telethon saves is read back as it was saved."""
    expected = SessionFacts(dc, ipaddress.ip_address(host).compressed, port, hashlib.sha256(key).hexdigest()[:8])
    assert read_session(saved(dc, host, port, key)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", NOT_VERSION_1, id="empty"),
        pytest.param("2" + saved()[1:], NOT_VERSION_1, id="another-version"),
        pytest.param(" " + saved(), NOT_VERSION_1, id="space-before"),
        pytest.param(saved() + "\n", LENGTH.format(354), id="newline-after"),
        pytest.param(saved()[:-1], LENGTH.format(352), id="cut"),
        pytest.param(saved() * 2, LENGTH.format(706), id="doubled"),
        pytest.param("1" + "+" + saved()[2:], ALPHABET, id="standard-base64"),
        pytest.param("1" + "é" + saved()[2:], ALPHABET, id="not-ascii"),
        pytest.param("1=" + saved()[2:], ALPHABET, id="padding-in-front"),
        pytest.param(saved()[:-2] + "==", PADDING, id="padded-twice"),
        pytest.param(packed(tail=b"\0"), PADDING, id="a-byte-too-many"),
        pytest.param(packed(key=bytes(256)), NO_KEY, id="no-key"),
        pytest.param(packed(port=0), NO_PORT, id="no-port"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    """Each way of being wrong has its own words, and they repeat nothing of the string."""
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        read_session(text)


# --------------------------------------------------------------------------------------------------- any mutation


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A saved session string with a piece replaced, removed or inserted, at most once at each of a few places."""
    text = saved(draw(st.integers(0, 255)), draw(addresses), draw(st.integers(0, 65535)), draw(keys))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        removed = draw(st.integers(0, 20))
        inserted = draw(
            st.one_of(
                st.text(max_size=20),
                st.text(string.ascii_letters + string.digits + "-_=", min_size=removed, max_size=removed),
            )
        )
        text = text[:start] + inserted + text[start + removed :]
    return text


WORDS = "|".join(
    re.escape(words).replace(re.escape("{}"), r"\d+")
    for words in (NOT_VERSION_1, LENGTH, ALPHABET, PADDING, NO_KEY, NO_PORT)
)


def read_or_refused(text: str) -> SessionFacts | None:
    """Read a session string; if it is refused, make sure that the words are ours alone."""
    try:
        return read_session(text)
    except ValueError as error:
        refusal = str(error)
    # One of six fixed sentences, with nothing of the string but its length.
    assert re.fullmatch(WORDS, refusal)
    return None


@settings(deadline=None)
@given(st.one_of(mutated(), st.text()))
def test_nothing_leaks(text: str) -> None:
    """No string whatever makes read_session raise anything but a ValueError with fixed words."""
    read_or_refused(text)


@settings(deadline=None)
@given(mutated())
def test_telethon_agrees(text: str) -> None:
    """Whatever is accepted, Telethon accepts too, and takes it for the same data centre, address, port and key."""
    facts = read_or_refused(text)
    assume(facts is not None)
    assert facts is not None
    theirs = StringSession(text)
    digest = hashlib.sha256(theirs.auth_key.key).hexdigest()
    assert facts == SessionFacts(theirs.dc_id, theirs.server_address, theirs.port, digest[:8])
