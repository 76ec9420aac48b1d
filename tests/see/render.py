"""A dashboard drawn by Grafana's own components, in a headless Chromium."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.needed import missing, need
from tests.see.files import ROOT

if TYPE_CHECKING:
    from pathlib import Path

RENDER = ROOT / "grafana" / "render"
WIDTH, ROW = 1456, 36
"""Pixels: of the page, and of one row of Grafana's grid."""

_PAGE = """<!doctype html>
<meta charset="utf-8">
<link rel="stylesheet" href="page.css">
<div id="root"></div>
<script>window.DASHBOARD = {dashboard}; window.ANSWERS = {answers};</script>
<script src="page.js"></script>
"""


@dataclass(frozen=True)
class Drawn:
    """What became of a dashboard.

    Attributes:
        faults: what components complained of.
        ink: panel → how much of it is drawn: coloured pixels, or letters where there is no canvas.
    """

    faults: list[str]
    ink: dict[int, int]


def bundle(directory: Path) -> None:
    """Put the program that draws into a directory."""
    node = need("node")
    if not (RENDER / "node_modules").is_dir():
        missing("Grafana's components are not installed: make components")
    _run(node, str(RENDER / "build.mjs"), str(directory / "page.js"))


def draw(dashboard: dict[str, Any], answers: dict[str, Any], directory: Path, picture: Path | None) -> Drawn:
    """Draw a dashboard with what Prometheus answered, with the program in a directory, and write a picture if asked."""
    chromium = need("chromium")
    page = directory / "page.html"
    page.write_text(_PAGE.format(dashboard=_inline(dashboard), answers=_inline(answers)), encoding="utf-8")
    height = ROW * max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"]) + 60
    browse = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        # It would otherwise ask its maker's hosts for this and that.
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--hide-scrollbars",
        "--allow-file-access-from-files",
        f"--user-data-dir={directory}/chromium",
        f"--window-size={WIDTH},{height}",
        "--virtual-time-budget=4000",
    ]
    if picture:
        picture.parent.mkdir(parents=True, exist_ok=True)
        _run(*browse, f"--screenshot={picture}", page.as_uri())
        assert picture.exists(), picture  # Chromium says nothing if it cannot write
    shown = _run(*browse, "--dump-dom", page.as_uri())
    ink = {int(panel): int(amount) for panel, amount in re.findall(r'data-panel="(\d+)" data-ink="(\d+)"', shown)}
    return Drawn(re.findall(r'data-fault="([^"]*)"', shown), ink)


def _inline(value: Any) -> str:
    return json.dumps(value).replace("</", "<\\/")


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, check=False, text=True, timeout=60)  # noqa: S603 - from need
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
