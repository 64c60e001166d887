"""Small MP4 files made on the spot, for tests that need footage of a certain kind."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import VideoFrame

SHIPPED = Path(__file__).parent / "footage"


def write_mp4(
    path: Path,
    *,
    width: int = 160,
    height: int = 120,
    frame_rate_hz: int = 10,
    frames: int = 20,
    gop_frames: int = 10,
    b_frames: int = 0,
    codec: str = "libx264",
) -> Path:
    """A clip of a bar that moves down, H.264 in MP4 with its index in front."""
    options = {"movflags": "faststart"}
    with av.open(str(path), "w", format="mp4", container_options=options) as container:
        stream = container.add_stream(codec, rate=frame_rate_hz)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = gop_frames
        stream.codec_context.max_b_frames = b_frames
        stream.codec_context.thread_count = 1
        if codec == "libx264":
            stream.codec_context.options = {"sc_threshold": "0", "b_strategy": "0"}
        for number in range(frames):
            picture = picture_with_bar(width, height, number)
            picture.pts, picture.time_base = number, Fraction(1, frame_rate_hz)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def picture_with_bar(width: int, height: int, number: int) -> VideoFrame:
    """Dark grey with a light bar whose place says which frame it is."""
    picture = VideoFrame(width, height, "yuv420p")
    for index, plane in enumerate(picture.planes):
        rows = [bytearray([64 if index == 0 else 128]) * plane.line_size] * plane.height
        if index == 0:
            rows[number * 4 % height] = bytearray([235]) * plane.line_size
        plane.update(b"".join(rows))
    return picture


def i420(width: int, height: int, number: int) -> bytes:
    """The same picture as packed I420."""
    luma = bytearray(b"\x40" * (width * height))
    start = number * 4 % height * width
    luma[start : start + width] = b"\xeb" * width
    return bytes(luma) + b"\x80" * (width * height // 2)
