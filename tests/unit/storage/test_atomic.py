"""Durable writes: the order of operations, and what a cut between any two leaves behind."""

import os
from pathlib import Path

import pytest

from agent.storage import atomic


class CutError(Exception):
    """The battery was pulled."""


def test_a_cut_before_the_rename_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic.write_file(path, b"old")

    def cut(_descriptor: int) -> None:
        raise CutError

    with pytest.raises(CutError):
        atomic.write_file(path, b"new", fsync=cut)
    assert path.read_bytes() == b"old"


def test_the_content_is_synced_before_the_name_and_the_directory_after(tmp_path: Path) -> None:
    synced: list[tuple[str, bool]] = []

    def spy(descriptor: int) -> None:
        kind = "directory" if Path(f"/proc/self/fd/{descriptor}").resolve().is_dir() else "file"
        synced.append((kind, (tmp_path / "file").exists()))
        os.fsync(descriptor)

    atomic.write_file(tmp_path / "file", b"x", fsync=spy)
    assert synced == [("file", False), ("directory", True)]


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    atomic.write_file(tmp_path / "file", b"x")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_lines_come_back_without_a_torn_last_one(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    atomic.append_line(path, b"one")
    atomic.append_line(path, b"two")
    with path.open("ab") as file:
        file.write(b"tor")
    assert atomic.read_lines(path) == [b"one", b"two"]


def test_the_name_of_a_new_line_file_is_synced_once(tmp_path: Path) -> None:
    count = 0

    def spy(_descriptor: int) -> None:
        nonlocal count
        count += 1

    atomic.append_line(tmp_path / "lines", b"one", fsync=spy)
    assert count == 2
    atomic.append_line(tmp_path / "lines", b"two", fsync=spy)
    assert count == 3


def test_a_line_break_in_a_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line break"):
        atomic.append_line(tmp_path / "lines", b"a\nb")


def test_no_file_has_no_lines(tmp_path: Path) -> None:
    assert atomic.read_lines(tmp_path / "none") == []


def test_a_move_that_lost_the_race_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic.move(tmp_path / "gone", tmp_path / "there")


def test_made_directories_are_for_their_owner_alone(tmp_path: Path) -> None:
    atomic.make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_settling_syncs_every_file_then_their_names_then_the_folders_own(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / name).write_bytes(b"x")
    (folder / "below").mkdir()
    synced: list[str] = []

    def spy(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").resolve().name)

    atomic.settle(folder, fsync=spy)
    assert sorted(synced[:2]) == ["one", "two"]
    assert synced[2:] == ["folder", tmp_path.name]
