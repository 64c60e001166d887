"""Clips with truth made on the spot: grey pictures whose brightness is the truth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np

RATE_HZ = 30
WIDTH, HEIGHT = 96, 64


def write_clip(
    folder: Path,
    name: str,
    luma: Sequence[int],
    labels: Mapping[str, Sequence[int]],
    origin: Mapping[str, str] | None = None,
) -> None:
    """`NAME.mp4` with one grey picture for each number in `luma`, and `NAME.truth.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    with av.open(str(folder / f"{name}.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=RATE_HZ, options={"crf": "1", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        for pts, level in enumerate(luma):
            planes = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
            planes[:HEIGHT] = level
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = pts
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    write_truth(folder, name, labels, origin)


def write_truth(
    folder: Path,
    name: str,
    labels: Mapping[str, Sequence[int]],
    origin: Mapping[str, str] | None = None,
) -> None:
    """`labels`: id -> one number a picture."""
    count = len(next(iter(labels.values())))
    truth = {
        "frame_rate_hz": RATE_HZ,
        "resolution": [WIDTH, HEIGHT],
        "frames": [
            {"frame": i, "labels": {id_: row[i] for id_, row in labels.items()}}
            for i in range(count)
        ],
    }
    if origin is not None:
        truth["origin"] = dict(origin)
    (folder / f"{name}.truth.json").write_text(json.dumps(truth), encoding="utf-8")
