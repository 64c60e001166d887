"""What the documents tell a reader to type or to open is there; the pins agree with one another."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")])
# What ai-edge-litert asks for, in place of tflite-runtime from Python 3.12 on.
LITERT_ASKS = {"backports-strenum", "ml-dtypes", "tqdm", "typing-extensions"}
PINS = sorted(REPOSITORY.glob("requirements/py3*.txt"))


def _pinned(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return dict(pins)


def _canonical(name: str) -> str:
    """A requirement's name; the two packages of TFLite's interpreter share one."""
    name = re.sub(r"[-_.]+", "-", name.partition(";")[0].strip()).lower()
    return "tflite" if name in ("tflite-runtime", "ai-edge-litert") else name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_links_to_exists(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_that_a_document_names_exists(document: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    named = set(re.findall(r"(?:`|^    |^\$ )make ([a-z-]+)", document.read_text("utf-8"), re.M))
    assert named <= targets


def test_pins_name_the_same_packages_for_every_python() -> None:
    assert len(PINS) == 3
    named = [{_canonical(name) for name in _pinned(path)} - LITERT_ASKS for path in PINS]
    assert named[0] == named[1] == named[2]


def test_every_dependency_of_the_project_is_pinned() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = {*project["dependencies"], *extras["pi"], *extras["jetson"], *extras["collector"]}
    for path in PINS:
        pinned = {_canonical(name) for name in _pinned(path)}
        assert {_canonical(name) for name in wanted} <= pinned


def test_pins_of_one_environment_do_not_contradict_each_other() -> None:
    for path in PINS:
        run = _pinned(path)
        for more in ("dev.txt", "report.txt", "train.txt", "tools.txt"):
            extra = _pinned(path.with_name(more))
            assert {name: run.get(name, pin) for name, pin in extra.items()} == extra


def test_what_the_extras_for_work_on_the_project_ask_for_is_pinned() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in ("dev", "report", "train", "tools"):
        known = {**_pinned(PINS[0]), **_pinned(PINS[0].with_name(f"{extra}.txt"))}
        for wanted in project["optional-dependencies"][extra]:
            name, _, version = wanted.partition("==")
            assert _canonical(name) in known, f"{extra}: {name}"
            assert version in ("", known[_canonical(name)]), f"{extra}: {wanted}"
