"""The manifests of deploy/k8s as the API server would get them: built by kustomize, parsed."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.needed import need

ROOT = Path(__file__).resolve().parent.parent
K8S = ROOT / "deploy" / "k8s"
NAME = "telethon-sidecar"
"""Of the container, the component's label and its Secret."""

Resource = dict[str, Any]


def _is_built(directory: Path) -> bool:
    return bool(yaml.safe_load((directory / "kustomization.yaml").read_text())["kind"] == "Kustomization")


BUILDS = sorted(
    path.parent.relative_to(K8S).as_posix() for path in K8S.rglob("kustomization.yaml") if _is_built(path.parent)
)
EXAMPLES = [name for name in BUILDS if name.startswith("examples/")]


@cache
def build(directory: Path) -> list[Resource]:
    """Build a directory with kustomize."""
    kubectl = need("kubectl")
    done = subprocess.run([kubectl, "kustomize", directory], check=False, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # a deprecated field is a fault, too
    return list(yaml.safe_load_all(done.stdout))


def built(name: str) -> list[Resource]:
    """Build one of `BUILDS`."""
    return build(K8S / name)


def the(kind: str, resources: list[Resource]) -> Resource:
    """Return the one resource of a kind."""
    (found,) = (resource for resource in resources if resource["kind"] == kind)
    return found


def pod_of(resource: Resource) -> Resource:
    """Return the pod's spec of a workload."""
    spec: Resource = resource["spec"]["template"]["spec"]
    return spec


def sidecar_of(pod: Resource) -> Resource:
    """Return the one container of ours."""
    (found,) = (c for c in [*pod.get("initContainers", []), *pod["containers"]] if c["name"] == NAME)
    return dict(found)
