"""How an address is written for people and in URLs, and how far it reaches."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def host_port(host: str, port: int) -> str:
    """Write host and port; an IPv6 address stands in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Tell whether only this machine (or pod) reaches what listens there. A name counts as none, but for localhost."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_loopback(authority: str) -> bool:
    """Tell whether a host, with or without a port, can only be this machine: a name counts as none, as above."""
    try:
        return is_loopback(urlsplit(f"//{authority}").hostname or "")
    except ValueError:
        return False
