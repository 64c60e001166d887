"""What a body-worn camera does to pictures, to see how much of a model is left: seven degradations
of two strengths each, seeded, on RGB pictures of a clip in order.

The truth stays what it was: a person behind dirt is still there. Strengths are chosen by eye, mild
as on a bad day, strong as on a very bad one; they are not fitted to any camera.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Literal, TypeAlias

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from agent.core.picture import Rect
from models.reference.clips import planes_of, with_bars

Rgb: TypeAlias = NDArray[np.uint8]
Strength = Literal["mild", "strong"]
Degradation: TypeAlias = Callable[[Iterator[Rgb], bool, float, np.random.Generator], Iterator[Rgb]]
STRENGTHS: tuple[Strength, ...] = ("mild", "strong")
# sRGB's curve, near enough: light is 2.2th power of the byte.
_GAMMA = 2.2
_LINEAR = (np.arange(256) / 255.0).astype(np.float32) ** np.float32(_GAMMA)


def degrade(
    name: str,
    strength: Strength,
    frames: Iterator[tuple[Rect, NDArray[np.uint8]]],
    *,
    rate_hz: float,
    seed: int,
) -> Iterator[NDArray[np.uint8]]:
    """Lores frames as `clips.stream_video` gives them, as many and in the same order, degraded.

    The same `seed` and frames give the same pictures. `name` is one of DEGRADATIONS.
    """
    random = np.random.default_rng([seed, zlib.crc32(name.encode()), STRENGTHS.index(strength)])
    actives: list[Rect] = []

    def pictures() -> Iterator[Rgb]:
        for active, frame in frames:
            actives.append(active)
            yield _to_rgb(frame, active)

    for picture in DEGRADATIONS[name](pictures(), strength == "strong", rate_hz, random):
        yield _to_lores(picture, actives[0])


def _to_rgb(frame: NDArray[np.uint8], active: Rect) -> Rgb:
    packed = np.concatenate([plane.reshape(-1) for plane in planes_of(frame, active)])
    i420 = packed.reshape(active.height * 3 // 2, active.width)
    return np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420), np.uint8)


def _to_lores(picture: Rgb, active: Rect) -> NDArray[np.uint8]:
    return with_bars(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), np.uint8), active)


def _grid(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    return rows, columns


def _lens(
    frames: Iterator[Rgb], strong: bool, rate_hz: float, random: np.random.Generator
) -> Iterator[Rgb]:
    """Barrel distortion of a wide lens; the corners stay where they are."""
    bulge = 0.6 if strong else 0.25
    maps: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    for frame in frames:
        if maps is None:
            height, width = frame.shape[:2]
            rows, columns = _grid(height, width)
            y, x = rows - (height - 1) / 2, columns - (width - 1) / 2
            radius2 = (x * x + y * y) / ((width / 2) ** 2 + (height / 2) ** 2)
            stretch = (1 + bulge * radius2) / (1 + bulge)
            maps = (x * stretch + (width - 1) / 2, y * stretch + (height - 1) / 2)
        yield np.asarray(cv2.remap(frame, *maps, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE))


def _motion(
    frames: Iterator[Rgb], strong: bool, rate_hz: float, random: np.random.Generator
) -> Iterator[Rgb]:
    """A shaking mount: the rows of a picture are read one after another while it moves (rolling
    shutter), and each is smeared over the time of its exposure. The speed is that of the picture
    itself, by phase correlation with the one before, and of the shaking."""
    amplitude, exposure, readout = (10.0, 0.9, 0.9) if strong else (4.0, 0.5, 0.7)
    before: NDArray[np.float32] | None = None
    shake, speed = np.zeros(2), np.zeros(2)
    for frame in frames:
        height, width = frame.shape[:2]
        small = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (160, 120)).astype(np.float32)
        moved = np.zeros(2)
        if before is not None:
            (dx, dy), peak = cv2.phaseCorrelate(before, small)
            if peak > 0.1 and abs(dx) < 40 and abs(dy) < 30:  # else a cut, or nothing to hold on to
                moved = np.array([dx * width / 160, dy * height / 120])
        before = small
        # A damped spring that is kicked: 2 to 5 Hz at usual rates.
        speed = 0.7 * speed - 0.25 * shake + random.normal(0.0, amplitude / 3, 2)
        shake = shake + speed
        velocity = moved + speed
        rows, columns = _grid(height, width)
        progress = (rows / height - 0.5) * readout
        map_x = columns + np.float32(shake[0]) + progress * np.float32(velocity[0])
        map_y = rows + np.float32(shake[1]) + progress * np.float32(velocity[1])
        sheared = cv2.remap(frame, map_x, map_y, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
        yield _smeared(np.asarray(sheared, np.uint8), velocity * exposure)


def _smeared(picture: Rgb, along: NDArray[np.float64]) -> Rgb:
    length = int(min(np.hypot(*along), 41.0)) | 1
    if length < 3:
        return picture
    kernel = np.zeros((length, length), np.float32)
    middle, direction = length // 2, along / np.hypot(*along) * (length // 2)
    ends = [
        (round(middle + sign * direction[0]), round(middle + sign * direction[1]))
        for sign in (-1, 1)
    ]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1)
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), np.uint8)


def _dark(
    frames: Iterator[Rgb], strong: bool, rate_hz: float, random: np.random.Generator
) -> Iterator[Rgb]:
    """Little light: the sensor counts few photons, amplifies what it has and its own noise."""
    light, gain, full_well, read_noise = (
        (0.12, 4.0, 250.0, 2.5) if strong else (0.3, 2.2, 800.0, 2.0)
    )
    noise: list[NDArray[np.float32]] = []
    for frame in frames:
        if not noise:
            noise = [random.standard_normal(frame.shape, np.float32) for _ in range(4)]
        photons = _LINEAR[frame] * np.float32(light * full_well)
        field = np.roll(
            noise[int(random.integers(4))], int(random.integers(frame.shape[0])), axis=0
        )
        photons += field * np.sqrt(photons + np.float32(read_noise**2))
        seen = np.clip(photons * np.float32(gain / full_well), 0.0, 1.0)
        yield _to_bytes(seen)


def _to_bytes(light: NDArray[np.float32]) -> Rgb:
    return _CURVE[(light * np.float32(len(_CURVE) - 1)).astype(np.uint16)]


_CURVE = np.round((np.arange(4096) / 4095.0) ** (1 / _GAMMA) * 255.0).astype(np.uint8)


def _hunting(
    frames: Iterator[Rgb], strong: bool, rate_hz: float, random: np.random.Generator
) -> Iterator[Rgb]:
    """An automatic exposure that overshoots: brightness swings and jumps."""
    stops = 1.8 if strong else 0.8
    phase = float(random.uniform(0.0, 2 * np.pi))
    jump = 0.0
    for number, frame in enumerate(frames):
        if random.random() < 0.4 / rate_hz:  # a door, a window: every few seconds
            jump = float(random.choice([-1.0, 1.0])) * stops
        jump *= float(np.exp(-1.0 / (0.7 * rate_hz)))
        swing = stops * 0.6 * np.sin(2 * np.pi * 0.8 * number / rate_hz + phase)
        gain = np.float32(2.0 ** (swing + jump))
        table = _to_bytes(np.clip(_LINEAR * gain, 0.0, 1.0))
        yield table[frame]


def _bitrate(
    frames: Iterator[Rgb], strong: bool, rate_hz: float, random: np.random.Generator
) -> Iterator[Rgb]:
    """Through H.264 and back, at a bitrate that does not do."""
    bits = 150_000 if strong else 400_000
    rate = Fraction(rate_hz).limit_denominator(1000)
    encoder = av.CodecContext.create("libx264", "w")
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = encoder.thread_count = 1
    opened = False
    for number, frame in enumerate(frames):
        if not opened:
            encoder.width, encoder.height = frame.shape[1], frame.shape[0]
            encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", rate, 1 / rate
            encoder.bit_rate, encoder.gop_size = bits, round(rate_hz)
            encoder.options = {
                "preset": "veryfast",
                "tune": "zerolatency",
                "maxrate": str(bits),
                "bufsize": str(bits // 2),
            }
            opened = True
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p")
        picture.pts, picture.time_base = number, 1 / rate
        for packet in encoder.encode(picture):
            yield from _decoded(decoder, packet)
    if opened:
        for packet in encoder.encode(None):
            yield from _decoded(decoder, packet)
        yield from _decoded(decoder, None)


def _decoded(decoder: av.VideoCodecContext, packet: av.Packet | None) -> Iterator[Rgb]:
    for picture in decoder.decode(packet):
        yield np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)


def _dirt(
    frames: Iterator[Rgb], strong: bool, rate_hz: float, random: np.random.Generator
) -> Iterator[Rgb]:
    """Spots on the glass, out of focus, and a strap or a sleeve over one edge."""
    spots, opacity, cover = (14, 0.85, 0.28) if strong else (6, 0.6, 0.12)
    veil: NDArray[np.float32] | None = None
    colour = np.zeros(0, np.float32)
    for frame in frames:
        if veil is None:
            height, width = frame.shape[:2]
            veil = np.zeros((height, width), np.float32)
            for _ in range(spots):
                centre = (int(random.integers(width)), int(random.integers(height)))
                axes = tuple(int(a) for a in random.uniform(0.015, 0.06, 2) * width)
                cv2.ellipse(veil, centre, axes, float(random.uniform(0, 180)), 0, 360, opacity, -1)
            edge = int(random.integers(4))
            rows, columns = _grid(height, width)
            depth = [rows / height, 1 - rows / height, columns / width, 1 - columns / width][edge]
            veil = np.maximum(cv2.GaussianBlur(veil, (0, 0), width * 0.008), 0.0)
            veil = np.maximum(veil, np.clip((cover - depth) / 0.03 + 0.5, 0.0, 1.0))[..., None]
            colour = random.uniform(20.0, 70.0, 3).astype(np.float32)
        yield (frame + veil * (colour - frame)).astype(np.uint8)


def _tilt(
    frames: Iterator[Rgb], strong: bool, rate_hz: float, random: np.random.Generator
) -> Iterator[Rgb]:
    """A mount that hangs askew, one way for the whole clip."""
    angle = float(random.choice([-1.0, 1.0])) * (22.0 if strong else 9.0)
    for frame in frames:
        height, width = frame.shape[:2]
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
        turned = cv2.warpAffine(
            frame, turn, (width, height), None, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
        )
        yield np.asarray(turned, np.uint8)


DEGRADATIONS: dict[str, Degradation] = {
    "lens": _lens,
    "motion": _motion,
    "dark": _dark,
    "hunting": _hunting,
    "bitrate": _bitrate,
    "dirt": _dirt,
    "tilt": _tilt,
}
# The others give the same whatever the rate: pictures that no model will see can be left out.
NEED_EVERY_PICTURE = frozenset({"motion", "bitrate"})
