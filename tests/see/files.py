"""The files under test, read once each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry, generate_latest

from sidecar.metrics import Metrics

ROOT = Path(__file__).resolve().parent.parent.parent
RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"
RULES_TEST = ROOT / "deploy" / "prometheus" / "rules_test.yaml"
ALERTMANAGER = ROOT / "deploy" / "prometheus" / "alertmanager.yaml"
PROMETHEUS_RULE = ROOT / "deploy" / "k8s" / "alerts" / "prometheusrule.yaml"
DASHBOARDS = ROOT / "grafana" / "dashboards"
RUNBOOK = ROOT / "docs" / "runbook.md"


def load(path: Path) -> Any:
    """Read a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules(kind: str) -> dict[str, dict[str, Any]]:
    """Return the rules of one kind, `alert` or `record`, by name."""
    return {rule[kind]: rule for group in load(RULES)["groups"] for rule in group["rules"] if kind in rule}


def sections(page: Path) -> dict[str, str]:
    """Return the third-level sections of a page: heading → body."""
    _, *parts = re.split(r"^### +", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {part.partition("\n")[0].strip("` "): re.split(r"^#", part, flags=re.MULTILINE)[0] for part in parts}


def exposed() -> set[str]:
    """Return the name of every series that the daemon exposes, those of the process included."""
    registry = CollectorRegistry()
    Metrics(registry, program_version="0", clock=float)
    lines = generate_latest(registry).decode().splitlines()
    return {re.split(r"[ {]", line)[0] for line in lines if not line.startswith("#")}


def dashboards() -> dict[str, Any]:
    """Return the committed dashboards by the name of their file."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels of a dashboard, without the headings of its rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def named(expression: str) -> set[str]:
    """Return the names of the metrics of ours in an expression, recorded ones included."""
    return set(
        re.findall(r"\b(?:(?:instance|session|owner):)?(?:telegram|process|python)_[a-z0-9_]+(?::\w+)?", expression)
    )
