"""Telethon: the only package of the daemon that imports it.

`link` holds it behind `sidecar.link.Link`, `wire` bounds its transport, `verdicts` judges its errors.
"""

from sidecar.telegram.link import dial

__all__ = ["dial"]
