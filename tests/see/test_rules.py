"""The rules, with Prometheus' own tools; and everything that repeats them says the same."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.link import REFUSALS, Reason
from sidecar.state import CheckResult, State
from tests.see.files import (
    ALERTMANAGER,
    PROMETHEUS_RULE,
    RULES,
    RULES_TEST,
    RUNBOOK,
    exposed,
    load,
    named,
    rules,
    sections,
)
from tests.see.tools import run

ALERTS = rules("alert")
RECORDS = rules("record")
STORIES = load(RULES_TEST)["tests"]


def test_promtool_accepts_the_rules() -> None:
    """Names, expressions and templates are sound."""
    code, said = run("promtool", "check", "rules", RULES)
    assert (code, f"{len(ALERTS) + len(RECORDS)} rules found" in said) == (0, True), said


@pytest.mark.slow
def test_the_unit_tests_of_the_rules_pass() -> None:
    """What rules_test.yaml says of each alert is so."""
    code, said = run("promtool", "test", "rules", RULES_TEST)
    assert code == 0, said


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_is_tested_silent_firing_and_resolved(alert: str) -> None:
    """In one story it does not fire, then fires with its whole text, then is over."""
    stories = [
        [bool(case["exp_alerts"]) for case in story["alert_rule_test"] if case["alertname"] == alert]
        for story in STORIES
    ]
    assert [False, True, False] in [[fires for fires, _ in groupby(story)] for story in stories]
    for story in STORIES:
        for case in story["alert_rule_test"]:
            assert all(expected["exp_annotations"] for expected in case["exp_alerts"])


@pytest.mark.slow
@pytest.mark.parametrize("alert", ALERTS)
def test_the_unit_tests_would_notice_a_change(alert: str, tmp_path: Path) -> None:
    """With any one threshold changed, or half a minute more or less, the unit tests of an alert fail."""
    changed = {f"{alert}{number}": change for number, change in enumerate(mutants(ALERTS[alert]))}
    group = {
        "name": "changed",
        "rules": [
            *needed(ALERTS[alert]),
            ALERTS[alert],
            *(ALERTS[alert] | change | {"alert": name} for name, change in changed.items()),
        ],
    }
    stories = load(RULES_TEST) | {
        "tests": [
            {key: story[key] for key in ("interval", "input_series")}
            | {
                "alert_rule_test": [
                    case | {"alertname": name} for name in [alert, *changed] for case in story["alert_rule_test"]
                ]
            }
            for story in STORIES
            if story["name"].startswith(alert)
        ]
    }
    (tmp_path / RULES.name).write_text(yaml.safe_dump({"groups": [group]}), encoding="utf-8")
    (tmp_path / RULES_TEST.name).write_text(yaml.safe_dump(stories), encoding="utf-8")
    _, said = run("promtool", "test", "rules", tmp_path / RULES_TEST.name)
    noticed = re.findall(r"^ *alertname: ?(\w+), time:", said, re.MULTILINE)
    assert changed
    assert alert not in noticed, said
    assert {name: change for name, change in changed.items() if name not in noticed} == {}, said


def needed(rule: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the recording rules that a rule asks for, directly or not, in their order."""
    names, known = set[str](), named(rule["expr"])
    while known - names:
        names |= known
        known = set[str]().union(*(named(RECORDS[name]["expr"]) for name in names & set(RECORDS)))
    return [record for name, record in RECORDS.items() if name in names]


def mutants(rule: dict[str, Any]) -> list[dict[str, str]]:
    """Return changes to a rule: each threshold halved, and doubled; no delay, and twice of it."""
    expression = rule["expr"]
    changes = [
        {"expr": expression[: threshold.start()] + change(threshold) + expression[threshold.end() :]}
        for threshold in re.finditer(r"(?<=[<>=] )[\d.]+(?= |\n|$)", expression)
        for change in (halved, doubled)
    ]
    for delay in {"for", "keep_firing_for"} & set(rule):
        changes += [{delay: "0s"}, {delay: f"{2 * int(rule[delay].removesuffix('m'))}m"}]
    return changes


def halved(number: re.Match[str]) -> str:
    """Halve a threshold; what is above zero is set below it."""
    return str(float(number[0]) / 2 or -1)


def doubled(number: re.Match[str]) -> str:
    """Double a threshold; what is above zero is set out of reach."""
    return str(float(number[0]) * 2 or 1e9)


def test_the_manifest_has_the_same_rules() -> None:
    """The PrometheusRule of the operator is the file of a plain Prometheus."""
    manifest = load(PROMETHEUS_RULE)
    assert (manifest["apiVersion"], manifest["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert manifest["spec"] == load(RULES)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_tells_what_and_where_and_what_to_do(alert: str) -> None:
    """It has a severity, names process and value, says what is next, and points to its heading in the runbook."""
    rule = ALERTS[alert]
    text = rule["annotations"]
    assert rule["labels"] == {"severity": rule["labels"]["severity"], "component": "telethon-sidecar"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert "$value" in text["description"]
    assert "Next: " in text["description"]
    if alert not in {"SidecarAbsent", "SessionHeldTwice"}:
        assert "or $labels.pod $labels.instance" in text["summary"]
    assert text["runbook_url"] == f"https://git.example/telethon-sidecar/docs/runbook.md#{alert.lower()}"


@pytest.mark.parametrize("heading", [*ALERTS, *Reason])
def test_the_runbook_has_every_alert_and_reason(heading: str) -> None:
    """One heading each, and under it what it means, how to tell, what to do, what not to do."""
    body = sections(RUNBOOK)[heading]
    assert re.findall(r"^\* \*\*(Means:|Tell:|Do:|Do not)\*\* \S", body, re.MULTILINE) == [
        "Means:",
        "Tell:",
        "Do:",
        "Do not",
    ]


def test_the_runbook_has_no_alert_that_is_gone() -> None:
    """Every other heading of the third level is known."""
    assert set(sections(RUNBOOK)) == {*ALERTS, *Reason, "The error budget"}


def test_every_metric_in_the_rules_exists() -> None:
    """In the daemon, or among the recorded ones."""
    used = set().union(*(named(rule["expr"]) for rule in [*ALERTS.values(), *RECORDS.values()]))
    asked = re.findall(r"query \(printf\s+\"(.*?)\"\s+\$labels", RULES.read_text(encoding="utf-8"), re.DOTALL)
    used |= set().union(*map(named, asked))
    assert len(asked) == RULES.read_text(encoding="utf-8").count("query (printf") > 0
    assert used <= exposed() | set(RECORDS)
    assert {name for name in used if ":" in name} == set(RECORDS)


def test_every_label_value_in_the_rules_exists() -> None:
    """States, results and reasons are those of the daemon, and none that means a refusal is missing."""
    text = RULES.read_text(encoding="utf-8")
    values: dict[str, set[Any]] = {
        "telegram_connection_state": set(State),
        "result": set(CheckResult),
        "reason": set(Reason),
    }
    for label, known in values.items():
        found = re.findall(rf"\b{label}(?:=|=~|!=|!~)\\?\"([^\"\\]+)", text)
        assert found, label
        assert {value for one in found for value in one.split("|")} <= {str(value) for value in known}
    (refusals,) = re.findall(r"reason=~\\?\"([^\"\\]+)", text)
    assert set(refusals.split("|")) == REFUSALS


def test_amtool_accepts_the_example() -> None:
    """The example for Alertmanager is a sound configuration."""
    code, said = run("amtool", "check-config", ALERTMANAGER)
    assert (code, "5 inhibit rules" in said) == (0, True), said


def test_inhibition_names_alerts_that_exist() -> None:
    """Every alert in the inhibition rules is one of ours."""
    names = [
        re.fullmatch(r"alertname(?:=~|!=|=)\"(.+)\"", matcher)
        for rule in load(ALERTMANAGER)["inhibit_rules"]
        for matcher in [*rule["source_matchers"], *rule["target_matchers"]]
        if not matcher.startswith("component=")
    ]
    assert names
    for name in names:
        assert name
        for one in name[1].split("|"):
            assert any(re.fullmatch(one, alert) for alert in ALERTS), one
