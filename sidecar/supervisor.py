"""The only loop that retries: dial, verify, watch, wait.

What is worth a retry, in prose (the verdicts come from `link`, the delays from `backoff`):

* A lost connection is dialled again, at once if it had proven itself, else after a growing delay.
* Telegram's "not now" (a flood wait, a fault of its own) never ends a connection. A flood wait holds back every later
  get_me of that session: the next check, and also the next attempt, because every attempt asks get_me. Too many
  connections (-429) holds back every session, because it is about our address.
* A refusal ends all attempts until the credentials change: retrying cannot help, and makes things worse.
* An auth key that Telegram does not know may be a passing fault of its own; the third such answer in a row is a
  refusal. Losses in between are no answers; an answer that was encrypted with the key begins the count anew.

Rules of this file: every await on the peer stands under a deadline; there is never a second link before the first is
closed (one task dials, and the `async with` around the link ends first); the end of a verified link is recorded before
any cleaning up, so that nothing says "connected" while a dead link is being closed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from sidecar.credentials import Credentials, Unusable
from sidecar.holdback import HoldBack
from sidecar.link import CUT_SECONDS, Link, LinkBusy, LinkError, LinkLost, LinkRefused, Reason
from sidecar.race import background
from sidecar.state import (
    AttemptFailed,
    AttemptStarted,
    Connected,
    ConnectionLost,
    CredentialsChanged,
    CredentialsMissing,
    Disconnected,
    Disconnecting,
    FloodWaited,
    Held,
    IllegalTransition,
    Postponed,
    SessionRefused,
    State,
    Stopping,
)
from sidecar.vigil import Vigil

if TYPE_CHECKING:
    from typing import Never

    from sidecar.backoff import Backoff
    from sidecar.credentials import CredentialSource
    from sidecar.holdback import Store
    from sidecar.journal import Journal
    from sidecar.settings import Settings
    from sidecar.state import Event

Dial = Callable[[Credentials], AbstractAsyncContextManager[Link]]
"""Makes a link, not opened yet; leaving the block closes it within `SIDECAR_SHUTDOWN_TIMEOUT`."""

BEAT_SECONDS = 10.0
"""A keeper that waits gives a sign of life this often, so that a stuck one is told from a patient one."""

UNKNOWN_KEY_ANSWERS = 3
"""So many answers in a row that the auth key is unknown, minutes apart, are taken for the truth."""


class Supervisor:
    """Keeps one Telegram session connected for as long as it runs.

    Attributes:
        link: the verified link, while there is one.
    """

    def __init__(
        self,
        settings: Settings,
        source: CredentialSource,
        dial: Dial,
        journal: Journal,
        *,
        backoff: Backoff,
        random: Callable[[], float],
        store: Store | None = None,
    ) -> None:
        self._settings = settings
        self._source = source
        self._dial = dial
        self._journal = journal
        self._backoff = backoff
        self._random = random
        self._failures = 0
        self._unknown_keys = 0
        self._ended_by: Reason | None = None
        self._held_back = HoldBack(store, now=_now())
        self.link: Link | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the session connected until `stop` is set; return when the connection is closed."""
        began, closing = _now(), False
        while not stop.is_set():
            current = self._source.current
            work = self._hold(current) if isinstance(current, Unusable) else self._attempts(current)
            async with background(work) as (working,):
                async with background(stop.wait(), self._source.changed_from(current)) as interruptions:
                    await asyncio.wait([working, *interruptions], return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    working.result()
                if stop.is_set():
                    began, closing = _now(), self._give_up_for_good()
                else:
                    self._give_up_for_new_credentials(current)
        if closing:
            self._record(Disconnected(_now() - began), within=math.inf)

    # ------------------------------------------------------------------------------------- what the work is

    async def _hold(self, unusable: Unusable) -> Never:
        self._record(CredentialsMissing(unusable.problems), within=BEAT_SECONDS)
        await self._pause(until=math.inf)
        raise AssertionError("for ever is over")

    async def _attempts(self, credentials: Credentials) -> Never:
        self._failures = self._unknown_keys = 0
        until, reason = self._held_back.of(credentials.facts.fingerprint)
        if until > _now():
            self._record(Postponed(reason, until - _now()), within=BEAT_SECONDS)
            await self._pause(until=until)
        while True:
            await self._pause(until=await self._attempt(credentials))

    async def _pause(self, *, until: float) -> None:
        while (left := until - _now()) > 0:
            # What is left may be less than the clock can tell; to sleep for that would be to spin.
            await asyncio.sleep(min(max(left, 1e-6), BEAT_SECONDS))
            if _now() < until:
                self._record(Held(), within=BEAT_SECONDS)

    async def _attempt(self, credentials: Credentials) -> float:
        """Dial, verify and, if that succeeds, stay until the link is lost. Return when to begin the next attempt."""
        began, allowed = _now(), self._settings.connect_timeout
        session = credentials.facts.fingerprint
        self._record(AttemptStarted(self._failures + 1, session), within=allowed + self._closing)
        failure: Exception
        try:
            async with self._dial(credentials) as link:
                try:
                    async with asyncio.timeout(allowed):
                        endpoint, identity = await link.open(), await link.check()
                except TimeoutError:
                    raise link.given_up(Reason.CONNECT_TIMEOUT, f"no verified session within {allowed:g} s") from None
                self._unknown_keys = 0
                self.link = link
                self._record(Connected(identity, endpoint, _now() - began, self._ended_by), within=self._contact)
                vigil = Vigil(link, self._settings, self._recorder_of(link, session), self._random)
                return self._conclude(await vigil.keep(), session, vigil)
        except IllegalTransition:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the attempt has failed; _verdict sorts it
            failure = error
        return self._conclude(failure, session, None)

    # --------------------------------------------------------------------------------------- when it is over

    def _conclude(self, failure: Exception, session: str, vigil: Vigil | None) -> float:
        """Record the end of an attempt, or of the verified link that came of it. Return when to begin the next."""
        link, self.link = self.link, None
        error = self._verdict(failure)
        if vigil:
            self._ended_by = error.reason
        if isinstance(error, LinkRefused):
            self._record(SessionRefused(error, established=vigil is not None), within=self._closing + BEAT_SECONDS)
            return math.inf
        if error.reason is Reason.FLOOD_WAIT:
            self._record(FloodWaited(error.wait), within=self._closing)
        self._held_back.take(session, error, now=_now())
        self._failures = 0 if vigil and vigil.proven else self._failures + 1
        retry_in = max(error.wait, self._held_back.of(session).until - _now()) + self._backoff.delay(self._failures)
        within = self._closing + min(retry_in, BEAT_SECONDS)
        if vigil:
            self._record(ConnectionLost(error, retry_in), within=within)
        else:
            self._record(AttemptFailed(self._journal.snapshot.attempt, error, retry_in), within=within)
        if link:
            link.cut()
        return _now() + retry_in

    def _verdict(self, failure: Exception) -> LinkError:
        if isinstance(failure, IllegalTransition):
            raise failure
        if not isinstance(failure, LinkError):
            error = LinkLost(Reason.UNEXPECTED, f"{type(failure).__name__}, which nobody expected; see the traceback")
            error.__cause__ = failure
            return error
        if isinstance(failure, LinkBusy | LinkRefused):
            self._unknown_keys = 0
        elif failure.reason is Reason.UNKNOWN_KEY:
            self._unknown_keys += 1
            if self._unknown_keys == UNKNOWN_KEY_ANSWERS:
                return LinkRefused(failure.reason, f"{failure.detail}, {UNKNOWN_KEY_ANSWERS} times in a row")
        return failure

    def _give_up_for_new_credentials(self, current: Credentials | Unusable) -> None:
        """Record, before the work is cancelled, that it ends because other credentials are there."""
        link, self.link = self.link, None
        reason, detail = Reason.CREDENTIALS_CHANGED, "the credentials changed"
        if link and isinstance(current, Credentials):
            lost = link.given_up(reason, detail)
            self._held_back.take(current.facts.fingerprint, lost, now=_now())
            self._ended_by = reason
            self._record(ConnectionLost(lost, self._held_for(self._source.current)), within=self._closing)
        elif (snapshot := self._journal.snapshot).state is State.CONNECTING:
            failed = LinkLost(reason, detail)
            self._record(AttemptFailed(snapshot.attempt, failed, retry_in=0.0), within=self._closing)
        self._record(CredentialsChanged(), within=self._closing)

    def _held_for(self, credentials: Credentials | Unusable) -> float:
        """Return the seconds for which these are held back."""
        if isinstance(credentials, Unusable):
            return 0.0
        return max(0.0, self._held_back.of(credentials.facts.fingerprint).until - _now())

    def _give_up_for_good(self) -> bool:
        """Record, before the work is cancelled, that the process ends. Return whether there is a link to close."""
        link, self.link = self.link, None
        self._record(Stopping(), within=self._closing)
        if link:
            self._record(Disconnecting(), within=self._closing)
        return link is not None

    # ---------------------------------------------------------------------------------------------- recording

    def _record(self, event: Event, *, within: float) -> None:
        self._journal.record(event, within=within)

    def _recorder_of(self, link: Link, session: str) -> Callable[..., None]:
        """Give the vigil a way to record that goes dead with its link: a late answer says nothing any more."""

        def record(event: Event) -> None:
            if self.link is not link:
                return
            if isinstance(event, FloodWaited):
                asked = LinkBusy(Reason.FLOOD_WAIT, "a check was answered by a flood wait", wait=event.seconds)
                self._held_back.take(session, asked, now=_now())
            self._record(event, within=self._contact)

        return record

    @property
    def _contact(self) -> float:
        """Seconds within which a verified link must give a sign of life."""
        return self._settings.ping_interval + self._settings.ping_timeout

    @property
    def _closing(self) -> float:
        """Seconds that closing a link may take."""
        return self._settings.shutdown_timeout + CUT_SECONDS


def _now() -> float:
    return asyncio.get_running_loop().time()
