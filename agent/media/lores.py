"""Fitting decoded pictures into packed I420 of one size: the model's frames, and scaled recordings.

swscale scales without holding the interpreter's lock; numpy is not needed, so a recorder never
pays for it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TypeAlias

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from agent.core.picture import Rect, fit_inside

# Black in limited range, which is what the whole product speaks (ITU-R BT.601, BT.709).
_BLACK_LUMA = 16
_BLACK_CHROMA = 128

# Offset and bytes a row of each plane of a picture; empty for a packed one.
Planes: TypeAlias = tuple[tuple[int, int], ...]


class PictureFitter:
    """Fits pictures of any size and pixel format into width x height I420, limited range.

    The aspect ratio of the pixels is kept, the picture is centred, what is left is black. A picture
    that has the size already is only packed. Not for use from two threads.
    """

    def __init__(self, width: int, height: int) -> None:
        """Raises ValueError when a side is odd or below 2: I420 halves both."""
        if width < 2 or height < 2 or width % 2 or height % 2:
            raise ValueError(f"a picture of {width}x{height}: both sides must be even")
        self._width, self._height = width, height
        self._scaler = VideoReformatter()
        self._packer = VideoCodecContext.create("rawvideo", "w")
        self._packer.width, self._packer.height = width, height
        self._packer.pix_fmt = "yuv420p"
        self._packer.time_base = Fraction(1, 90_000)
        luma = width * height
        self._black = bytes([_BLACK_LUMA]) * luma + bytes([_BLACK_CHROMA]) * (luma // 2)

    def fit(self, picture: VideoFrame) -> tuple[bytes, Rect]:
        """The packed picture (width * height * 3 / 2 bytes: Y, U, V) and where it lies in it."""
        rect = fit_inside(picture.width, picture.height, self._width, self._height)
        full_range = picture.color_range == ColorRange.JPEG or picture.format.name.startswith(
            "yuvj"
        )
        scaled = self._scaler.reformat(
            picture,
            width=rect.width,
            height=rect.height,
            format="yuv420p",
            interpolation=Interpolation.BILINEAR,
            src_color_range=ColorRange.JPEG if full_range else None,
            dst_color_range=ColorRange.MPEG if full_range else None,
            threads=1,
        )
        if (rect.width, rect.height) == (self._width, self._height):
            return self._packed(scaled), rect
        return self._with_bars(scaled, rect), rect

    def _packed(self, picture: VideoFrame) -> bytes:
        # The raw-video "encoder" strips the padding from the rows in C.
        return bytes(self._packer.encode(picture)[0])

    def _with_bars(self, picture: VideoFrame, rect: Rect) -> bytes:
        canvas = bytearray(self._black)
        start = 0
        for number, plane in enumerate(picture.planes):
            half = 1 if number == 0 else 2
            stride, rows = self._width // half, self._height // half
            source = memoryview(plane)
            left, top = rect.x // half, rect.y // half
            width, height = rect.width // half, rect.height // half
            for row in range(height):
                target = start + (top + row) * stride + left
                begin = row * plane.line_size
                canvas[target : target + width] = source[begin : begin + width]
            start += stride * rows
        return bytes(canvas)


class I420Fitter:
    """Fits I420 pictures as a library hands them out (planes at `planes`: offset and bytes a row,
    packed when empty) into packed I420 of width x height. Not for use from two threads."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._fitter = PictureFitter(width, height)
        self._unpacker: VideoCodecContext | None = None

    def fit(
        self, content: bytes, width: int, height: int, planes: Planes = ()
    ) -> tuple[bytes, Rect]:
        """The packed picture and where it lies in it. A picture of the size is not touched."""
        packed = self.packed(content, width, height, planes)
        if (width, height) == (self._width, self._height):
            return packed, Rect(0, 0, width, height)
        if self._unpacker is None or (self._unpacker.width, self._unpacker.height) != (
            width,
            height,
        ):
            # A raw-video "decoder" makes a picture of packed bytes without copying them.
            self._unpacker = VideoCodecContext.create("rawvideo", "r")
            self._unpacker.width, self._unpacker.height = width, height
            self._unpacker.pix_fmt = "yuv420p"
        return self._fitter.fit(self._unpacker.decode(Packet(packed))[0])

    @staticmethod
    def packed(content: bytes, width: int, height: int, planes: Planes = ()) -> bytes:
        """The three planes without padding. Raises ValueError when `content` is too short."""
        luma, chroma = width * height, width * height // 4
        size = luma + 2 * chroma
        dense = ((0, width), (luma, width // 2), (luma + chroma, width // 2))
        if not planes or planes == dense:
            if len(content) < size:
                raise ValueError(f"{len(content)} bytes are no I420 of {width}x{height}")
            return content if len(content) == size else content[:size]
        rows = []
        for number, (offset, stride) in enumerate(planes):
            half = 1 if number == 0 else 2
            if stride < width // half or len(content) < offset + stride * (height // half - 1):
                raise ValueError(f"{len(content)} bytes are no I420 of {width}x{height}")
            begins = range(offset, offset + stride * (height // half), stride)
            rows += [content[begin : begin + width // half] for begin in begins]
        return b"".join(rows)


class Pacer:
    """Picks frames at `rate_hz` by their pts, without drift.

    Time is cut into slots of 1/rate_hz from the first frame; the first frame in each slot is due.
    A frame that falls short of its slot by less than a quarter of `period_ns` (the source's own
    period) counts into it: rounding must not make the steady unsteady.
    """

    def __init__(self, rate_hz: float, period_ns: int) -> None:
        self._rate_hz = rate_hz
        self._tolerance_ns = period_ns // 4
        self._origin_ns: int | None = None
        self._slot = -1

    def is_due(self, pts_ns: int) -> bool:
        """Whether the frame at `pts_ns` is one to pick; ask once per frame, in order."""
        if self._origin_ns is None:
            self._origin_ns = pts_ns
        offset_ns = pts_ns - self._origin_ns + self._tolerance_ns
        slot = int(offset_ns * self._rate_hz // 1_000_000_000)
        if slot <= self._slot:
            return False
        self._slot = slot
        return True
