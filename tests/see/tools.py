"""The programs that these tests need. A laptop may lack them; CI may not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

PACKAGES = {
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "amtool": "prometheus-alertmanager",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "chromium": "chromium",
    "node": "nodejs",
}
"""Program → the Debian package that has it."""


def need(program: str) -> str:
    """Return the path of a program; without it skip the test, or fail it in CI."""
    path = shutil.which(program)
    if path is None:
        missing(f"{program} is not installed: apt-get install {PACKAGES[program]}")
    return path


def missing(what: str) -> NoReturn:
    """Skip the test for something that is missing; in CI fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} (in CI this check may not be left out)")
    pytest.skip(what)


def run_tool(name: str) -> tuple[int, str]:
    """Run one of our own tools to its end, and return its exit code and all that it said."""
    words = [sys.executable, str(Path(__file__).resolve().parent.parent.parent / "tools" / name)]
    done = subprocess.run(words, capture_output=True, check=False, text=True, timeout=60)  # noqa: S603 - our own
    return done.returncode, done.stdout + done.stderr


def run(program: str, *arguments: str | Path) -> tuple[int, str]:
    """Run a program to its end, and return its exit code and all that it said."""
    done = subprocess.run(  # noqa: S603 - the path comes from which
        [need(program), *arguments], capture_output=True, check=False, text=True, timeout=60
    )
    return done.returncode, done.stdout + done.stderr
