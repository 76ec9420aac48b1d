"""Getting into Telegram: the key exchange and the log-in calls, for a data centre of the simulator.

    dc = DataCentre()
    login = LogIn(dc, people=[Person(phone="15550101", code="12345")])
    async with dc: ...

Rules of this package:

* Tests import it, and nothing that ships to a user does: neither the daemon nor the demo. A client has to be made to
  trust `LogIn.pem` before it takes this data centre for Telegram, and only a test may do that.
* A data centre without a `LogIn` knows nothing of it: an unencrypted packet gets -404, auth.sendCode is no method.
* The rules of the package above hold here too: written from https://core.telegram.org, as strict as Telegram,
  synchronous, in memory.

How a stranger becomes a session: `plain` unpacks what no key encrypts, `key_exchange` makes a key with it, and the key
is a `Session` whose calls are refused with AUTH_KEY_UNREGISTERED. `methods` answer the calls that change that, with
`codes`, `password` and `tokens`; `desk` puts the parts together and lets people in.
"""

from sidecar.simulator.login.accounts import Bot, Person
from sidecar.simulator.login.desk import LogIn
from sidecar.simulator.login.rsa_key import RsaKey

__all__ = ["Bot", "LogIn", "Person", "RsaKey"]
