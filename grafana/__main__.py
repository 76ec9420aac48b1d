"""Writes grafana/dashboards from the code beside it.

python -m grafana            write them
python -m grafana --check    write nothing; exit 1 and name the files that are out of date
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import VariableHide

from grafana import fleet, sidecar

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

DIRECTORY = Path(__file__).parent / "dashboards"


def generated() -> dict[Path, str]:
    """Return every dashboard with the text that its file should have."""
    made = {DIRECTORY / "sidecar.json": sidecar.build(), DIRECTORY / "fleet.json": fleet.build()}
    return {path: text(page.build()) for path, page in made.items()}


def text(page: Dashboard) -> str:
    """Return a dashboard as JSON, without what only Grafana 12 and newer would understand."""
    told = json.loads(json.dumps(page, cls=JSONEncoder))
    for number, panel in enumerate(told["panels"], start=1):
        panel["id"] = number
    for variable in told["templating"]["list"]:
        if variable["type"] == "constant":
            variable["hide"] = VariableHide.HIDE_VARIABLE
    links = [link for one in [told, *told["panels"]] for link in one.get("links", [])]
    for placed in [*links, *told["annotations"]["list"]]:
        del placed["placement"]
    return json.dumps(told, indent=2, sort_keys=True) + "\n"


def main() -> int:
    """Write or check, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m grafana", description="Write the dashboards anew.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name what is out of date")
    check, failed = parser.parse_args().check, 0
    for path, wanted in generated().items():
        if path.is_file() and path.read_text(encoding="utf-8") == wanted:
            continue
        failed = int(check)
        sys.stdout.write(f"{path.name} {'is out of date: run `make docs`' if check else 'written'}\n")
        if not check:
            path.write_text(wanted, encoding="utf-8")
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
