"""Wall-clock time, for what is shown to people. Everything else runs on the event loop's clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime


def as_time(moment: float) -> str:
    """Turn a moment of the running event loop's clock into RFC 3339, in UTC, to the millisecond."""
    ahead = moment - asyncio.get_running_loop().time()
    shown = datetime.fromtimestamp(datetime.now(UTC).timestamp() + ahead, UTC)
    return shown.isoformat(timespec="milliseconds").replace("+00:00", "Z")
