"""The programs that some tests need. A laptop may lack them; CI may not."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

PACKAGES = {
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "amtool": "prometheus-alertmanager",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "chromium": "chromium",
    "node": "nodejs",
    "microsocks": "microsocks",
    "tinyproxy": "tinyproxy",
}
"""Program → the Debian package that has it."""


def need(program: str) -> str:
    """Return the path of a program; without it skip the test, or fail it in CI."""
    path = shutil.which(program)
    if path is None:
        package = PACKAGES.get(program)
        missing(f"{program} is not installed" + (f": apt-get install {package}" if package else ""))
    return path


def missing(what: str) -> NoReturn:
    """Skip the test for something that is missing; in CI fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} (in CI this check may not be left out)")
    pytest.skip(what)
