"""Footage clips as the tagger would meet them: model pictures at the model's rate, with truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.core.picture import LORES_HEIGHT, LORES_WIDTH, Rect
from agent.core.preprocess import PicturePreparer
from models.reference import clips
from models.reference.clips import ClipFiles, model_instants, read_truth, stream_video

TRAINING_CLIPS = ("01_building", "02_street", "03_train", "04_ferry")
HELD_OUT_CLIPS = ("05_train_other_look", "06_map", "07_building_720p")
EVENT_LABELS = frozenset({"shot_fired", "muzzle_flash"})


@dataclass(frozen=True)
class LoresClip:
    """One clip at the model's rate: `frames[i]` is raw I420 lores, `truth[label][i]` 1, 0 or -1."""

    name: str
    active: Rect
    pts_ns: NDArray[np.int64]
    frames: list[NDArray[np.uint8]]
    truth: dict[str, NDArray[np.int8]]


def read_clip(footage: Path, name: str, rate_hz: float) -> LoresClip:
    """Decode `name`.mp4 into lores I420 and pick the frame nearest to each model instant.

    An event is true on a model frame when it was true on any source frame since the one before.
    Raises FootageError when the clip or its truth cannot be read or do not agree.
    """
    files = ClipFiles(footage, name)
    truth = read_truth(files.truth)
    picks = model_instants(truth.frames, truth.rate_hz, rate_hz)
    video = list(stream_video(files, truth.frames, set(picks)))
    return LoresClip(
        name=name,
        active=video[0][0],
        pts_ns=np.array([round(i * 1e9 / truth.rate_hz) for i in picks], np.int64),
        frames=[frame for _, frame in video],
        truth={id_: at_model_rate(id_, row, picks) for id_, row in truth.labels.items()},
    )


def at_model_rate(label: str, row: NDArray[np.int8], picks: list[int]) -> NDArray[np.int8]:
    """`row`, one number a source frame, at the picked frames: an event since the one before."""
    return clips.at_model_rate(row, picks, event=label in EVENT_LABELS)


def model_pictures(clip: LoresClip, height: int, width: int) -> NDArray[np.uint8]:
    """uint8 [n, height, width, 3]: the clip through the agent's own picture preparation."""
    preparer = PicturePreparer(height, width, "centre")
    pictures = np.empty((len(clip.frames), height, width, 3), np.uint8)
    for i, frame in enumerate(clip.frames):
        pictures[i] = preparer.prepare(frame, LORES_WIDTH, LORES_HEIGHT, clip.active)
    return pictures
