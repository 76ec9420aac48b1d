"""Blacks out secrets in text that is about to leave the process.

The last line of defence: nothing is meant to log a secret, but libraries log what they like, and a traceback shows
what an exception holds. So the finished line is searched for every secret that this process has seen.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

BLACK = "[redacted]"

_SHORTEST = 6
"""Shorter ones are not searched for: they would black out half of every line, and are no secrets any more."""

_MOST = 1000
"""So many secrets are remembered at most; the oldest is forgotten first. A process sees a handful."""


class Redactor:
    """Knows every secret that this process has seen."""

    def __init__(self) -> None:
        self._secrets: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None

    def learn(self, secrets: Iterable[str]) -> None:
        """Remember secrets, each also in the forms that it has in a repr and in a JSON string, and as a bare number."""
        before = len(self._secrets)
        for secret in secrets:
            bare = secret.removeprefix("+")
            # A repr escapes single quotes only if there are double ones around.
            for text in (bare, repr(bare)[1:-1], repr('"' + bare)[2:-1]):
                for form in (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
                    if len(form) >= _SHORTEST:
                        self._secrets.setdefault(form)
        if len(self._secrets) == before:
            return
        for oldest in list(self._secrets)[:-_MOST]:
            del self._secrets[oldest]
        longest_first = sorted(self._secrets, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def __call__(self, text: str) -> str:
        """Return the text with every known secret blacked out."""
        return self._pattern.sub(BLACK, text) if self._pattern else text
