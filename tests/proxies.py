"""Real proxies for the tests, as processes on loopback: microsocks for SOCKS5, tinyproxy for HTTP CONNECT."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import TYPE_CHECKING, Self

from tests.needed import need

if TYPE_CHECKING:
    from pathlib import Path

USER = "somebody"
PASSWORD = "open.sesame-1"
PATIENCE = 10.0
"""Seconds within which a proxy must be ready."""


def encoded(text: str) -> str:
    """Percent-encode every byte."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


class RealProxy:
    """One proxy that can be started, frozen, ended, and started again on the same port."""

    scheme = ""
    program = ""

    def __init__(self, directory: Path, *, locked: bool, host: str = "127.0.0.1") -> None:
        """Prepare; with `locked` it wants `USER` and `PASSWORD`.

        Raises:
            OSError: the machine has no such address.
        """
        need(self.program)
        self._directory = directory
        self._locked = locked
        self._process: asyncio.subprocess.Process | None = None
        self.host = host
        with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as free:
            self.port = int(free.getsockname()[1])

    @property
    def url(self) -> str:
        """What SIDECAR_PROXY must be."""
        return self.url_for(USER, PASSWORD) if self._locked else f"{self.scheme}://{self.address}"

    @property
    def address(self) -> str:
        """Host and port as they stand in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def url_for(self, user: str, password: str) -> str:
        """What it would be for somebody else; the password stands there percent-encoded throughout."""
        return f"{self.scheme}://{user}:{encoded(password)}@{self.address}"

    def command(self) -> list[str]:
        """Return the arguments that it is started with."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    async def start(self) -> None:
        """Start it, and return when it listens."""
        self._process = await asyncio.create_subprocess_exec(
            self.program, *self.command(), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    _, writer = await asyncio.open_connection(self.host, self.port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)  # neither of the two says when it is ready
                    continue
                writer.close()
                return

    async def end(self) -> None:
        """End it as the kernel would, frozen or not."""
        process, self._process = self._process, None
        if process:
            process.kill()
            await process.wait()

    def freeze(self) -> None:
        """Let it hang: the kernel still accepts, and nobody answers."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)


class Microsocks(RealProxy):
    """A SOCKS5 proxy."""

    scheme = "socks5"
    program = "microsocks"

    def command(self) -> list[str]:
        """Return the arguments."""
        login = ["-u", USER, "-P", PASSWORD] if self._locked else []
        return ["-i", self.host, "-p", str(self.port), *login]


class Tinyproxy(RealProxy):
    """An HTTP proxy."""

    scheme = "http"
    program = "tinyproxy"

    def command(self) -> list[str]:
        """Write its file, and return the arguments."""
        file = self._directory / "tinyproxy.conf"
        lines = [f"Port {self.port}", f"Listen {self.host}", "Timeout 60", "MaxClients 20"]
        file.write_text("\n".join(lines + [f"BasicAuth {USER} {PASSWORD}"] * self._locked) + "\n")
        return ["-d", "-c", str(file)]
