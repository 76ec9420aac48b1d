"""A flood wait: until when somebody has to hold back. Source: https://core.telegram.org/api/errors#420-flood."""

import asyncio
import math
from dataclasses import dataclass

from sidecar.simulator.fault import RpcFault


@dataclass(frozen=True, slots=True)
class Flood:
    """One wait, for one method or one chat."""

    until: float
    """Loop time."""

    def check(self) -> None:
        """Let a call through that comes after the wait.

        Raises:
            RpcFault: FLOOD_WAIT_n, with the seconds that are left.
        """
        left = self.until - asyncio.get_running_loop().time()
        if left > 0:
            raise RpcFault(420, f"FLOOD_WAIT_{math.ceil(left)}")
