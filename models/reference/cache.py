"""Footage decoded once: model pictures, truth and boxes of each clip as arrays on the disk.

A clip's arrays are made again when its video or its truth changed. Pictures are memory-mapped, so
that a set larger than the memory trains as well.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from agent.core.picture import LORES_HEIGHT, LORES_WIDTH, fit_inside
from agent.errors import FootageError
from models.reference import recipe
from models.reference.boxes import box_bits
from models.reference.clips import (
    UNREADABLE,
    ClipFiles,
    at_model_rate,
    check_count,
    find_sets,
    model_instants,
    not_video,
    read_truth,
    unpaired,
)

Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class CachedClip:
    """One clip at the model's rate.

    `pictures` uint8 [n, height, width, 3]; `pts_ns` int64 [n]; `truth` int8 [n, labels] in
    1 | 0 | -1, in the order of the recipe; `boxes` uint8 [n, 28, 48], see `boxes.box_bits`.
    """

    name: str
    pictures: NDArray[np.uint8]
    pts_ns: NDArray[np.int64]
    truth: NDArray[np.int8]
    boxes: NDArray[np.uint8]


def load_set(folder: Path, cache: Path, size: Size) -> list[CachedClip]:
    """All clips of the set in `folder` at `size` (height, width), decoding those not cached yet.

    Raises FootageError: a clip that cannot be read, a video without truth or a truth without
    video, another number of pictures than the truth has.
    """
    for line in unpaired(folder):
        raise FootageError(line, remedy="add what is missing, or take the clip away")
    clips = [clip for found in find_sets(folder) for clip in found.clips if clip.folder == folder]
    store = cache / f"{size[1]}x{size[0]}" / folder.name
    store.mkdir(parents=True, exist_ok=True)
    stale = [clip for clip in clips if not _is_fresh(clip, store)]
    if len(stale) > 1:
        # Started anew, not forked: the training's threads are no threads of a decoder.
        with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
            done = [pool.submit(_decode, clip, store, size) for clip in stale]
            for each in done:
                each.result()
    else:
        for clip in stale:
            _decode(clip, store, size)
    return [_load(store, clip.name) for clip in clips]


def batches(count: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` that cover `count`."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _stamp(clip: ClipFiles) -> list[int]:
    return [n for f in (clip.video, clip.truth) for n in (f.stat().st_size, f.stat().st_mtime_ns)]


def _is_fresh(clip: ClipFiles, store: Path) -> bool:
    rows = store / f"{clip.name}.npz"
    if not rows.exists() or not (store / f"{clip.name}.npy").exists():
        return False
    with np.load(rows) as arrays:
        return bool(arrays["stamp"].tolist() == _stamp(clip))


def _decode(clip: ClipFiles, store: Path, size: Size) -> None:
    stamp = _stamp(clip)
    truth = read_truth(clip.truth)
    picks = model_instants(truth.frames, truth.rate_hz, recipe.RATE_HZ)
    document = json.loads(clip.truth.read_text(encoding="utf-8"))
    resolution = tuple(document.get("resolution", (1, 1)))
    boxes = [document["frames"][i].get("boxes", ()) for i in picks]
    unknown = np.full(truth.frames, -1, np.int8)
    columns = [
        at_model_rate(truth.labels.get(rule.id, unknown), picks, event=rule.kind == "event")
        for rule in recipe.LABELS
    ]
    arrays = {
        "stamp": np.array(stamp),
        "pts_ns": np.array([round(i * 1e9 / truth.rate_hz) for i in picks], np.int64),
        "truth": np.stack(columns, axis=1),
        "boxes": np.stack([box_bits(b, resolution, recipe.HEIGHT, recipe.WIDTH) for b in boxes]),
    }
    pictures = _pictures(clip, truth.frames, picks, size)
    _replace(store / f"{clip.name}.npy", pictures)
    _replace(store / f"{clip.name}.npz", arrays)


def _pictures(clip: ClipFiles, expected: int, picks: list[int], size: Size) -> NDArray[np.uint8]:
    """The picked frames at `size`, by the camera's way: to lores first, then by area.

    OpenCV and not the agent's own preparation, which is three times as slow: they differ by
    rounding. Evaluation goes through the agent's.
    """
    height, width = size
    row_of = {index: row for row, index in enumerate(picks)}
    pictures = np.empty((len(picks), height, width, 3), np.uint8)
    count = 0
    try:
        with av.open(str(clip.video)) as container:
            for frame in container.decode(video=0):
                if count in row_of:
                    part = fit_inside(frame.width, frame.height, LORES_WIDTH, LORES_HEIGHT)
                    rgb = frame.to_ndarray(format="rgb24")
                    how = cv2.INTER_AREA if part.width < frame.width else cv2.INTER_LINEAR
                    lores = cv2.resize(rgb, (part.width, part.height), interpolation=how)
                    target = pictures[row_of[count]]
                    cv2.resize(lores, (width, height), dst=target, interpolation=cv2.INTER_AREA)
                count += 1
    except UNREADABLE as exc:
        raise not_video(clip, exc) from exc
    check_count(clip, count, expected)
    return pictures


def _replace(file: Path, content: Any) -> None:
    """A cache may be lost, but a half-written file must not pass for one: write, then rename."""
    part = file.with_name(f".{file.name}")
    with part.open("wb") as sink:
        if isinstance(content, dict):
            np.savez_compressed(sink, **content)
        else:
            np.save(sink, content)
    part.replace(file)


def _load(store: Path, name: str) -> CachedClip:
    with np.load(store / f"{name}.npz") as rows:
        return CachedClip(
            name=name,
            pictures=np.load(store / f"{name}.npy", mmap_mode="r"),
            pts_ns=rows["pts_ns"],
            truth=rows["truth"],
            boxes=rows["boxes"],
        )
