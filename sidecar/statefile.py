"""The file in `SIDECAR_STATE_DIR` that makes a flood wait outlive a restart of the container.

It holds fingerprints, times and reasons, and no secret. Times are wall-clock times, because the next process has
another clock of its own. A file that cannot be read, is corrupt or is somebody else's is reported and ignored:
forgetting a wait risks a longer one, refusing to start would be an outage of our own making.
"""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any

from sidecar.holdback import UNHEARD, Hold
from sidecar.link import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import structlog

FILE_NAME = "held_back.json"
_VERSION = 1

LONGEST_SECONDS = 7 * 86_400.0
"""No wait of Telegram's is known to last a week; an entry that says so was not written by us."""

_LARGEST_FILE = 64 * 1024
_KEPT = UNHEARD | {Reason.FLOOD_WAIT, Reason.TRANSPORT_FLOOD}

_UNREADABLE = "Delete the file: a wait that it held may be forgotten."
_UNWRITABLE = "Mount an emptyDir that the user of this process may write to: until then a restart forgets flood waits."


class StateFile:
    """Keeps holds in one small file, replaced atomically."""

    def __init__(self, directory: Path, log: structlog.stdlib.BoundLogger, *, wall: Callable[[], float]) -> None:
        self._path = directory / FILE_NAME
        self._log = log
        self._wall = wall

    def load(self, *, now: float) -> dict[str, Hold]:
        """Return the holds in the file that are not over; none if there is no file, or no use in it."""
        if not os.access(self._path.parent, os.W_OK | os.X_OK):
            # Told now, and not when the first wait is lost.
            self._complain("state_not_saved", "not a directory that may be written to", _UNWRITABLE)
        holds: dict[str, Hold] = {}
        try:
            with self._path.open(encoding="utf-8") as stream:
                entries = _entries(json.loads(stream.read(_LARGEST_FILE)))
            for key, entry in entries.items():
                try:
                    holds[key] = self._hold(entry, now)
                except Exception as error:  # noqa: BLE001 - one that is broken must not cost the others
                    self._complain("state_ignored", f"an entry is broken ({type(error).__name__})", _UNREADABLE)
        except FileNotFoundError:
            return {}
        except Exception as error:  # noqa: BLE001 - json alone raises four kinds, RecursionError among them
            self._complain("state_ignored", f"not a file of ours ({type(error).__name__})", _UNREADABLE)
        return {key: hold for key, hold in holds.items() if hold.until > now}

    def _hold(self, entry: Mapping[str, object], now: float) -> Hold:
        asked, until, reason = entry["asked"], entry["until"], Reason(str(entry["reason"]))
        if not isinstance(asked, int | float) or not isinstance(until, int | float):
            raise TypeError("a time that is no number")
        if not math.isfinite(asked + until) or not 0 <= until - asked <= LONGEST_SECONDS:
            raise ValueError("a time that Telegram never asked for")
        if reason not in _KEPT:
            raise ValueError("a reason that holds nothing back")
        # If the clock was set back meanwhile, the wait must not become longer than it ever was.
        left = min(until - self._wall(), until - asked)
        return Hold(now + left, reason)

    def save(self, holds: Mapping[str, Hold], *, now: float) -> None:
        """Replace the file: another process sees the old one or the new one, whole."""
        wall = self._wall()
        kept = {
            key: {"asked": wall, "until": wall + min(hold.until - now, LONGEST_SECONDS), "reason": hold.reason}
            for key, hold in holds.items()
        }
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("w", encoding="utf-8") as stream:
                json.dump({"version": _VERSION, "holds": kept}, stream)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(self._path)
        except OSError as error:
            self._complain("state_not_saved", str(error.strerror), _UNWRITABLE)

    def _complain(self, event: str, error: str, remedy: str) -> None:
        self._log.error(event, file=str(self._path), error=error, remedy=remedy)


def _entries(kept: Mapping[str, Any]) -> Mapping[str, Mapping[str, object]]:
    """Return the entries of a file of ours."""
    if kept["version"] != _VERSION:
        raise ValueError("a file of another version")
    entries: Mapping[str, Mapping[str, object]] = kept["holds"]
    return entries
