"""Scenario cards as a camera sees them: drawn as they are printed, tilted, small, noisy."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from agent.core.picture import LORES_HEIGHT, LORES_WIDTH
from agent.crypto.cards import sign_card
from agent.wire.declaration import Declaration
from firmware_tools.card_office import CardOffice
from firmware_tools.card_sheet import CardSheet

Luma = NDArray[np.uint8]
DECLARED = Declaration(
    scenario="hostage",
    environment="train",
    site="site-12",
    trainer="p-abcd2345",
    consents=("p-zzzz7777",),
)
_BLACK, _WHITE = 40.0, 215.0


def page(text: str, declared: Declaration = DECLARED) -> Image.Image:
    """The printed page of a QR text."""
    return CardSheet(text, declared, "test").image()


def lores(
    text: str,
    *,
    code_px: int = 140,
    tilt: float = 0.0,
    noise: float = 3.0,
    blur_px: float = 0.0,
    seed: int = 1,
) -> Luma:
    """A card in the model's picture, 640x360: its code is `code_px` wide before tilting. `tilt`: by
    this share the far edge is shorter than the near one."""
    printed = page(text)
    scale = code_px / (printed.width * 165 / 210)
    width, height = printed.width * scale, printed.height * scale
    left, top = (LORES_WIDTH - width) / 2, max(2.0, (LORES_HEIGHT - height) / 2)
    inset = width * tilt / 2
    near = [(left, top), (left + width, top + inset)]
    far = [(left + width, top + height - inset), (left, top + height)]
    rng = np.random.default_rng(seed)
    room = Image.fromarray(_room(rng))
    # Drawn four times as large and averaged, as a lens and a sensor do.
    corners = [(x * 4, y * 4) for x, y in (*near, *far)]
    size = (LORES_WIDTH * 4, LORES_HEIGHT * 4)
    paper = [(0, 0), (printed.width, 0), (printed.width, printed.height), (0, printed.height)]
    warp = _perspective(corners, paper)
    seen = printed.transform(size, Image.Transform.PERSPECTIVE, warp, Image.Resampling.BILINEAR)
    mask = Image.new("L", printed.size, 255).transform(
        size, Image.Transform.PERSPECTIVE, warp, Image.Resampling.NEAREST
    )
    small = (LORES_WIDTH, LORES_HEIGHT)
    dark = seen.resize(small, Image.Resampling.BOX).point(
        lambda value: _BLACK + (_WHITE - _BLACK) * value / 255
    )
    room.paste(dark, (0, 0), mask.resize(small, Image.Resampling.BOX))
    if blur_px:
        room = room.filter(ImageFilter.GaussianBlur(blur_px))
    picture = np.asarray(room, np.float64) + rng.normal(0, noise, (LORES_HEIGHT, LORES_WIDTH))
    clipped: Luma = np.clip(picture, 16, 235).astype(np.uint8)
    return clipped


def card_text(office: Path, declared: Declaration = DECLARED) -> str:
    """A card by the key of `office`."""
    return sign_card(declared, CardOffice(office).key)


def write_footage(path: Path, pictures: list[Luma | None], *, rate_hz: int = 15) -> Path:
    """MP4 footage 640x360 of these pictures, one a frame, GOPs of 1 s; None: the empty room."""
    empty = _room(np.random.default_rng(0))
    with av.open(str(path), "w", format="mp4", container_options={"movflags": "faststart"}) as out:
        stream = out.add_stream("libx264", rate=rate_hz)
        stream.width, stream.height, stream.pix_fmt = LORES_WIDTH, LORES_HEIGHT, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = rate_hz, 0
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"preset": "ultrafast", "crf": "20", "sc_threshold": "0"}
        for number, picture in enumerate(pictures):
            luma = empty if picture is None else picture
            grey = np.full((LORES_HEIGHT // 2, LORES_WIDTH), 128, np.uint8)
            frame = VideoFrame.from_ndarray(np.vstack([luma, grey]), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, rate_hz)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def _room(rng: np.random.Generator) -> Luma:
    """Walls and furniture: edges along lines."""
    picture = np.full((LORES_HEIGHT, LORES_WIDTH), 90, np.uint8)
    for _ in range(12):
        x, y = rng.integers(0, LORES_WIDTH - 40), rng.integers(0, LORES_HEIGHT - 40)
        width, height = rng.integers(30, 160, 2)
        picture[y : y + height, x : x + width] = rng.integers(30, 200)
    return picture


def _perspective(
    target: list[tuple[float, float]], source: list[tuple[float, float]]
) -> tuple[float, ...]:
    """Coefficients that Pillow wants: they map a point of the result to one of the source."""
    rows, values = [], []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return tuple(np.linalg.solve(np.array(rows, float), np.array(values, float)))
