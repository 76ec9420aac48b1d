"""What the data centre's methods answer: one file per namespace of the schema, one function per method.

To add a method, write one function in the file of its namespace and decorate it with `method`. A new file
must be imported here.
"""

from sidecar.simulator.fault import RpcFault
from sidecar.simulator.methods import auth, channels, contacts, help, messages, updates, users  # noqa: A004, F401 - named as in the schema
from sidecar.simulator.methods.table import METHODS, Call

__all__ = ["METHODS", "Call", "RpcFault"]
