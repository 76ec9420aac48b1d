"""Makes Telethon take a simulated data centre for Telegram: it trusts the RSA key, and dials the address.

For tests alone: nothing that ships may trust another key than Telegram's. To do it to a whole program, run it as

    python -m tests.simulator.trust HOST PORT PEM_FILE login ...

which is `telethon-sidecar login ...` by a Telethon whose default data centre is the one at HOST and PORT.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from telethon import TelegramClient
from telethon.client import telegrambaseclient
from telethon.crypto import rsa
from telethon.sessions import StringSession

from sidecar import cli
from sidecar.simulator import DataCentre


@contextmanager
def trusting(pem: str) -> Iterator[None]:
    """Let every Telethon client of this process trust a public key, inside the block."""
    before = dict(rsa._server_keys)
    rsa.add_key(pem, old=False)
    try:
        yield
    finally:
        rsa._server_keys.clear()
        rsa._server_keys.update(before)


@contextmanager
def dialling(host: str, port: int) -> Iterator[None]:
    """Let a session without an address begin at this one (IPv4), if its client connects inside the block."""
    before = telegrambaseclient.DEFAULT_IPV4_IP, telegrambaseclient.DEFAULT_PORT
    telegrambaseclient.DEFAULT_IPV4_IP, telegrambaseclient.DEFAULT_PORT = host, port
    try:
        yield
    finally:
        telegrambaseclient.DEFAULT_IPV4_IP, telegrambaseclient.DEFAULT_PORT = before


def newcomer(dc: DataCentre, **options: Any) -> Any:
    """A Telethon client without a key that will dial this data centre.

    It makes several attempts at a key, for Telethon fails at one in 256 (see `login.key_exchange`).
    """
    session = StringSession()
    session.set_dc(dc.dc_id, dc.host, dc.port)
    settings: dict[str, Any] = {
        "auto_reconnect": False,
        "connection_retries": 5,
        "retry_delay": 0,
        "request_retries": 0,
        "raise_last_call_error": True,
        "flood_sleep_threshold": 0,
        "device_model": "test",
        "system_version": "1",
        "app_version": "1",
    }
    return TelegramClient(session, api_id=1, api_hash="0" * 32, **settings | options)


def main(host: str, port: str, pem_file: str, *words: str) -> int:
    """Run the program with these words."""
    with trusting(Path(pem_file).read_text()), dialling(host, int(port)):
        return cli.main(list(words))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
