"""The dashboards: the committed files are what the code writes, and what they name exists."""

from __future__ import annotations

import re
import runpy
from typing import Any

import pytest

from grafana.__main__ import DIRECTORY, generated
from grafana.sidecar import COLOURS
from sidecar.state import State
from tests.see.files import ROOT, RUNBOOK, dashboards, exposed, load, named, panels, rules

DASHBOARDS = dashboards()
ALL = [pytest.param(panel, id=panel["title"]) for board in DASHBOARDS.values() for panel in panels(board)]
_SLUG = runpy.run_path(str(ROOT / "tools" / "docs.py"))["slug"]


def test_the_committed_dashboards_are_current() -> None:
    """`make docs` would change none, and there is none that the code does not write."""
    assert {path: path.read_text(encoding="utf-8") for path in DIRECTORY.iterdir()} == generated()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_imports_unchanged(name: str) -> None:
    """Its data source is a variable, ids are its own, and it holds nothing of the server that it came from."""
    board = DASHBOARDS[name]
    assert [one["name"] for one in board["templating"]["list"]] == [
        "datasource",
        "job",
        "namespace",
        "pod",
        "runbook",
    ]
    assert "id" not in board
    assert "__inputs" not in board
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    sources = re.findall(r"'uid': '([^']+)'", str([board["panels"], board["annotations"], board["templating"]]))
    assert set(sources) == {"${datasource}"}
    assert "placement" not in board["annotations"]["list"][0]
    assert {panel["type"] for panel in panels(board)} <= {
        "stat",
        "state-timeline",
        "timeseries",
        "heatmap",
        "table",
        "bargauge",
    }


@pytest.mark.parametrize("panel", ALL)
def test_a_panel_explains_itself(panel: dict[str, Any]) -> None:
    """It has a title, a description, a unit, and a link to a heading that the runbook has."""
    headings = {_SLUG(found) for found in re.findall(r"^#+ +(.+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)}
    (link,) = panel["links"]
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert link["url"] == "${runbook}" or link["url"].removeprefix("${runbook}#") in headings


@pytest.mark.parametrize("panel", ALL)
def test_every_metric_of_a_panel_exists(panel: dict[str, Any]) -> None:
    """In the daemon, or among the recorded ones; and rates are over Grafana's own interval."""
    for target in panel["targets"]:
        used = named(target["expr"])
        assert used | ({"up"} & set(re.findall(r"\bup\b", target["expr"])))
        assert used <= exposed() | set(rules("record"))
        windows = re.findall(r"\[([^\]]+)\]", target["expr"])
        assert set(windows) <= {"$__rate_interval", "$__range"}


def test_every_state_has_a_colour() -> None:
    """The timeline knows every state of the machine."""
    assert set(COLOURS) == set(State)


def test_provisioning_names_what_there_is() -> None:
    """The data source is a Prometheus, and the dashboards come from files."""
    (source,) = load(ROOT / "grafana" / "provisioning" / "datasources" / "prometheus.yaml")["datasources"]
    (provider,) = load(ROOT / "grafana" / "provisioning" / "dashboards" / "telethon-sidecar.yaml")["providers"]
    assert (source["type"], provider["type"]) == ("prometheus", "file")
