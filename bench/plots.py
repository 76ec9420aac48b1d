"""The pictures of docs/benchmarks.md, with matplotlib. The only importer of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from bench.fleet import WINDOW_SECONDS
from bench.growth import RESIDENT_NOISE
from bench.notice import AIM_SECONDS, HIDDEN_SECONDS
from bench.storm import AIM_ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

COLOURS = {"ours": "#1b7f5c", "loop": "#c2571a", "naive": "#7a5ea8"}
LABELS = {"ours": "telethon-sidecar", "loop": "(a) get_me in a loop", "naive": "(b) get_me when asked"}
AIM: dict[str, Any] = {"color": "#333333", "linestyle": "--", "linewidth": 1}
BESIDE: dict[str, Any] = {"bbox_to_anchor": (1.0, 1.0), "loc": "upper left", "frameon": False, "fontsize": "small"}
LEAST_SECONDS = 0.001


def draw(data: Mapping[str, Mapping[str, Any]], directory: Path) -> dict[str, Path]:
    """Draw what there is data for. Return the files, by the part whose numbers they show."""
    directory.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for part, picture in _PICTURES.items():
        if part in data:
            figure, axes = plt.subplots(figsize=(10, 4.2), layout="constrained")
            picture(axes, data[part])
            axes.spines[["top", "right"]].set_visible(False)
            drawn[part] = directory / f"bench-{part}.png"
            # Without the date and the version, so that the same numbers give the same file.
            figure.savefig(drawn[part], dpi=110, metadata={"Software": None})
            plt.close(figure)
    return drawn


def _notice(axes: Any, data: Mapping[str, Mapping[str, Sequence[Sequence[float | None]]]]) -> None:
    """Draw the worst of each. Who never noticed was wrong for as long as the connection was dead: that is hatched."""
    for row, by_kind in enumerate(data.values()):
        for place, (kind, played) in enumerate(by_kind.items()):
            never = [dead for noticed, dead in played if noticed is None]
            worst = max((dead if noticed is None else noticed) or 0.0 for noticed, dead in played)
            if never and worst < HIDDEN_SECONDS:
                continue  # it was back before it had to say anything
            axes.barh(
                row + 0.26 * (place - 1),
                max(worst, LEAST_SECONDS),
                0.24,
                color="white" if never else COLOURS[kind],
                edgecolor=COLOURS[kind],
                hatch="////" if never else None,
            )
    for kind, colour in COLOURS.items():
        axes.barh(0, 0, color=colour, label=LABELS[kind])
    axes.barh(0, 0, color="white", edgecolor="#555555", hatch="////", label="never noticed:\nfor how long it was dead")
    axes.axvline(AIM_SECONDS, **AIM, label=f"aim for silence: {AIM_SECONDS:g} s")
    axes.set_yticks(range(len(data)), list(data))
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(left=LEAST_SECONDS)
    axes.legend(**BESIDE)
    axes.set_xlabel("seconds from the strike, the worst of all repeats (logarithmic)")
    axes.set_title("Until it no longer says that it is connected")


def _truth(axes: Any, data: Mapping[str, Mapping[str, float]]) -> None:
    left = dict.fromkeys(COLOURS, 0.0)
    shades = plt.get_cmap("tab20")
    longest = max(sum(by_kind[kind] for by_kind in data.values()) for kind in COLOURS)
    for number, (fault, by_kind) in enumerate(data.items()):
        seen = max(by_kind.values()) > longest / 200
        axes.barh(
            [LABELS[kind] for kind in COLOURS],
            [by_kind[kind] for kind in COLOURS],
            left=list(left.values()),
            color=shades(number % 20),
            hatch="xx" if fault.startswith("session") else None,  # a fault that get_me alone finds
            edgecolor="white",
            label=fault if seen else None,
        )
        left = {kind: left[kind] + by_kind[kind] for kind in COLOURS}
    axes.invert_yaxis()
    axes.set_xlabel("seconds, the mean of all repeats")
    axes.set_title('Says "connected", and is not: the sum over all faults')
    axes.legend(**BESIDE)


def _storm(axes: Any, data: Mapping[str, Sequence[int]]) -> None:
    bars = [(kind, attempts) for kind in COLOURS for attempts in data[kind]]
    drawn = axes.barh(range(len(bars)), [attempts for _, attempts in bars], color=[COLOURS[kind] for kind, _ in bars])
    axes.bar_label(drawn, padding=3)
    axes.axvline(AIM_ATTEMPTS, **AIM, label=f"aim: {AIM_ATTEMPTS}")
    axes.set_yticks(range(len(bars)), [LABELS[kind] for kind, _ in bars])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(left=1)
    axes.set_xlabel("connection attempts (logarithmic)")
    axes.set_title("A minute with a server that accepts and closes")
    axes.legend(**BESIDE)


def _http(axes: Any, data: Mapping[str, Mapping[str, float] | None]) -> None:
    for row, load in enumerate(data.values()):
        if load is None:
            axes.annotate("no answer", (0, row), xytext=(6, 0), textcoords="offset points", va="center")
            continue
        axes.plot([1000 * load["p50"], 1000 * load["p99"]], [row, row], color="#bbbbbb", zorder=1)
        axes.scatter(1000 * load["p50"], row, color="#333333", marker="o")
        axes.scatter(1000 * load["p99"], row, color="#333333", marker="|", s=120)
    axes.scatter([], [], color="#333333", marker="o", label="half of them")
    axes.scatter([], [], color="#333333", marker="|", s=120, label="99 %")
    axes.set_yticks(range(len(data)), list(data))
    axes.set_ylim(len(data) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("milliseconds")
    axes.set_title("How soon a request is answered, under full load")
    axes.legend(**BESIDE)


def _growth(axes: Any, data: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw each phase from its own warm-up on, for that is what is judged."""
    most, ticks = RESIDENT_NOISE, {}
    for kind, phases in data.items():
        place = 0
        for phase, steps in phases.items():
            grown = [step["rss"] - steps[0]["rss"] for step in steps]
            label = LABELS[kind] if place == 0 else None
            axes.plot(range(place, place + len(steps)), grown, color=COLOURS[kind], label=label, marker=".")
            ticks[place] = "warmed up"
            ticks[place + len(steps) - 1] = f"{steps[-1]['done']:.0f}\n{phase}"
            place += len(steps) + 3
            most = max(most, *grown)
    axes.axhline(RESIDENT_NOISE, **AIM, label=f"passes for 0: {RESIDENT_NOISE:g} MiB")
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.5 * most)
    axes.set_ylabel("MiB more than after the warm-up")
    axes.set_title("Resident memory over checks, and over reconnects")
    axes.legend(**BESIDE)


def _fleet(axes: Any, data: Mapping[str, Any]) -> None:
    end = max([WINDOW_SECONDS, *(moment for kind in ("ours", "loop") for back in data[kind] for moment in back)]) + 2
    for kind in ("ours", "loop"):
        for number, moments in enumerate(data[kind]):
            heights = [*range(len(moments) + 1), len(moments)]
            label = LABELS[kind] if number == 0 else None
            axes.step([0.0, *moments, end], heights, where="post", color=COLOURS[kind], label=label)
    axes.axvline(WINDOW_SECONDS, **AIM, label=f"longest delay: {WINDOW_SECONDS:g} s")
    axes.set_xlim(0, end)
    axes.set_ylim(0, data["size"] * 1.05)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("seconds since the server is back")
    axes.set_ylabel(f"connected again, of {data['size']}")
    axes.set_title("A fleet returns")
    axes.legend(**BESIDE)


_PICTURES: dict[str, Callable[[Any, Any], None]] = {
    "notice": _notice,
    "truth": _truth,
    "storm": _storm,
    "http": _http,
    "growth": _growth,
    "fleet": _fleet,
}
