"""The manifests build, are valid, name only what the daemon has, and keep one session in one pod."""

from __future__ import annotations

import copy
import ipaddress
import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import kubernetes_validate
import pytest
import yaml
from aiohttp import web

from sidecar.cli import main
from sidecar.commands.checks import OTHERS
from sidecar.credentials import CREDENTIAL_FILES, CredentialSource
from sidecar.http.ops import ops_app
from sidecar.http.server import SHUTDOWN_SECONDS
from sidecar.journal import Journal
from sidecar.link import CUT_SECONDS
from sidecar.settings import Settings, environment_name
from tests.manifests import BUILDS, EXAMPLES, K8S, NAME, ROOT, build, built, pod_of, sidecar_of, the
from tests.needed import missing, need
from tests.test_credentials import session_string, shown

if TYPE_CHECKING:
    from pathlib import Path

    from tests.manifests import Resource

OLDEST, NEWEST = "1.29", kubernetes_validate.latest_version()
SINCE = {"ValidatingAdmissionPolicy": "1.30", "ValidatingAdmissionPolicyBinding": "1.30"}
OPERATOR = "monitoring.coreos.com/v1"
STOP_SECONDS = Settings.model_fields["shutdown_timeout"].default + CUT_SECONDS + SHUTDOWN_SECONDS
CRDS = ROOT / "tools" / "crds"


def workload(name: str) -> Resource:
    """Return the StatefulSet of an example."""
    return the("StatefulSet", built(name))


def monitors() -> list[Resource]:
    """Return everything that is for the Prometheus operator."""
    return [resource for name in BUILDS for resource in built(name) if resource["apiVersion"] == OPERATOR]


# ------------------------------------------------------------------------------------------------------------- valid


def test_everything_is_built() -> None:
    """No directory escapes the tests below."""
    assert EXAMPLES == ["examples/beside-application", "examples/fleet", "examples/keeper"]
    assert set(BUILDS) - set(EXAMPLES) == {"admission", "alerts", "monitoring", "network-policy", "service-monitor"}


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_api_server_would_take_it(name: str, version: str) -> None:
    """Every resource is valid, without an unknown field, in the oldest release that will do and in the newest."""
    for resource in built(name):
        if resource["apiVersion"] == OPERATOR:
            continue  # see the next test
        since = SINCE.get(resource["kind"], version)
        at_least = max(version, since, key=lambda text: [int(part) for part in text.split(".")[:2]])
        assert at_least.startswith(kubernetes_validate.validate(resource, at_least, strict=True))


def _judge(resources: list[Resource]) -> list[str]:
    node = need("node")
    if not (CRDS / "node_modules").exists():
        missing("the operator's schemas are not installed: make schemas")
    done = subprocess.run(  # noqa: S603
        [node, str(CRDS / "check.mjs")], input=json.dumps(resources), check=False, capture_output=True, text=True
    )
    assert not done.stderr, done.stderr
    assert done.returncode == bool(done.stdout), done.stdout
    return done.stdout.splitlines()


@pytest.mark.slow
def test_the_operator_would_take_its_resources() -> None:
    """Every resource for the Prometheus operator is valid and has no unknown key."""
    resources = monitors()
    assert {"PodMonitor", "ServiceMonitor", "PrometheusRule"} == {resource["kind"] for resource in resources}
    assert _judge(resources) == []


@pytest.mark.slow
def test_a_wrong_value_and_an_unknown_key_are_found() -> None:
    """The check above can fail, for either reason."""
    wrong, unknown = (copy.deepcopy(the("PodMonitor", built("monitoring"))) for _ in range(2))
    wrong["spec"]["podMetricsEndpoints"][0]["interval"] = "often"
    unknown["spec"]["podMetricEndpoints"] = []
    (fault,) = _judge([wrong])
    assert "interval" in fault
    (fault,) = _judge([unknown])
    assert "'\"podMetricEndpoints\"' does not exist" in fault


# ---------------------------------------------------------------------------------------------- as the daemon has it


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_variable_is_a_setting(name: str) -> None:
    """The sidecar's variables are settings with values that they accept, and none of them is a credential."""
    values = {entry["name"]: entry.get("value") for entry in sidecar_of(pod_of(workload(name)))["env"]}
    values.pop("POD_NAME", None)
    fields = {environment_name(field): field for field in Settings.model_fields}
    assert values.keys() <= fields.keys()
    assert values == {
        "SIDECAR_HOST": "0.0.0.0",  # noqa: S104 - what the manifest has to say
        "SIDECAR_SECRETS_DIR": "/etc/telegram/$(POD_NAME)" if name == "examples/fleet" else "/etc/telegram",
        "SIDECAR_STATE_DIR": "/var/lib/telethon-sidecar",
    }
    Settings(**{fields[key]: value for key, value in values.items()})


async def _answered_paths() -> set[str]:
    async def metrics(_: web.Request) -> web.StreamResponse:
        return web.Response()

    app = ops_app(Journal(due=0.0), metrics=metrics, environment="test", version="test")
    return {resource.canonical for resource in app.router.resources()}


@pytest.mark.parametrize("name", EXAMPLES)
async def test_every_probe_asks_what_the_daemon_answers(name: str) -> None:
    """Each probe asks the path that was made for it, at the default port, and waits long enough to be fair."""
    container = sidecar_of(pod_of(workload(name)))
    probes = {probe: container[f"{probe}Probe"] for probe in ("startup", "liveness", "readiness")}
    asked = {probe: (p["httpGet"]["path"], p["httpGet"]["port"]) for probe, p in probes.items()}
    port = Settings.model_fields["port"].default
    assert asked == {"startup": ("/startupz", port), "liveness": ("/livez", port), "readiness": ("/readyz", port)}
    assert {path for path, _ in asked.values()} <= await _answered_paths()
    startup = probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"]
    # An attempt, and the closing of its connection; twice that for a slow node.
    assert startup >= 2 * (Settings.model_fields["connect_timeout"].default + STOP_SECONDS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_named_port_is_the_daemons(name: str) -> None:
    """What is scraped by name is the port that the daemon listens on."""
    container = sidecar_of(pod_of(workload(name)))
    assert container["ports"] == [{"name": "ops", "containerPort": 9877, "protocol": "TCP"}]
    assert Settings.model_fields["port"].default == 9877


async def test_scraping_and_policies_name_what_is_there() -> None:
    """Monitors, Service and NetworkPolicy agree with the pods on label, port name, port and path."""
    label = {NAME: "enabled"}
    pod, service_monitor = the("PodMonitor", built("monitoring")), the("ServiceMonitor", built("service-monitor"))
    service, network = the("Service", built("service-monitor")), the("NetworkPolicy", built("network-policy"))
    for name in EXAMPLES:
        assert label.items() <= workload(name)["spec"]["template"]["metadata"]["labels"].items()
    assert pod["spec"]["selector"]["matchLabels"] == label
    assert network["spec"]["podSelector"]["matchLabels"] == service["spec"]["selector"] == label
    assert service_monitor["spec"]["selector"]["matchLabels"] == service["metadata"]["labels"]
    endpoints = [*pod["spec"]["podMetricsEndpoints"], *service_monitor["spec"]["endpoints"]]
    assert {(endpoint["port"], endpoint["path"]) for endpoint in endpoints} == {("ops", "/metrics")}
    assert "/metrics" in await _answered_paths()
    assert [(port["name"], port["targetPort"]) for port in service["spec"]["ports"]] == [("ops", 9877)]
    assert [port["port"] for port in network["spec"]["ingress"][0]["ports"]] == [9877]


def test_the_alerts_know_the_jobs() -> None:
    """The operator names the job after what scrapes; of a silent process the job is all that an alert can ask for."""
    pod, service_monitor = the("PodMonitor", built("monitoring")), the("ServiceMonitor", built("service-monitor"))
    assert "jobLabel" not in pod["spec"] | service_monitor["spec"]
    jobs = [f"any/{pod['metadata']['name']}", the("Service", built("service-monitor"))["metadata"]["name"]]
    rules = the("PrometheusRule", built("alerts"))["spec"]["groups"][0]["rules"]
    asked = {pattern for rule in rules for pattern in re.findall(r'job=~"([^"$]+)"', rule["expr"])}
    assert asked
    assert all(re.fullmatch(pattern, job) for pattern in asked for job in jobs)


@pytest.mark.parametrize("name", EXAMPLES)
def test_its_command_exists(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The arguments are a command of the daemon."""
    with pytest.raises(SystemExit) as ended:
        main([*sidecar_of(pod_of(workload(name)))["args"], "--help"])
    assert ended.value.code == 0


def test_a_fleet_has_a_folder_of_secret_files_for_each_pod() -> None:
    """Pod n finds the session of Secret n, under the names that the daemon reads, and no other pod does."""
    fleet = workload("examples/fleet")
    pod, container = pod_of(fleet), sidecar_of(pod_of(fleet))
    names = [entry["name"] for entry in container["env"]]
    assert names.index("POD_NAME") < names.index("SIDECAR_SECRETS_DIR")  # else it is not expanded
    mount = next(m for m in container["volumeMounts"] if m["name"] == f"{NAME}-secret")
    sources = next(v for v in pod["volumes"] if v["name"] == f"{NAME}-secret")["projected"]["sources"]
    found = {
        f"{mount['mountPath']}/{i['path']}": (s["secret"]["name"], i["key"])
        for s in sources
        for i in s["secret"]["items"]
    }
    assert len(sources) == fleet["spec"]["replicas"]
    assert found == {
        f"/etc/telegram/fleet-{n}/{file}": (f"fleet-{n}", file)
        for n in range(fleet["spec"]["replicas"])
        for file in ("api_id", "api_hash", "session_string")
    }
    assert {key for _, key in found.values()} <= set(CREDENTIAL_FILES)


async def test_a_session_of_a_fleet_changes_without_a_restart(tmp_path: Path) -> None:
    """A folder within a projected volume is a link, as a file is, and a new version is seen through it."""
    for version, api_id in (("..1", "1"), ("..2", "2")):
        (tmp_path / version / "fleet-0").mkdir(parents=True)
        (tmp_path / version / "fleet-0" / "api_id").write_text(api_id)
        (tmp_path / version / "fleet-0" / "api_hash").write_text("0" * 32)
        (tmp_path / version / "fleet-0" / "session_string").write_text(session_string(1))
    (tmp_path / "fleet-0").symlink_to("..data/fleet-0")
    source = CredentialSource(Settings(secrets_dir=tmp_path / "fleet-0"))
    assert shown(source.current)[0].startswith("API_ID")  # a problem: the optional Secret is not there yet
    for version, api_id in (("..1", "1"), ("..2", "2")):
        (tmp_path / "..data_tmp").symlink_to(version)
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        source.reload()
        assert shown(source.current)[0] == api_id


# -------------------------------------------------------------------------------------------------- session and safety


@pytest.mark.parametrize("name", EXAMPLES)
def test_one_session_is_in_one_pod(name: str) -> None:
    """Each example is a StatefulSet that replaces a pod only when it is gone, and has one pod for each session."""
    spec = workload(name)["spec"]
    assert [r["kind"] for r in built(name) if "template" in r.get("spec", {})] == ["StatefulSet"]
    assert spec["replicas"] == (2 if name == "examples/fleet" else 1)
    assert spec["podManagementPolicy"] == "Parallel"  # else a pod that is not ready could never be updated
    assert "updateStrategy" not in spec


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_connection_has_time_to_close(name: str) -> None:
    """The pod's grace period holds the daemon's whole stop, and some of the application's."""
    pod = pod_of(workload(name))
    assert pod["terminationGracePeriodSeconds"] >= 2 * STOP_SECONDS
    assert "lifecycle" not in sidecar_of(pod)  # a hook's time would come out of the same period


@pytest.mark.parametrize("name", ["examples/beside-application", "examples/fleet"])
def test_it_is_a_native_sidecar(name: str) -> None:
    """It starts before the application and ends after it."""
    (container,) = pod_of(workload(name))["initContainers"]
    assert (container["name"], container["restartPolicy"]) == (NAME, "Always")


def test_the_keeper_is_the_component_alone() -> None:
    """The container that is written out twice is the same twice."""
    beside = sidecar_of(pod_of(workload("examples/beside-application")))
    keeper = sidecar_of(pod_of(workload("examples/keeper")))
    del beside["restartPolicy"]
    beside["volumeMounts"] = [m for m in beside["volumeMounts"] if m["name"] != f"{NAME}-api"]
    assert keeper == beside


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_pods_are_restricted(name: str) -> None:
    """Pod Security "restricted", a read-only file system, no token, and bounds on memory, for every container."""
    pod = pod_of(workload(name))
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"}.isdisjoint(pod)
    allowed = {"secret", "projected", "emptyDir"}
    assert all(volume.keys() - {"name"} <= allowed for volume in pod["volumes"])
    shared = pod["securityContext"]
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        context = shared | container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] >= 10_000
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert set(container["resources"]["limits"]) == {"memory"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_secrets_are_files_and_can_change(name: str) -> None:
    """No Secret is a variable, none is mounted in the way that never changes, and the numeric user can read it."""
    pod = pod_of(workload(name))
    container = sidecar_of(pod)
    (volume,) = (v for v in pod["volumes"] if v["name"] == f"{NAME}-secret")
    assert [source["defaultMode"] for kind, source in volume.items() if kind != "name"] == [0o444]
    assert "envFrom" not in container
    assert all("secretKeyRef" not in entry.get("valueFrom", {}) for entry in container["env"])
    assert all("subPath" not in mount and "subPathExpr" not in mount for mount in container["volumeMounts"])


def test_the_network_policy_lets_out_to_names_and_telegram_only() -> None:
    """Egress is DNS in the cluster, and TCP 443 to addresses; ingress comes from one namespace."""
    spec = the("NetworkPolicy", built("network-policy"))["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    (monitoring,) = spec["ingress"]
    (source,) = monitoring["from"]
    assert source["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}
    names, telegram = spec["egress"]
    assert {(p["protocol"], p["port"]) for p in names["ports"]} == {("UDP", 53), ("TCP", 53)}
    assert telegram["ports"] == [{"protocol": "TCP", "port": 443}]
    blocks = [ipaddress.ip_network(peer["ipBlock"]["cidr"]) for peer in telegram["to"]]
    assert len(blocks) == len(set(blocks)) == 14
    assert all(block.prefixlen >= 20 for block in blocks)  # nothing as wide as the Internet
    for _, host, port in (*OTHERS[False], *OTHERS[True]):
        assert any(ipaddress.ip_address(host) in block for block in blocks)
        assert port == telegram["ports"][0]["port"]


# ------------------------------------------------------------------------------------------------- the component's use


def _users(directory: Path, *workloads: str) -> list[Resource]:
    """Build a user's own kustomization that uses the component."""
    (directory / "workloads.yaml").write_text("---\n".join(workloads))
    base = os.path.relpath((K8S / "base").resolve(), directory.resolve())
    (directory / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": ["workloads.yaml"], "components": [base]})
    )
    return build(directory)


# Braces and brackets where a user may well write them: a comment that kustomize carries into them breaks the build.
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, labels: LABELS}
spec:
  replicas: 3
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1}}
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      terminationGracePeriodSeconds: 90
      initContainers:
        - name: migrate
          image: a
      containers: [{name: app, image: a}]
      volumes: [{name: data, emptyDir: {}}]
"""


def test_a_deployment_is_made_safe(tmp_path: Path) -> None:
    """The component turns a rolling Deployment of three into one that never has two pods at an update."""
    text = DEPLOYMENT.replace("NAME", "mine").replace("LABELS", "{telethon-sidecar: enabled}")
    (mine,) = _users(tmp_path, text)
    assert mine["spec"]["replicas"] == 1
    assert mine["spec"]["strategy"] == {"type": "Recreate"}
    kubernetes_validate.validate(mine, OLDEST, strict=True)


def test_what_is_the_users_stays(tmp_path: Path) -> None:
    """The component keeps the user's containers, volumes and grace period, and starts before their init containers."""
    text = DEPLOYMENT.replace("NAME", "mine").replace("LABELS", "{telethon-sidecar: enabled}")
    (mine,) = _users(tmp_path, text)
    pod = pod_of(mine)
    assert [c["name"] for c in pod["initContainers"]] == [NAME, "migrate"]
    assert pod["containers"] == [{"name": "app", "image": "a"}]
    assert {"name": "data", "emptyDir": {}} in pod["volumes"]
    assert pod["terminationGracePeriodSeconds"] == 90


def test_a_workload_that_did_not_ask_is_left_alone(tmp_path: Path) -> None:
    """Only workloads with the label get the sidecar."""
    text = DEPLOYMENT.replace("NAME", "other").replace("LABELS", "{}")
    (other,) = _users(tmp_path, text)
    assert other == yaml.safe_load(text)
