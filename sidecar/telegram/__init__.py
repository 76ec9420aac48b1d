"""Telethon: the only package of the daemon that imports it.

`link` holds it behind `sidecar.link.Link`, `wire` bounds its transports, `proxy` leads them through a proxy, `verdicts`
judges its errors. `channel` and `login` are for the commands.
"""

from sidecar.telegram.channel import NoChannel, look_up
from sidecar.telegram.link import dial

__all__ = ["NoChannel", "dial", "look_up"]
