"""The watch over one verified link, from its first second to its end: ping, check, and listen for its loss.

Two questions, because neither answers the other. A *ping* is cheap and may come often: it finds a connection that is
dead without saying so. Only *get_me* finds a session that was revoked or banned while its connection lives on; asked
often, it earns flood waits.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sidecar.link import LinkBusy, LinkError, LinkRefused, Reason
from sidecar.race import first_failure
from sidecar.state import Checked, CheckResult, FloodWaited, PingAnswered

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Never

    from sidecar.link import Identity, Link
    from sidecar.settings import Settings

WATCHDOG_JITTER = 0.1
"""Checks come this fraction earlier or later than the interval, so that a fleet does not ask in one instant."""


class Vigil:
    """Watches one link.

    Attributes:
        proven: whether the connection has proven itself: it answered a check after the one that verified it.
    """

    def __init__(
        self,
        link: Link,
        settings: Settings,
        record: Callable[[PingAnswered | Checked | FloodWaited], None],
        random: Callable[[], float],
    ) -> None:
        self._link = link
        self._settings = settings
        self._record = record
        self._random = random
        self.proven = False

    async def keep(self) -> Exception:
        """Watch until the link ends, and return why. What Telegram says weighs more than what its socket does."""
        return await first_failure(self._check_for_ever(), self._link.lost(), self._ping_for_ever())

    async def _ping_for_ever(self) -> Never:
        clock, allowed = asyncio.get_running_loop().time, self._settings.ping_timeout
        while True:  # the first at once: until Telegram has one, it would keep our connection if we vanished
            began = clock()
            try:
                async with asyncio.timeout(allowed):
                    await self._link.ping()
            except TimeoutError:
                raise self._link.given_up(Reason.PING_TIMEOUT, f"no answer to a ping within {allowed:g} s") from None
            self._record(PingAnswered(clock() - began))
            await asyncio.sleep(self._settings.ping_interval)

    async def _check_for_ever(self) -> Never:
        wait = 0.0
        while True:
            jitter = 1 + WATCHDOG_JITTER * (2 * self._random() - 1)
            await asyncio.sleep(wait + self._settings.watchdog_interval * jitter)
            wait = await self._check()

    async def _check(self) -> float:
        """Ask get_me once. Return the seconds for which Telegram wants no more of them."""
        clock, allowed = asyncio.get_running_loop().time, self._settings.watchdog_timeout
        began = clock()

        def ended(result: CheckResult, identity: Identity | None = None) -> None:
            self._record(Checked(result, clock() - began, identity))

        try:
            async with asyncio.timeout(allowed):
                identity = await self._link.check()
        except TimeoutError:
            ended(CheckResult.TIMEOUT)
            raise self._link.given_up(Reason.WATCHDOG_TIMEOUT, f"no answer to get_me within {allowed:g} s") from None
        except LinkBusy as busy:
            if busy.reason is Reason.FLOOD_WAIT:
                ended(CheckResult.FLOOD_WAIT)
                self._record(FloodWaited(busy.wait))
            else:
                ended(CheckResult.SERVER_ERROR)
            return busy.wait
        except LinkRefused:
            ended(CheckResult.REFUSED)
            raise
        except LinkError:
            ended(CheckResult.LOST)
            raise
        self.proven = True
        ended(CheckResult.OK, identity)
        return 0.0
