"""The Dockerfile is well made and agrees with the daemon and the manifests. `make image-test` builds and runs it."""

from __future__ import annotations

import json
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from sidecar.cli import main
from sidecar.settings import Settings, environment_name
from tests.manifests import ROOT, built, pod_of, sidecar_of, the

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def _said(instruction: str) -> list[str]:
    """Return the arguments of every instruction of a kind."""
    return re.findall(rf"^{instruction} (.+)$", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)


def test_hadolint_has_nothing_to_say() -> None:
    """No finding, and no exception."""
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run(  # noqa: S603
        [hadolint, ROOT / "Dockerfile"], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "hadolint ignore" not in DOCKERFILE


def test_it_runs_as_the_user_of_the_manifests() -> None:
    """A number, and the same one in both places."""
    (user,) = _said("USER")
    context = sidecar_of(pod_of(the("StatefulSet", built("examples/keeper"))))["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"


def test_it_exposes_the_daemons_port() -> None:
    """The default port, for nothing in the image sets another."""
    assert _said("EXPOSE") == [str(Settings.model_fields["port"].default)]
    named = set(re.findall(r"\bSIDECAR_[A-Z]+", DOCKERFILE))
    assert named <= {environment_name(field) for field in Settings.model_fields}


@pytest.mark.parametrize("instruction", ["CMD", "HEALTHCHECK"])
def test_its_commands_exist(instruction: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What it runs is a command of the daemon, started without a shell."""
    (said,) = _said(instruction)
    words = json.loads(said[said.index("[") :])
    assert json.loads(_said("ENTRYPOINT")[0]) == ["telethon-sidecar"]
    with pytest.raises(SystemExit) as ended:
        main([*(word for word in words if word != "telethon-sidecar"), "--help"])
    assert ended.value.code == 0


def test_only_what_is_copied_gets_into_the_build() -> None:
    """Everything is left out but what the Dockerfile copies: no .env, and no session, can get into a layer."""
    copied = {word for said in _said("COPY") if "--from" not in said for word in said.split()[:-1]}
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == copied
