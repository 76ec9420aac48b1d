"""Runs the demo with a Prometheus beside it that has our rules, until Ctrl-C.

    python tools/demo_metrics.py [--port 9877] [--prometheus-port 9090]

Needs the program `prometheus` (Debian package prometheus). What it stores is gone afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"


def config(port: int) -> str:
    """Return the configuration of Prometheus, in JSON, which is YAML as well."""
    return json.dumps(
        {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {
                    "job_name": "telethon-sidecar",
                    "static_configs": [
                        {"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": "demo", "pod": "demo-0"}}
                    ],
                }
            ],
        }
    )


def main() -> int:
    """Run both, and return the exit code."""
    parser = argparse.ArgumentParser(description="Run the demo with a Prometheus beside it.")
    parser.add_argument("--port", type=int, default=9877, help="of the demo")
    parser.add_argument("--prometheus-port", type=int, default=9090, help="of Prometheus")
    chosen = parser.parse_args()
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        print("prometheus is not installed: apt-get install prometheus, or run `make demo` alone", file=sys.stderr)
        return 69
    address = f"127.0.0.1:{chosen.prometheus_port}"
    with TemporaryDirectory(prefix="telethon-sidecar-prometheus-") as name:
        directory = Path(name)
        (directory / "prometheus.yaml").write_text(config(chosen.port), encoding="utf-8")
        with (directory / "prometheus.log").open("wb") as log:
            beside = subprocess.Popen(  # noqa: S603 - the path comes from which
                [
                    prometheus,
                    f"--config.file={directory}/prometheus.yaml",
                    f"--storage.tsdb.path={directory}/data",
                    f"--web.listen-address={address}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    beside.wait(timeout=2)
                    print(
                        f"prometheus ended at once; is {address} taken? Choose another with --prometheus-port:\n"
                        + (directory / "prometheus.log").read_text(encoding="utf-8")[-500:],
                        file=sys.stderr,
                    )
                    return 69
                print(f"\nPrometheus: http://{address}/alerts and http://{address}/graph", flush=True)
                words = [sys.executable, "-m", "sidecar", "demo", "--port", str(chosen.port)]
                demo = subprocess.Popen(words)  # noqa: S603 - the path is this interpreter's
                while True:
                    with contextlib.suppress(KeyboardInterrupt):  # the demo got it, too, and ends in good order
                        return demo.wait()
            finally:
                beside.terminate()
                beside.wait()


if __name__ == "__main__":
    raise SystemExit(main())
