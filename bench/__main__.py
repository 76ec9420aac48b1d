"""`make bench`: measures everything, and writes docs/benchmarks.md with its pictures in docs/images."""

from __future__ import annotations

import argparse
import asyncio
import resource
import shlex
import shutil
import signal
import sys
import time
import traceback
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench import api, cost, faults, fleet, growth, http, notice, plots, recover, report, storm, truth
from bench.players import PYTHON
from bench.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from bench.faults import Played
    from bench.figure import Section

WRITTEN = ROOT / "build" / "bench"
"""Where every run writes; a whole one is copied from there into docs."""

REPEATS = 3
OF_THE_RECORD: dict[str, Callable[[Sequence[Played]], Section]] = {
    "notice": notice.section,
    "recover": recover.section,
    "truth": truth.section,
}
PARTS: dict[str, Callable[..., Awaitable[Section]]] = {
    "storm": storm.measure,
    "cost": cost.measure,
    "http": http.measure,
    "api": api.measure,
    "growth": growth.measure,
    "fleet": fleet.measure,
}
EVERYTHING = [*OF_THE_RECORD, *PARTS]


class Measured:
    """What was measured up to now. Every part writes the page anew: nothing is lost with what comes after it."""

    def __init__(self, about: report.Circumstances) -> None:
        self._sections: dict[str, Section] = {}
        self._about = about
        self._began = time.monotonic()

    def has(self, parts: Sequence[str]) -> bool:
        """Whether all of these were measured."""
        return set(parts) <= set(self._sections)

    def add(self, part: str, section: Section) -> None:
        """Write what a part has measured, and print it."""
        self._sections[part] = section
        pictures = plots.draw({part: section.data for part, section in self._sections.items()}, WRITTEN / "images")
        text = report.page(
            self._sections,
            {part: f"images/{path.name}" for part, path in pictures.items()},
            self._about,
            minutes=(time.monotonic() - self._began) / 60,
            missing=[part for part in EVERYTHING if part not in self._sections],
        )
        (WRITTEN / "benchmarks.md").write_text(text, encoding="utf-8")
        print(f"\n{section.title}\n\n{report.table(section.figures)}\n", flush=True)


async def _measure(options: argparse.Namespace) -> bool:
    """Measure what is wanted; return whether all of it is there. What fails keeps nothing else from being measured."""
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    command = "make bench" + (f' ARGS="{shlex.join(sys.argv[1:])}"' if sys.argv[1:] else "")
    measured = Measured(await report.circumstances(command))
    if wanted := [part for part in OF_THE_RECORD if part in options.only]:
        with _attempt("faults"):
            record = await faults.play(repeats=options.repeats, quick=options.quick)
            for part in wanted:
                measured.add(part, OF_THE_RECORD[part](record))
    for part, measure in PARTS.items():
        if part in options.only:
            with _attempt(part):
                measured.add(part, await measure(quick=options.quick))
    return measured.has(options.only)


@contextmanager
def _attempt(what: str) -> Iterator[None]:
    print(f"{datetime.now(UTC):%H:%M:%S} {what} ...", flush=True)
    try:
        yield
    except Exception:  # noqa: BLE001 - whatever it is, it is told, and the other parts are measured
        traceback.print_exc()
        print(f"{what}: failed, as told above; it is missing on the page", flush=True)


def _check_machine(wanted: Sequence[str]) -> None:
    """See that nothing is missing that is needed only after many minutes.

    Raises:
        SystemExit: something is.
    """
    if sys.platform != "linux":
        raise SystemExit("this benchmark reads /proc, and freezes processes: it needs Linux")
    if "http" in wanted and not shutil.which("wrk"):
        raise SystemExit("wrk is needed to measure HTTP: install the package wrk, or leave http out with --only")
    if not shutil.which(PYTHON):
        raise SystemExit(f"BENCH_PYTHON is no program: {PYTHON}; `make bench` makes one, and names it")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _parts(text: str) -> list[str]:
    wanted = text.split(",")
    if unknown := set(wanted) - set(EVERYTHING):
        raise argparse.ArgumentTypeError(
            f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(EVERYTHING)}"
        )
    return wanted


def _repeats(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number, 1 or more")
    return int(text)


def main() -> int:
    """Measure and print; page and pictures go into docs once everything is measured at full length."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parts = ",".join(EVERYTHING)
    parser.add_argument(
        "--only", type=_parts, default=EVERYTHING, metavar="PARTS", help=f"of {parts}; leaves docs as they are"
    )
    parser.add_argument(
        "--repeats", type=_repeats, default=REPEATS, help=f"times that each fault is played (default: {REPEATS})"
    )
    parser.add_argument(
        "--quick", action="store_true", help="see whether it works: a tenth of everything; leaves docs as they are"
    )
    options = parser.parse_args()
    _check_machine(options.only)
    shutil.rmtree(WRITTEN / "images", ignore_errors=True)
    WRITTEN.mkdir(parents=True, exist_ok=True)
    page = WRITTEN / "benchmarks.md"
    page.unlink(missing_ok=True)
    try:
        whole = asyncio.run(_measure(options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print(f"broken off; what was measured is in {page.relative_to(ROOT)}" if page.exists() else "broken off")
        return 128 + signal.SIGINT
    if whole and set(options.only) == set(EVERYTHING) and not options.quick:
        for picture in (WRITTEN / "images").iterdir():
            shutil.copy(picture, ROOT / "docs" / "images")
        page = Path(shutil.copy(page, ROOT / "docs"))
    if page.exists():
        print(f"written: {page.relative_to(ROOT)}")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
