"""Secrets in text that is about to leave the process."""

import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.redact import BLACK, Redactor

# No letter of the black text itself, so that what is left can be searched for them.
secrets = st.text(string.ascii_uppercase + string.digits + '"\\\n/é€+', min_size=7, max_size=40)


def knowing(*known: str) -> Redactor:
    """Make a redactor that knows some secrets."""
    redactor = Redactor()
    redactor.learn(known)
    return redactor


def test_knowing_nothing_it_changes_nothing() -> None:
    """Before the first secret, text passes as it is."""
    assert Redactor()("anything at all") == "anything at all"


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        pytest.param("hunter22", "a hunter22 b hunter22", "a [redacted] b [redacted]", id="every-occurrence"),
        pytest.param("a.c.e.g", "abcdefg a.c.e.g", "abcdefg [redacted]", id="taken-literally"),
        pytest.param("+491701234567", "phone=491701234567", "phone=[redacted]", id="phone-without-plus"),
        pytest.param("+491701234567", "phone=+491701234567", "phone=+[redacted]", id="phone-with-plus"),
        pytest.param('pa"ss\\word', json.dumps('pa"ss\\word'), '"[redacted]"', id="inside-json"),
        pytest.param("pässwörd", json.dumps("pässwörd"), '"[redacted]"', id="inside-ascii-json"),
        pytest.param("pa\\ss", repr("x pa\\ss y"), "'x [redacted] y'", id="inside-a-repr"),
        pytest.param("it's so", repr('"it\'s so"'), "'\"[redacted]\"'", id="inside-a-repr-that-quotes"),
        pytest.param("pa\\ss", json.dumps(repr("pa\\ss")), "\"'[redacted]'\"", id="inside-a-repr-inside-json"),
        pytest.param("12345", "12345", "12345", id="too-short-to-be-one"),
        pytest.param("123456", "123456", "[redacted]", id="just-long-enough"),
        pytest.param("", "text", "text", id="empty"),
    ],
)
def test_what_is_blacked_out(secret: str, text: str, shown: str) -> None:
    """A secret is found as it is, as it looks inside JSON, and a phone number with and without its plus sign."""
    assert knowing(secret)(text) == shown


def test_the_longer_secret_is_found_first() -> None:
    """A secret that begins with another one is blacked out whole, in whatever order they were learned."""
    assert knowing("secret", "secret-and-more")("secret-and-more") == BLACK
    assert knowing("secret-and-more", "secret")("secret-and-more") == BLACK


def test_the_oldest_is_forgotten_beyond_a_thousand() -> None:
    """A thousand secrets are remembered; the next one takes the place of the oldest."""
    redactor = knowing(*(f"secret-{number:04}" for number in range(1000)))
    assert redactor("secret-0000 secret-0999") == f"{BLACK} {BLACK}"
    redactor.learn(["secret-1000"])
    assert redactor("secret-0000 secret-0001 secret-1000") == f"secret-0000 {BLACK} {BLACK}"


@settings(deadline=None)
@given(known=st.lists(secrets, min_size=1, max_size=5), parts=st.lists(st.text(max_size=10), max_size=5))
def test_no_secret_is_left(known: list[str], parts: list[str]) -> None:
    """Whatever stands around and between secrets, none of them is left in the text, its repr, or JSON of these."""
    redactor = knowing(*known)
    text = "".join(part + secret for part, secret in zip([*parts, ""] * 5, known, strict=False))
    for finished in (text, repr(text), json.dumps(text), json.dumps(text, ensure_ascii=False), json.dumps(repr(text))):
        shown = redactor(finished)
        assert shown.count(BLACK) >= 1
        assert not [secret for secret in known if secret in shown]
        assert redactor(shown) == shown


@settings(deadline=None)
@given(
    secret=st.text(string.ascii_uppercase + string.digits + '"\\\n/é€', min_size=6, max_size=40),
    before=st.text(string.ascii_lowercase),
    after=st.text(string.ascii_lowercase),
)
def test_what_is_no_secret_is_left_alone(secret: str, before: str, after: str) -> None:
    """Only the secret goes: what stands before and after it stays."""
    assert knowing(secret)(before + secret + after) == before + BLACK + after
