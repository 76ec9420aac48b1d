"""`make demo-metrics`: the demo and a Prometheus that scrapes it, ended together."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress

import aiohttp
import pytest

from tests.needed import need
from tests.see.files import ROOT, rules
from tests.see.servers import Prometheus, free_port
from tests.see.tools import run_tool


@pytest.mark.slow
async def test_prometheus_runs_beside_the_demo_and_ends_with_it() -> None:
    """Its address is printed, it has the alerts and the demo's figures, and Ctrl-C ends both in good order."""
    need("prometheus")
    port, ops = free_port(), free_port()
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, str(ROOT / "tools" / "demo_metrics.py"), "--port", str(ops), "--prometheus-port", str(port)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout
    try:
        async with asyncio.timeout(30), aiohttp.ClientSession() as http:
            while f"http://127.0.0.1:{port}/alerts" not in (await process.stdout.readline()).decode():
                pass
            prometheus = Prometheus(f"http://127.0.0.1:{port}", http)
            await prometheus.until('telegram_connected{namespace="demo",pod="demo-0"} == 1')
            (group,) = (await prometheus.ask("rules", type="alert"))["groups"]
            assert {rule["name"] for rule in group["rules"]} == set(rules("alert"))
            os.killpg(process.pid, signal.SIGINT)
            assert await process.wait() == 0
            with pytest.raises(aiohttp.ClientConnectorError):
                await prometheus.ask("rules")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_without_prometheus_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who lacks it learns what to do, and nothing is started."""
    monkeypatch.setenv("PATH", "")
    code, said = run_tool("demo_metrics.py")
    assert (code, "apt-get install prometheus" in said) == (69, True)
