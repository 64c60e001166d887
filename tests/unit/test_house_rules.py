"""Rules of the house that no linter knows. Each failure names the file to mend."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.wire.topics import ROOT

REPOSITORY = Path(__file__).resolve().parents[2]
PRODUCT = ("agent", "collector", "firmware_tools", "models")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_PORT_METHODS = 7
BANNED_NAME = re.compile(r"utils?|helpers?|manager|data|handle_.*|\w*(?:Utils?|Helper|Manager)")
# What means something only on the machine or in the meeting where it was written.
PRIVATE = re.compile(r"\.\./shared|/(?:root|work|home)/\w|\b(?:issue|ticket|session) #\d", re.I)
TEXT = {".py", ".md", ".toml", ".txt", ".sh", ".json", ".service", ".target", ".conf"}


def _python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((REPOSITORY / folder).rglob("*.py"))]


def _definitions(
    path: Path,
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node


def _name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def test_no_file_is_longer_than_a_reader_will_read() -> None:
    long = {
        _name(path): lines
        for path in _python_files(*PRODUCT, "tests")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) >= MAX_FILE_LINES
    }
    assert long == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{_name(path)}:{node.lineno} {node.name}"
        for path in _python_files(*PRODUCT)
        for node in _definitions(path)
        if not isinstance(node, ast.ClassDef)
        and (node.end_lineno or node.lineno) - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert long == []


def test_nothing_bears_a_name_that_says_nothing() -> None:
    files = _python_files(*PRODUCT, "tests")
    named = [_name(path) for path in files if BANNED_NAME.fullmatch(path.stem)]
    named += [
        f"{_name(path)}:{node.lineno} {node.name}"
        for path in files
        for node in _definitions(path)
        if BANNED_NAME.fullmatch(node.name)
    ]
    assert named == []


@pytest.mark.parametrize("path", _python_files("agent/ports"), ids=lambda path: path.stem)
def test_a_port_stays_small_enough_to_write_a_driver_for(path: Path) -> None:
    for node in _definitions(path):
        if isinstance(node, ast.ClassDef) and any("ABC" in ast.dump(base) for base in node.bases):
            public = [
                item.name
                for item in node.body
                if isinstance(item, ast.FunctionDef) and not item.name.startswith("_")
            ]
            assert len(public) < MAX_PORT_METHODS, f"{node.name}: {public}"


def test_topics_are_spelt_in_one_file() -> None:
    spelt = [
        _name(path)
        for path in _python_files(*PRODUCT)
        if ROOT in path.read_text(encoding="utf-8") and _name(path) != "agent/wire/topics.py"
    ]
    assert spelt == []


def test_nothing_refers_to_a_place_that_only_its_writer_has() -> None:
    found = []
    for folder in (*PRODUCT, "tests", "docs", "requirements", "systemd", "."):
        pattern = "*" if folder == "." else "**/*"
        for path in sorted((REPOSITORY / folder).glob(pattern)):
            if path.is_file() and (path.suffix in TEXT or path.name == "Makefile"):
                text = path.read_text(encoding="utf-8")
                found += [f"{_name(path)}: {hit.group()}" for hit in PRIVATE.finditer(text)]
    assert found == []
