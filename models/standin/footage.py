"""Footage clips as the tagger would meet them: model pictures at the model's rate, with truth."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from agent.core.picture import Rect, fit_inside
from agent.core.preprocess import PicturePreparer

LORES_WIDTH, LORES_HEIGHT = 640, 360
TRAINING_CLIPS = ("01_building", "02_street", "03_train", "04_ferry")
HELD_OUT_CLIPS = ("05_train_other_look", "06_map", "07_building_720p")
EVENT_LABELS = frozenset({"shot_fired", "muzzle_flash"})


@dataclass(frozen=True)
class LoresClip:
    """One clip at the model's rate: `frames[i]` is raw I420 lores, `truth[label][i]` 1, 0 or -1."""

    name: str
    active: Rect
    pts_ns: NDArray[np.int64]
    frames: list[bytes]
    truth: dict[str, NDArray[np.int8]]


def read_clip(footage: Path, name: str, rate_hz: float) -> LoresClip:
    """Decode `name`.mp4 into lores I420 and pick the frame nearest to each model instant.

    An event is true on a model frame when it was true on any source frame since the one before.
    Raises OSError or ValueError when the clip or its truth cannot be read.
    """
    truth = json.loads((footage / f"{name}.truth.json").read_text(encoding="utf-8"))
    source_hz = float(truth["frame_rate_hz"])
    count = len(truth["frames"])
    picks = _nearest(count, source_hz, rate_hz)
    active, frames = _decode(footage / f"{name}.mp4", set(picks))
    missing = [i for i in picks if i not in frames]
    if missing:
        raise ValueError(
            f"{name}: the truth has {count} frames, the video lacks frame {missing[0]}"
        )
    labels = truth["frames"][0]["labels"].keys()
    rows = {id_: np.array([f["labels"][id_] for f in truth["frames"]], np.int8) for id_ in labels}
    return LoresClip(
        name=name,
        active=active,
        pts_ns=np.array([round(i * 1e9 / source_hz) for i in picks], np.int64),
        frames=[frames[i] for i in picks],
        truth={id_: _at_model_rate(id_, row, picks) for id_, row in rows.items()},
    )


def model_pictures(clip: LoresClip, height: int, width: int) -> NDArray[np.uint8]:
    """uint8 [n, height, width, 3]: the clip through the agent's own picture preparation."""
    preparer = PicturePreparer(height, width, "centre")
    pictures = np.empty((len(clip.frames), height, width, 3), np.uint8)
    for i, frame in enumerate(clip.frames):
        pictures[i] = preparer.prepare(frame, LORES_WIDTH, LORES_HEIGHT, clip.active)
    return pictures


def _nearest(count: int, source_hz: float, rate_hz: float) -> list[int]:
    ratio = Fraction(source_hz).limit_denominator(1000) / Fraction(rate_hz).limit_denominator(1000)
    picks: list[int] = []
    step = 0
    while (index := round(step * ratio)) < count:
        picks.append(index)
        step += 1
    return picks


def _decode(file: Path, wanted: set[int]) -> tuple[Rect, dict[int, bytes]]:
    frames: dict[int, bytes] = {}
    active = Rect(0, 0, LORES_WIDTH, LORES_HEIGHT)
    with av.open(str(file)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index not in wanted:
                continue
            active = fit_inside(frame.width, frame.height, LORES_WIDTH, LORES_HEIGHT)
            fitted = frame.reformat(active.width, active.height, "yuv420p", interpolation="AREA")
            frames[index] = _with_bars(np.asarray(fitted.to_ndarray(), np.uint8), active)
    return active, frames


def _with_bars(planes: NDArray[np.uint8], active: Rect) -> bytes:
    frame = np.empty(LORES_WIDTH * LORES_HEIGHT * 3 // 2, np.uint8)
    pixels, inside = LORES_WIDTH * LORES_HEIGHT, active.width * active.height
    frame[:pixels], frame[pixels:] = 16, 128
    flat = planes.reshape(-1)
    rows = slice(active.y, active.y + active.height)
    columns = slice(active.x, active.x + active.width)
    frame[:pixels].reshape(LORES_HEIGHT, LORES_WIDTH)[rows, columns] = flat[:inside].reshape(
        active.height, active.width
    )
    half_rows = slice(active.y // 2, (active.y + active.height) // 2)
    half_columns = slice(active.x // 2, (active.x + active.width) // 2)
    frame[pixels:].reshape(2, LORES_HEIGHT // 2, LORES_WIDTH // 2)[:, half_rows, half_columns] = (
        flat[inside:].reshape(2, active.height // 2, active.width // 2)
    )
    return frame.tobytes()


def _at_model_rate(label: str, row: NDArray[np.int8], picks: list[int]) -> NDArray[np.int8]:
    if label not in EVENT_LABELS:
        return row[picks]
    out = np.empty(len(picks), np.int8)
    before = -1
    for i, index in enumerate(picks):
        out[i] = row[before + 1 : index + 1].max()
        before = index
    return out
