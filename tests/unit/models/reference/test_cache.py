"""Decoded footage on the disk: made once, made again when the footage changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.core.preprocess import PicturePreparer
from agent.errors import FootageError
from models.reference import recipe
from models.reference.cache import CachedClip, batches, load_set
from models.reference.clips import ClipFiles, stream_video
from tests.truth_maker import write_clip

SIZE = (28, 48)
LUMA = [40, 60, 80, 100, 120, 140]
IDS = [rule.id for rule in recipe.LABELS]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shots = [0, 1, 0, 0, 0, 0]
    write_clip(tmp_path / "train", "a", LUMA, {"shot_fired": shots, "env_outdoor": [1] * 6})
    return tmp_path / "train"


def load(folder: Path, tmp_path: Path) -> CachedClip:
    (clip,) = load_set(folder, tmp_path / "cache", SIZE)
    return clip


def test_a_clip_comes_at_the_models_rate_and_size_with_its_truth(
    folder: Path, tmp_path: Path
) -> None:
    clip = load(folder, tmp_path)
    # 30 pictures a second: every second one.
    assert clip.pictures.shape == (3, *SIZE, 3)
    assert clip.pts_ns.tolist() == [0, round(2e9 / 30), round(4e9 / 30)]
    # The shot on picture 1 belongs to the model picture after it.
    assert clip.truth[:, IDS.index("shot_fired")].tolist() == [0, 1, 0]
    assert clip.truth[:, IDS.index("env_outdoor")].tolist() == [1, 1, 1]
    assert not clip.boxes.any()


def test_a_label_that_the_truth_does_not_speak_of_is_unknown(folder: Path, tmp_path: Path) -> None:
    clip = load(folder, tmp_path)
    assert set(clip.truth[:, IDS.index("hostage_visible")]) == {-1}


def test_the_pictures_are_those_of_the_agents_own_preparation(folder: Path, tmp_path: Path) -> None:
    clip = load(folder, tmp_path)
    preparer = PicturePreparer(*SIZE, recipe.CROP)
    shown = list(stream_video(ClipFiles(folder, "a"), len(LUMA), {0, 2, 4}))
    expected = [preparer.prepare(f, 640, 360, active).copy() for active, f in shown]
    assert np.abs(clip.pictures.astype(int) - np.stack(expected)).max() <= 3


def test_footage_that_changed_is_decoded_anew_and_other_footage_is_not(
    folder: Path, tmp_path: Path
) -> None:
    load(folder, tmp_path)
    stored = tmp_path / "cache" / "48x28" / "train" / "a.npy"
    before = stored.stat().st_mtime_ns
    load(folder, tmp_path)
    assert stored.stat().st_mtime_ns == before
    write_clip(folder, "a", LUMA[::-1], {"shot_fired": [0] * 6})
    clip = load(folder, tmp_path)
    assert clip.pictures[0].mean() > clip.pictures[2].mean()


def test_a_video_without_truth_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "b.mp4").write_bytes(b"")
    with pytest.raises(FootageError, match=r"b\.mp4: footage without truth"):
        load(folder, tmp_path)


def test_a_truth_of_another_video_is_refused(folder: Path, tmp_path: Path) -> None:
    write_clip(folder, "a", LUMA, {"shot_fired": [0] * 9})
    with pytest.raises(FootageError, match="has 6 pictures, its truth 9"):
        load(folder, tmp_path)


def test_batches_cover_everything_once() -> None:
    assert list(batches(5, 2)) == [slice(0, 2), slice(2, 4), slice(4, 5)]
