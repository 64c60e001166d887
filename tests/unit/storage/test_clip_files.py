from __future__ import annotations

from pathlib import Path

import pytest

from agent.storage.clip_files import ClipFiles


@pytest.fixture
def files(tmp_path: Path) -> ClipFiles:
    made = ClipFiles(tmp_path / "clip")
    made.create()
    return made


def test_a_torn_last_line_is_no_line(files: ClipFiles) -> None:
    files.append_line("one")
    with (files.folder / "custody.jsonl").open("ab") as file:
        file.write(b"tw")
    assert files.lines() == [b"one"]
    files.keep_lines(["one"])
    files.append_line("two")
    assert files.lines() == [b"one", b"two"]


def test_temporary_files_are_neither_listed_nor_kept(files: ClipFiles) -> None:
    (files.folder / ".0000.age.tmp").write_bytes(b"half")
    files.put("0000.age", b"whole")
    assert files.names() == {"0000.age"}
    files.drop_temporaries()
    assert [path.name for path in files.folder.iterdir()] == ["0000.age"]


def test_a_damaged_file_is_kept_under_another_name(files: ClipFiles) -> None:
    files.put("0001.age", b"bad")
    files.set_aside("0001.age")
    assert files.names() == {"0001.age.damaged"}
    assert files.read("0001.age") is None


def test_removing_what_is_not_there_is_no_error(files: ClipFiles) -> None:
    files.put("a", b"1")
    files.remove({"a", "b"})
    assert files.names() == set()
