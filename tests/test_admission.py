"""The admission policy, evaluated as the API server would: what puts one session into two pods is refused."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import celpy
import pytest
from celpy.adapter import json_to_cel

from tests.manifests import EXAMPLES, NAME, Resource, built, pod_of, sidecar_of, the


@cache
def _program(expression: str) -> celpy.Runner:
    environment = celpy.Environment()
    return environment.program(environment.compile(expression))


def _evaluate(expression: str, resource: Resource, variables: Resource) -> Any:
    activation = {"object": json_to_cel(resource), "variables": celpy.celtypes.MapType(variables)}
    return _program(expression).evaluate(activation)


def refusals(resource: Resource) -> list[str]:
    """Return the messages with which the policy refuses a resource."""
    spec = the("ValidatingAdmissionPolicy", built("admission"))["spec"]
    if not all(_evaluate(each["expression"], resource, {}) for each in spec["matchConditions"]):
        return []
    variables: Resource = {}
    for each in spec["variables"]:
        variables[celpy.celtypes.StringType(each["name"])] = _evaluate(each["expression"], resource, variables)
    return [each["message"] for each in spec["validations"] if not _evaluate(each["expression"], resource, variables)]


def example(name: str = "examples/beside-application", kind: str = "StatefulSet", **spec: object) -> Resource:
    """Return the workload of an example, as another kind, with other fields."""
    found = copy.deepcopy(the("StatefulSet", built(name)))
    found["kind"] = kind
    found["spec"] |= spec
    return found


def pod(name: str, ordinal: int | None) -> Resource:
    """Return a pod as the controller makes it of an example."""
    template = example(name)["spec"]["template"]
    labels = template["metadata"]["labels"] | (
        {} if ordinal is None else {"apps.kubernetes.io/pod-index": f"{ordinal}"}
    )
    return {"kind": "Pod", "metadata": {"labels": labels}, "spec": template["spec"]}


def test_the_binding_denies() -> None:
    """The policy is in force, and one that cannot be evaluated refuses."""
    binding = the("ValidatingAdmissionPolicyBinding", built("admission"))["spec"]
    policy = the("ValidatingAdmissionPolicy", built("admission"))
    assert binding == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    assert policy["spec"]["failurePolicy"] == "Fail"


def test_it_sees_what_makes_pods_and_the_pods() -> None:
    """Workloads are judged when they are made or changed; pods only when they are made."""
    rules = the("ValidatingAdmissionPolicy", built("admission"))["spec"]["matchConstraints"]["resourceRules"]
    seen = {
        (resource, operation) for rule in rules for resource in rule["resources"] for operation in rule["operations"]
    }
    workloads = ("deployments", "replicasets", "statefulsets", "daemonsets")
    assert seen == {("pods", "CREATE")} | {(kind, verb) for kind in workloads for verb in ("CREATE", "UPDATE")}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_let_in(name: str) -> None:
    """What we recommend is allowed, and so are the pods that come of it."""
    assert refusals(example(name)) == []
    assert refusals(pod(name, 0)) == []
    assert refusals(pod(name, None)) == []


@pytest.mark.parametrize("strategy", [None, {}, {"type": "RollingUpdate"}])
def test_a_rolling_deployment_is_refused(strategy: Resource | None) -> None:
    """RollingUpdate is also what a Deployment does that says nothing."""
    (message,) = refusals(
        example(kind="Deployment") if strategy is None else example(kind="Deployment", strategy=strategy)
    )
    assert "RollingUpdate" in message


def test_a_deployment_that_recreates_is_let_in() -> None:
    """Recreate with one replica, written or not."""
    deployment = example(kind="Deployment", strategy={"type": "Recreate"})
    assert refusals(deployment) == []
    del deployment["spec"]["replicas"]
    assert refusals(deployment) == []


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet", "StatefulSet"])
def test_a_second_replica_is_refused(kind: str) -> None:
    """More than one pod with one session, also where `kubectl scale` shows only in the ReplicaSet."""
    (message,) = refusals(example(kind=kind, replicas=2, strategy={"type": "Recreate"}))
    assert "more than one replica" in message
    assert refusals(example(kind=kind, replicas=0, strategy={"type": "Recreate"})) == []


def test_a_fleet_whose_pods_share_a_session_is_refused() -> None:
    """What allows a fleet is the pod's name in the path of its session, and a Deployment has no such names."""
    fleet = example("examples/fleet")
    assert refusals(example("examples/fleet", replicas=9)) == []
    assert len(refusals(example("examples/fleet", kind="Deployment", strategy={"type": "Recreate"}))) == 1
    container = sidecar_of(pod_of(fleet))
    next(entry for entry in container["env"] if entry["name"] == "SIDECAR_SECRETS_DIR")["value"] = "/etc/telegram"
    assert len(refusals(fleet)) == 1
    container.pop("env")
    pod_of(fleet)["initContainers"] = [container]
    assert len(refusals(fleet)) == 1


@pytest.mark.parametrize(
    "hides", [{"env": [{"name": "SESSION_STRING", "value": "1"}]}, {"envFrom": [{"secretRef": {"name": "all"}}]}]
)
def test_a_fleet_whose_own_sessions_are_hidden_is_refused(hides: Resource) -> None:
    """A variable wins over a file, and is the same in every pod."""
    fleet = example("examples/fleet")
    (container,) = (c for c in pod_of(fleet)["initContainers"] if c["name"] == NAME)
    container["env"] += hides.pop("env", [])
    container |= hides
    assert len(refusals(fleet)) == 1


def test_the_second_pod_of_a_scaled_stateful_set_is_refused() -> None:
    """Scaling through the subresource shows in the pods alone."""
    (message,) = refusals(pod("examples/beside-application", 1))
    assert "second pod" in message
    assert refusals(pod("examples/fleet", 1)) == []


def test_a_daemon_set_is_refused() -> None:
    """One session on every node."""
    (message,) = refusals(example(kind="DaemonSet"))
    assert "DaemonSet" in message


@pytest.mark.parametrize(("seconds", "refused"), [(0, True), (9, True), (10, False), (30, False)])
def test_too_little_time_to_stop_is_refused(seconds: int, refused: bool) -> None:
    """Below 10 s the connection may be cut rather than closed."""
    workload = example()
    pod_of(workload)["terminationGracePeriodSeconds"] = seconds
    assert bool(refusals(workload)) is refused


def test_a_sidecar_among_the_containers_counts() -> None:
    """It need not be a native one: the keeper's is not."""
    assert "initContainers" not in pod_of(example("examples/keeper"))
    assert len(refusals(example("examples/keeper", replicas=2))) == 1


def test_others_are_let_in() -> None:
    """A workload without the sidecar may do what it likes, even with the label."""
    other = example(kind="Deployment", replicas=5)
    del pod_of(other)["initContainers"]
    assert other["metadata"]["labels"] == {NAME: "enabled"}
    assert refusals(other) == []


def test_what_is_being_deleted_is_let_go() -> None:
    """A finalizer can be taken off a workload that the policy would refuse."""
    leaving = example(kind="DaemonSet")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    assert refusals(leaving) == []
