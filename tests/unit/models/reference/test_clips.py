"""Footage with truth: what is found, what is refused, what the model's rate makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.core.picture import Rect
from agent.errors import FootageError
from models.reference.clips import (
    ClipFiles,
    at_model_rate,
    count_pictures,
    find_sets,
    model_instants,
    read_truth,
    stream_video,
    unpaired,
)
from tests.truth_maker import RATE_HZ, write_clip, write_truth


def test_a_folder_and_its_subfolders_are_sets_of_what_has_both_files(tmp_path: Path) -> None:
    for folder in ("", "train", "val"):
        write_clip(tmp_path / folder, "a", [20, 200], {"x": [0, 1]})
    write_truth(tmp_path / "val", "no_video", {"x": [1]})
    (tmp_path / "val" / "no_truth.mp4").write_bytes(b"")
    (tmp_path / "val" / ".half.mp4").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    sets = find_sets(tmp_path)
    assert [each.name for each in sets] == [tmp_path.name, "train", "val"]
    assert [clip.name for clip in sets[2].clips] == ["a"]
    lines = unpaired(tmp_path)
    assert len(lines) == 2
    assert "no_truth.mp4: footage without truth" in lines[0]
    assert "no_video.truth.json: truth without footage" in lines[1]


@pytest.mark.parametrize("folder", ["gone", "."])
def test_a_folder_without_footage_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(FootageError, match=r"is no folder|holds no"):
        find_sets(tmp_path / folder)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not json", "no truth file"),
        ('{"frame_rate_hz": 30, "frames": []}', "no truth file"),
        ('{"frame_rate_hz": 0, "frames": [{"labels": {"x": 1}}]}', "no truth file"),
        ('{"frame_rate_hz": 30, "frames": [{"labels": {}}]}', "no labels"),
        ('{"frame_rate_hz": 30, "frames": [{"labels": {"x": 2}}]}', "not 1, 0 or -1"),
        ('{"frame_rate_hz": 30, "frames": [{"labels": {"x": "1"}}]}', "no truth file"),
        (
            '{"frame_rate_hz": 30, "frames": [{"labels": {"x": 1}}, {"labels": {"y": 1}}]}',
            r"frame 1 and frame 0 do not have the same labels \(x\)",
        ),
        ("[" * 100_000, "no truth file"),
    ],
)
def test_truth_that_is_not_of_the_format_is_one_line(
    tmp_path: Path, text: str, reason: str
) -> None:
    file = tmp_path / "a.truth.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(FootageError, match=reason) as caught:
        read_truth(file)
    assert "\n" not in str(caught.value)


def test_pictures_are_given_in_order_with_bars_beside_them(tmp_path: Path) -> None:
    levels = [30, 90, 150, 210]
    write_clip(tmp_path, "a", levels, {"x": [0] * 4})
    clip = ClipFiles(tmp_path, "a")
    shown = list(stream_video(clip, 4))
    assert shown[0][0] == Rect(50, 0, 540, 360)
    assert [round(float(f[180, 320])) for _, f in shown] == pytest.approx(levels, abs=2)
    assert (shown[0][1][:360, :50] == 16).all()
    assert [f[180, 320] for _, f in stream_video(clip, 4, {1, 3})] == pytest.approx(
        levels[1::2], abs=2
    )
    assert count_pictures(clip.video) == (4, RATE_HZ)


def test_a_video_that_has_not_the_pictures_of_its_truth_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path, "a", [30] * 4, {"x": [0] * 4})
    with pytest.raises(FootageError, match="has 4 pictures, its truth 5"):
        list(stream_video(ClipFiles(tmp_path, "a"), 5))


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"noise" * 100)
    with pytest.raises(FootageError, match="cannot be read as video"):
        list(stream_video(ClipFiles(tmp_path, "a"), 1))
    with pytest.raises(FootageError, match="cannot be read as video"):
        count_pictures(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("source_hz", "expected"), [(30.0, [0, 2, 4]), (15.0, [0, 1, 2, 3, 4]), (10.0, [0, 1, 2, 3, 4])]
)
def test_model_instants_take_the_nearest_picture_and_none_twice(
    source_hz: float, expected: list[int]
) -> None:
    assert model_instants(5, source_hz, 15.0) == expected


def test_an_event_between_two_model_pictures_belongs_to_the_later_one() -> None:
    row = np.array([0, 0, 0, 1, 0, 0, 0, -1], np.int8)
    picks = [0, 2, 5, 7]
    assert at_model_rate(row, picks, event=True).tolist() == [0, 0, 1, 0]
    assert at_model_rate(row, picks, event=False).tolist() == [0, 0, 0, -1]
