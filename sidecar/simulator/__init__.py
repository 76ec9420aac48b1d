"""A Telegram data centre on loopback: real MTProto over real TCP, with faults on demand.

Rules of this package:

* Fake the peer, never the library: whatever talks to this server is an unmodified client.
* As strict as Telegram. Each rule names the page of https://core.telegram.org/mtproto it comes from.
* All waiting is loop time; wall-clock time comes only from the injected clock. No threads.
* Everything is in memory and synchronous: a packet is answered inside the callback that read it, so that a
  simulated month of pings takes minutes.

How a byte travels: `listener` accepts, `connection` reads, `frames` cuts, `envelope` decrypts, `exchange`
checks and dispatches to `service` or `rpc`, `methods` answer, and the way back is `envelope`, `frames`,
`outbox`. Packets without a key, and log-ins, are for `login`, which only tests switch on.
"""

from sidecar.simulator.datacentre import DataCentre
from sidecar.simulator.levers import Levers
from sidecar.simulator.plan import Failure, RawAnswer
from sidecar.simulator.scenario import Step, play
from sidecar.simulator.session import Session

__all__ = ["DataCentre", "Failure", "Levers", "RawAnswer", "Session", "Step", "play"]
