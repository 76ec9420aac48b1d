"""The documentation says what the code does: generated parts are current, and every name in it exists."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from aiohttp import web

from sidecar.cli import main
from sidecar.http.ops import ops_app
from sidecar.journal import Journal
from sidecar.settings import Settings, environment_name

ROOT = Path(__file__).resolve().parent.parent
TOOL = runpy.run_path(str(ROOT / "tools" / "docs.py"))
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted(ROOT.glob("docs/*.md"))

_FENCED = re.compile(r"^( *)```.*?^\1```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _prose(path: Path) -> str:
    return _FENCED.sub("", _text(path))


def _code(path: Path) -> str:
    """Return what a page shows as code, in blocks and within lines."""
    blocks = [match[0] for match in _FENCED.finditer(_text(path))]
    return "\n".join([*blocks, *re.findall(r"`[^`\n]+`", _prose(path))])


def _anchors(path: Path) -> set[str]:
    return {TOOL["slug"](heading) for heading in _HEADING.findall(_prose(path))}


def test_generated_pages_and_blocks_are_current() -> None:
    """`make docs` would change nothing."""
    assert TOOL["stale"]() == []


def test_a_page_without_its_markers_is_a_fault() -> None:
    """A block that has nowhere to go is not dropped in silence."""
    with pytest.raises(ValueError, match=r"x\.md: needs <!-- generated: states -->"):
        TOOL["with_blocks"](Path("x.md"), "no markers", {"states": "…"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file of the repository, and every anchor a heading of its page."""
    for link in _LINK.findall(_prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_exist(name: str) -> None:
    """Every `make` command that a page shows is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", _text(ROOT / "Makefile"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", _code(ROOT / name)))
    assert named
    assert named <= targets


def test_environment_names_exist() -> None:
    """Every SIDECAR_ name in README.md is a setting; one that ends in * or _ begins the name of one."""
    names = {environment_name(field) for field in Settings.model_fields}
    named = set(re.findall(r"\bSIDECAR_[A-Z_]*", _text(ROOT / "README.md")))
    assert {name for name in named if not name.endswith("_")} <= names
    for prefix in named - names:
        assert any(name.startswith(prefix) for name in names), prefix


async def test_paths_of_the_ops_listener_exist() -> None:
    """Every path in README.md is one that the ops listener answers, and it leaves none out."""

    async def metrics(_: web.Request) -> web.StreamResponse:
        return web.Response()

    app = ops_app(Journal(due=0.0), metrics=metrics, environment="test", version="test")
    paths = {resource.canonical for resource in app.router.resources()}
    shown = _code(ROOT / "README.md")
    named = set(re.findall(r"`(/[a-z]*)`|path: (/\w+)|:9877(/\w+)", shown))
    assert {path for groups in named for path in groups if path} == paths


def test_flags_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """docs/settings.md has every flag of `run`, and no other."""
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    flags = set(re.findall(r"^ +(--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    assert set(re.findall(r"flag: `(--[a-z-]+)`", _text(ROOT / "docs" / "settings.md"))) == flags
