"""Running programs to their end: those of Prometheus, and our own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.needed import need


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
