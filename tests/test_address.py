"""How far an address reaches."""

from __future__ import annotations

import pytest

from sidecar.address import is_loopback


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),  # noqa: S104 - what must not count
        ("::", False),
        ("10.0.0.1", False),
        ("my-host", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_what_only_this_machine_reaches(host: str, near: bool) -> None:
    """Only what certainly leads nowhere else counts."""
    assert is_loopback(host) is near
