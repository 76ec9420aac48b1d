"""What the commands share: exit codes, and the only `print`."""

from __future__ import annotations

import errno
import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = "telethon-sidecar"

EX_OK = 0
EX_NO = 1
"""The answer to what was asked is no: not ready, not logged in."""

EX_USAGE = 64
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_CONFIG = 78
"""Exit codes; from 64 on numbered as in the BSD's sysexits.h."""


def say(text: str) -> None:
    """Say what was asked for, on standard output.

    Raises:
        OSError: nobody can read it.
    """
    if sys.stdout is None:  # closed by whoever started us; print() would say nothing, and nobody would know
        raise OSError(errno.EBADF, "Standard output is closed")
    print(text, flush=True)  # noqa: T201 - see above


def complain(text: str) -> None:
    """Say what is wrong, on standard error."""
    with suppress(OSError):  # then there is nobody left to tell
        if sys.stderr is not None:
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - see above


def say_json(body: Mapping[str, object]) -> None:
    """Say what was asked for, as one line of JSON."""
    say(json.dumps(body, ensure_ascii=False))
