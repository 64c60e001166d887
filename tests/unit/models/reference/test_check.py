"""The format check: each fault of footage is one line that names it, and good footage passes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.errors import FootageError
from models.reference.check import faults, main, refuse_unfit
from models.reference.splits import Split, leaks
from tests.truth_maker import write_clip, write_truth

KNOWN = {"weapon_in_view", "shot_fired"}
LABELS = {"weapon_in_view": [0, 1, 1], "shot_fired": [0, 0, 1]}


def origin(number: int) -> dict[str, str]:
    return {key: f"{key}-{number}" for key in ("site", "session", "person")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sets of one clip each, nothing wrong with them."""
    write_clip(tmp_path / "train", "a", [20, 200, 20], LABELS, origin(1))
    write_clip(tmp_path / "test", "b", [20, 20, 200], LABELS, origin(2))
    return tmp_path


def test_good_footage_has_no_faults(folder: Path) -> None:
    assert faults(folder, KNOWN) == []


def test_footage_and_truth_without_each_other_are_named(folder: Path) -> None:
    (folder / "train" / "a.truth.json").rename(folder / "train" / "c.truth.json")
    lines = faults(folder, KNOWN)
    assert any("a.mp4: footage without truth" in line for line in lines)
    assert any("c.truth.json: truth without footage" in line for line in lines)


def test_an_unknown_label_is_named_with_the_one_that_is_meant(folder: Path) -> None:
    labels = {"wepon_in_view": [0, 1, 1], "shot_fired": [0, 0, 1]}
    write_truth(folder / "train", "a", labels, origin(1))
    (line,) = faults(folder, KNOWN)
    assert "label wepon_in_view is not in the recipe; weapon_in_view is meant?" in line


def test_frame_counts_and_rates_that_differ_are_named(folder: Path) -> None:
    write_truth(folder / "train", "a", {"shot_fired": [0, 1]}, origin(1))
    truth = folder / "test" / "b.truth.json"
    truth.write_text(truth.read_text("utf-8").replace('"frame_rate_hz": 30', '"frame_rate_hz": 25'))
    lines = faults(folder, KNOWN)
    assert any("a.mp4: 3 pictures, its truth has 2" in line for line in lines)
    assert any("b.mp4: 30 pictures a second, its truth says 25" in line for line in lines)


@pytest.mark.parametrize("key", ["site", "session", "person"])
def test_sets_that_share_a_site_a_session_or_a_person_leak(folder: Path, key: str) -> None:
    shared = origin(2) | {key: f"{key}-1"}
    write_truth(folder / "test", "b", LABELS, shared)
    (line,) = faults(folder, KNOWN)
    assert line == f"test and train share {key} '{key}-1' (test/b, train/a): the split leaks"


def test_clips_that_do_not_say_where_they_come_from_are_no_silent_pass(folder: Path) -> None:
    write_truth(folder / "test", "b", LABELS)
    lines = faults(folder, KNOWN)
    assert len(lines) == 3
    assert "test: 1 clips do not say their site (first: test/b)" in lines[0]
    assert faults(folder, KNOWN, with_split=False) == []


def test_the_same_video_twice_is_named(folder: Path) -> None:
    shutil.copy(folder / "train" / "a.mp4", folder / "test" / "b.mp4")
    assert "train/a is the same video as test/b" in faults(folder, KNOWN)


def test_sets_that_are_judged_on_may_share_among_themselves() -> None:
    held = {"x": origin(2)}
    origins = {"train": {"a": origin(1)}, "night": held, "rain": held}
    assert leaks(Split(), origins) == []
    assert len(leaks(Split(fitted=("night",)), origins)) == 3


def test_a_set_may_be_held_out_by_something_else() -> None:
    origins = {
        "train": {"a": {"session": "1", "weapon": "g"}},
        "test": {"b": {"session": "1", "weapon": "h"}},
    }
    assert len(leaks(Split(by=("session",)), origins)) == 1
    assert leaks(Split(by=("session",), by_set={"test": ("weapon",)}), origins) == []


def test_the_split_file_is_read_and_a_wrong_one_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_truth(folder / "test", "b", LABELS, origin(1))
    (folder / "split.json").write_text('{"by": ["weapon"], "fitted": ["train"]}')
    assert all("do not say their weapon" in line for line in faults(folder, KNOWN))
    (folder / "split.json").write_text('{"bye": []}')
    assert main([str(folder)]) == 1
    assert "split.json cannot be used" in capsys.readouterr().out


def test_nothing_is_trained_on_that_is_not_fit(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse_unfit(folder)
    write_truth(folder / "test", "b", {"own": [0, 0, 1]}, origin(1))
    with pytest.raises(FootageError, match="4 faults, nothing is trained on"):
        refuse_unfit(folder)
    assert "label own is not in the recipe" in capsys.readouterr().out
    with pytest.raises(FootageError, match="1 faults"):
        refuse_unfit(folder, with_split=False)


def test_the_command_says_fit_or_not_and_the_exit_code_agrees(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert "note: train: long_gun is never true" in out
    assert out.endswith("2 clips in 2 sets: fit to train on\n")
    write_truth(folder / "test", "b", {"own": [0, 0, 1]}, origin(2))
    assert main([str(folder)]) == 1
    assert capsys.readouterr().out.endswith("1 faults: not fit to train on\n")
    assert main([str(folder), "--label", "own"]) == 0
    capsys.readouterr()
    assert main([str(folder / "gone")]) == 1
