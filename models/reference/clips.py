"""Folders of footage with truth: `NAME.mp4` beside `NAME.truth.json`, in sets of one folder each.

The truth of a clip, as JSON: `frame_rate_hz`, `resolution` [width, height], and `frames`, one entry
a picture of the video in order, each with `labels` {id: 1 | 0 | -1} (-1: not known, left out of
training and scoring). Optional: `origin` {"site": ..., "session": ..., "person": ...}, which says
what clips have in common (see `models.reference.splits`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import av
import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.core.picture import LORES_HEIGHT, LORES_WIDTH, Rect, fit_inside
from agent.errors import FootageError

TRUTH_SUFFIX = ".truth.json"


class TruthFrame(msgspec.Struct, frozen=True):
    """One picture's truth; more fields, such as boxes, may stand beside."""

    labels: dict[str, int]


class TruthFile(msgspec.Struct, frozen=True):
    """What a truth file must hold."""

    frame_rate_hz: Annotated[float, msgspec.Meta(gt=0, le=240)]
    frames: Annotated[tuple[TruthFrame, ...], msgspec.Meta(min_length=1)]
    origin: dict[str, str | int] = {}


@dataclass(frozen=True)
class Truth:
    """Truth of one clip at the rate of its source: `labels[id]` int8 [frames] of 1, 0 or -1."""

    rate_hz: float
    labels: dict[str, NDArray[np.int8]]
    origin: dict[str, str]

    @property
    def frames(self) -> int:
        return len(next(iter(self.labels.values())))


@dataclass(frozen=True, order=True)
class ClipFiles:
    """Where a clip lies; `name` is the file name without its ending."""

    folder: Path
    name: str

    @property
    def video(self) -> Path:
        return self.folder / f"{self.name}.mp4"

    @property
    def truth(self) -> Path:
        return self.folder / f"{self.name}{TRUTH_SUFFIX}"


@dataclass(frozen=True)
class FootageSet:
    """The clips of one folder that have both video and truth, by name."""

    name: str
    folder: Path
    clips: tuple[ClipFiles, ...]


def find_sets(folder: Path) -> list[FootageSet]:
    """The sets in `folder`: each subfolder with footage, and the folder itself if it holds some.

    Raises FootageError when the folder is not there or nothing in it has both video and truth.
    """
    sets = []
    for each in _folders(folder):
        clips = [clip for clip in _clips(each) if clip.video.is_file() and clip.truth.is_file()]
        if clips:
            sets.append(FootageSet(each.resolve().name, each, tuple(clips)))
    if not sets:
        raise FootageError(
            f"{folder} holds no NAME.mp4 with a NAME{TRUTH_SUFFIX} beside it",
            remedy="see docs/train-your-own.md for the format",
        )
    return sets


def unpaired(folder: Path) -> list[str]:
    """One line for each video without truth and each truth without video."""
    lines = []
    for each in _folders(folder):
        for clip in _clips(each):
            if not clip.truth.is_file():
                lines.append(f"{clip.video}: footage without truth ({clip.truth.name} is missing)")
            elif not clip.video.is_file():
                lines.append(f"{clip.truth}: truth without footage ({clip.video.name} is missing)")
    return lines


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FootageError(f"{folder} is no folder", remedy="give the folder of the footage")
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    return [folder, *(path for path in inside if not path.name.startswith("."))]


def _clips(folder: Path) -> list[ClipFiles]:
    """All that has a video or a truth, by name. Hidden files are being written, or another's."""
    names = {path.stem for path in folder.glob("*.mp4")}
    names |= {path.name.removesuffix(TRUTH_SUFFIX) for path in folder.glob(f"*{TRUTH_SUFFIX}")}
    return [ClipFiles(folder, name) for name in sorted(names) if not name.startswith(".")]


def read_truth(file: Path) -> Truth:
    """Read and check a truth file. Raises FootageError: not readable, not of the format, labels
    that come and go, a value other than 1, 0 and -1."""
    try:
        raw = msgspec.json.decode(file.read_bytes(), type=TruthFile)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise FootageError(f"{file} is no truth file ({reason})", remedy="mend it") from exc
    ids = raw.frames[0].labels.keys()
    if not ids:
        raise FootageError(f"{file} has no labels", remedy="mend it, or take the clip away")
    table = np.empty((len(raw.frames), len(ids)), np.int8)
    for number, frame in enumerate(raw.frames):
        if frame.labels.keys() != ids:
            other = sorted(frame.labels.keys() ^ ids)[0]
            raise FootageError(
                f"{file}: frame {number} and frame 0 do not have the same labels ({other})",
                remedy="give every label on every frame; -1 where it is not known",
            )
        row = [frame.labels[id_] for id_ in ids]
        if not set(row) <= {-1, 0, 1}:
            raise FootageError(
                f"{file}: frame {number} has a label that is not 1, 0 or -1", remedy="mend it"
            )
        table[number] = row
    return Truth(
        rate_hz=raw.frame_rate_hz,
        labels={id_: table[:, i] for i, id_ in enumerate(ids)},
        origin={key: str(value) for key, value in raw.origin.items()},
    )


def count_pictures(file: Path) -> tuple[int, float]:
    """Pictures in a video, by its packets, and how many a second (0.0: not said). Quick: nothing is
    decoded. Raises FootageError."""
    try:
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            rate_hz = float(stream.average_rate or 0)
            return sum(packet.size > 0 for packet in container.demux(stream)), rate_hz
    except (av.FFmpegError, OSError, IndexError) as exc:
        raise FootageError(f"{file} cannot be read as video ({exc})", remedy="mend it") from exc


def stream_video(
    clip: ClipFiles, expected: int, wanted: Collection[int] | None = None
) -> Iterator[tuple[Rect, NDArray[np.uint8]]]:
    """Decode a clip into the camera's low-resolution stream: I420 of 640x360 as uint8 [540, 640],
    black bars outside the rectangle that comes with it. With `wanted`, only the pictures of these
    numbers are given, in order.

    Raises FootageError when the video cannot be read or has not `expected` pictures.
    """
    count = 0
    try:
        with av.open(str(clip.video)) as container:
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode(video=0):
                if wanted is None or count in wanted:
                    active = fit_inside(frame.width, frame.height, LORES_WIDTH, LORES_HEIGHT)
                    yield active, _lores(frame, active)
                count += 1
    except UNREADABLE as exc:
        raise not_video(clip, exc) from exc
    check_count(clip, count, expected)


# What PyAV raises over a file that is no video, or damaged.
UNREADABLE = (av.FFmpegError, OSError, IndexError)


def not_video(clip: ClipFiles, cause: BaseException) -> FootageError:
    """The refusal of a video that cannot be read."""
    return FootageError(f"{clip.video} cannot be read as video ({cause})", remedy="mend it")


def check_count(clip: ClipFiles, count: int, expected: int) -> None:
    """Raises FootageError unless the video has as many pictures as its truth."""
    if count != expected:
        raise FootageError(
            f"{clip.video} has {count} pictures, its truth {expected}",
            remedy="make the truth anew from this very video",
        )


def _lores(frame: av.VideoFrame, active: Rect) -> NDArray[np.uint8]:
    fitted = frame.reformat(active.width, active.height, "yuv420p", interpolation="AREA")
    return with_bars(np.asarray(fitted.to_ndarray(), np.uint8), active)


def with_bars(planes: NDArray[np.uint8], active: Rect) -> NDArray[np.uint8]:
    """An I420 picture of the size of `active` put into a black lores frame."""
    frame = np.empty(LORES_WIDTH * LORES_HEIGHT * 3 // 2, np.uint8)
    pixels, inside = LORES_WIDTH * LORES_HEIGHT, active.width * active.height
    frame[:pixels], frame[pixels:] = 16, 128
    flat = planes.reshape(-1)
    for target, source in zip(
        planes_of(frame, active), _planes(flat, active.width, active.height, inside), strict=True
    ):
        target[...] = source
    return frame.reshape(LORES_HEIGHT * 3 // 2, LORES_WIDTH)


def planes_of(frame: NDArray[np.uint8], active: Rect) -> Iterator[NDArray[np.uint8]]:
    """Y, U and V of a lores frame's active part, as views."""
    whole = _planes(frame.reshape(-1), LORES_WIDTH, LORES_HEIGHT, LORES_WIDTH * LORES_HEIGHT)
    for plane, half in zip(whole, (1, 2, 2), strict=True):
        rows = slice(active.y // half, (active.y + active.height) // half)
        columns = slice(active.x // half, (active.x + active.width) // half)
        yield plane[rows, columns]


def _planes(
    flat: NDArray[np.uint8], width: int, height: int, pixels: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    chroma = flat[pixels:].reshape(2, height // 2, width // 2)
    return flat[:pixels].reshape(height, width), chroma[0], chroma[1]


def model_instants(count: int, source_hz: float, rate_hz: float) -> list[int]:
    """Numbers of the source pictures nearest to the model's instants, `rate_hz` a second."""
    ratio = Fraction(source_hz).limit_denominator(1000) / Fraction(rate_hz).limit_denominator(1000)
    picks: list[int] = []
    step = 0
    while (index := round(step * ratio)) < count:
        if not picks or index > picks[-1]:
            picks.append(index)
        step += 1
    return picks


def at_model_rate(row: NDArray[np.int8], picks: list[int], *, event: bool) -> NDArray[np.int8]:
    """One label's truth on the picked pictures. An event is true when it was true on any source
    picture since the pick before."""
    if not event:
        return row[picks]
    starts = [0, *(pick + 1 for pick in picks[:-1])]
    spans = zip(starts, picks, strict=True)
    return np.array([row[start : pick + 1].max() for start, pick in spans], np.int8)
