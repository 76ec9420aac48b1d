"""The demo: the daemon as in production, against a simulated Telegram that plays a scenario of faults in a loop.

Rules of this file: what is shown is real. The daemon is `app.run`, the same as in production; only its credentials
point at the simulator, and its checks come more often, so that nobody waits a minute for a fault to be found. Nothing
of the user's own settings is read: a demo must never touch a real session.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from sidecar.app import run
from sidecar.race import background
from sidecar.settings import DEMO_PACE, Settings
from sidecar.simulator.chats import Member
from sidecar.simulator.datacentre import DataCentre
from sidecar.simulator.scenario import Step, play
from sidecar.simulator.secret import MountedSecret

CHECK_SECONDS = int(DEMO_PACE["watchdog_interval"])
FLOOD_WAIT_SECONDS = 15
CHANNEL = "demo_channel"
"""The name of a channel in which the demo's account may post. It can write to @demo_friend, too."""

_INTRODUCTION = """
telethon-sidecar demo: the daemon as in production, against a simulated Telegram at {address}.

  what it says of itself   {ops}/healthz
  what Prometheus reads    {ops}/metrics
  what Kubernetes asks     {ops}/livez  {ops}/readyz  {ops}/startupz
  a page with all of them  {ops}/

  what the application may ask for   {api}/openapi.json
  whose session it is                {api}/telegram/session/status

With a Prometheus beside it that has the alerts: `make demo-metrics`. With one that you have: scrape {ops}/metrics
as job telethon-sidecar, with deploy/prometheus/rules.yaml.

get_me checks come every {check} s here, instead of every 60 s. Ctrl-C ends it.
"""


class Demo:
    """The scenario, and the Secret that it changes."""

    def __init__(self, dc: DataCentre, secret: MountedSecret, *, flood_wait: int = FLOOD_WAIT_SECONDS) -> None:
        """Make the session that the daemon will use, and mount it.

        Args:
            dc: where.
            secret: what the daemon reads its credentials from.
            flood_wait: seconds for which Telegram asks to hold back.
        """
        self._secret = secret
        self._flood_wait_seconds = flood_wait
        self._session = dc.create_session(username="demo")
        editors = {self._session.account.user_id: Member.editor()}
        self._channel = dc.chats.add_channel(CHANNEL, title="The demo's channel", members=editors)
        self._friend = dc.chats.add_user("demo_friend", first_name="A friend")
        dc.chats.say(dc.chats.private(self._friend, self._session.account), self._friend, "Hello!")
        self._mount()

    def _mount(self) -> None:
        self._secret.swap(api_id="1", api_hash="0" * 32, session_string=self._session.string)

    def steps(self) -> list[Step]:
        """Return the timeline. Each description says what there is to see."""
        return [
            Step("a clean minute", "telegram_connected is 1, a ping every 3 s, /readyz 200", 60, self._greet),
            Step(
                "a closed connection",
                "telegram_connected falls to 0 and is back within a second; reason closed",
                15,
                DataCentre.close_all,
            ),
            Step(
                "a black hole: everything is read, nothing answered",
                "after at most 6 s a ping is missed; reason ping_timeout, then connect_timeout",
                20,
                self._black_hole,
            ),
            Step(
                "the black hole ends",
                "the attempt that hangs ends at its deadline, the next succeeds; telegram_reconnects_total goes up",
                25,
                self._light,
            ),
            Step(
                "a flood wait on get_me",
                f"the next check is answered by FLOOD_WAIT_{self._flood_wait_seconds}; the connection stays up",
                2 * CHECK_SECONDS + self._flood_wait_seconds,
                self._flood_wait,
            ),
            Step(
                "an outage: connections are refused",
                "attempts come at growing, random intervals; reason unreachable; /livez stays 200, /readyz 503",
                30,
                self._outage,
            ),
            Step("the end of the outage", "connected again by itself within 30 s", 35, DataCentre.start_listening),
            Step(
                "a revoked session",
                "the next check finds it: state refused, /livez 200, and not a byte more goes to Telegram",
                CHECK_SECONDS + 15,
                self._revoke,
            ),
            Step(
                "a new session in the Secret",
                "within 10 s the daemon uses it, without a restart",
                15,
                self._replace,
            ),
        ]

    def _greet(self, dc: DataCentre) -> None:
        dc.chats.say(self._channel, self._friend, "A clean minute begins.")

    def _black_hole(self, dc: DataCentre) -> None:
        dc.levers.black_hole = True

    def _light(self, dc: DataCentre) -> None:
        dc.levers.black_hole = False

    def _flood_wait(self, dc: DataCentre) -> None:
        dc.fail("users.getUsers", code=420, message=f"FLOOD_WAIT_{self._flood_wait_seconds}")

    async def _outage(self, dc: DataCentre) -> None:
        await dc.stop_listening()
        dc.reset_all()

    def _revoke(self, _: DataCentre) -> None:
        self._session.revoke()

    def _replace(self, dc: DataCentre) -> None:
        self._session = dc.create_session(username="demo", user_id=self._session.account.user_id)
        self._mount()


async def demo(settings: Settings, stop: asyncio.Event, say: Callable[[str], None]) -> None:
    """Run the demo until `stop` is set.

    Args:
        settings: the daemon's settings, but for the credentials.
        stop: ends it.
        say: shows a person a text.

    Raises:
        ListenerError: an address cannot be bound.
    """
    with TemporaryDirectory(prefix="telethon-sidecar-demo-") as directory:
        secrets = Path(directory)
        async with DataCentre() as dc:
            steps = Demo(dc, MountedSecret(secrets)).steps()

            def announce(step: Step) -> None:
                after = steps[(steps.index(step) + 1) % len(steps)]
                say(f"\n>>> Now: {step.name}. See: {step.description}.")
                say(f">>> Next, in {step.seconds:g} s: {after.name}.\n")

            listening = asyncio.Event()

            def introduce(ops: str, api: str) -> None:
                say(_INTRODUCTION.format(address=f"{dc.host}:{dc.port}", ops=ops, api=api, check=CHECK_SECONDS))
                listening.set()

            async def scenario() -> None:
                await listening.wait()
                await play(steps, dc, announce, forever=True)

            served = settings.model_copy(update={"secrets_dir": secrets, "channel_url": f"https://t.me/{CHANNEL}"})
            async with background(run(served, stop, listening_at=introduce), scenario()) as tasks:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
