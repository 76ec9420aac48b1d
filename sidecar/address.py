"""How an address is written for people, and in URLs."""

from __future__ import annotations


def host_port(host: str, port: int) -> str:
    """Write host and port; an IPv6 address stands in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
