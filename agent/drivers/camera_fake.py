"""A camera without a lens or a thread: small, real H.264, at times that a test decides."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from agent import config
from agent.core.picture import LORES_HEIGHT, LORES_WIDTH
from agent.drivers.encoder_x264 import X264Encoder
from agent.media.lores import Pacer
from agent.ports.camera import (
    Camera,
    CameraItem,
    CameraLost,
    LoresFrame,
    Packet,
    RawFrame,
    StreamInfo,
)
from agent.ports.clock import Clock

_NS_PER_S = 1_000_000_000
# Each picture for the model has one shade of grey, none of them black.
_DARKEST, _SHADES = 32, 200


class FakeCamera(Camera):
    """Gives a moving bar, `frame_rate_hz` frames a second from the time of `open`, one closed GOP
    a second; every GOP holds the same pictures.

    `read` returns what is due by `clock`. When nothing is due it calls `wait(seconds)` once, for at
    most its timeout (a manual clock's `advance`, for one), and looks again; without `wait` it
    returns None at once. `lose(cause)` makes the next item a CameraLost; the stream then begins
    anew, at the next frame, with a keyframe.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        width: int = 160,
        height: int = 120,
        frame_rate_hz: int = 10,
        lores_rate_hz: float = 5.0,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        super().__init__()
        self._clock = clock
        self._width, self._height = width, height
        self._frame_rate_hz = frame_rate_hz
        self._lores_rate_hz = lores_rate_hz
        self._wait = wait
        self._gop: list[Packet] = []
        self._pacer = Pacer(lores_rate_hz, 0)
        self._items: deque[CameraItem] = deque()
        self._start_pts_ns = 0
        self._frame_number = 0
        self._gop_position = 0
        self.frames_captured = 0

    def lose(self, cause: str) -> None:
        """The camera vanishes now and comes back with the next frame."""
        self._items.append(CameraLost(pts_ns=self._next_pts_ns(), cause=cause))
        self._gop_position = 0

    def _open(self) -> StreamInfo:
        encoder = X264Encoder(config.Encoder(bitrate_kbps=100))
        self._gop = _one_gop(encoder, self._width, self._height, self._frame_rate_hz)
        self._pacer = Pacer(self._lores_rate_hz, _NS_PER_S // self._frame_rate_hz)
        self._start_pts_ns = self._clock.boot_ns()
        self._frame_number = self._gop_position = 0
        return StreamInfo(
            width=self._width,
            height=self._height,
            frame_rate_hz=float(self._frame_rate_hz),
            encoder=encoder.name,
            source="fake",
        )

    def _read(self, timeout_s: float) -> CameraItem | None:
        if not self._items and not self._capture() and self._wait is not None:
            ahead_s = (self._next_pts_ns() - self._clock.boot_ns()) / _NS_PER_S
            self._wait(min(timeout_s, ahead_s))
            self._capture()
        return self._items.popleft() if self._items else None

    def _close(self) -> None:
        self._items.clear()

    def _next_pts_ns(self) -> int:
        return self._start_pts_ns + self._frame_number * _NS_PER_S // self._frame_rate_hz

    def _capture(self) -> bool:
        pts_ns = self._next_pts_ns()
        if self._clock.boot_ns() < pts_ns:
            return False
        encoded = self._gop[self._gop_position]
        self._frame_number += 1
        self._gop_position = (self._gop_position + 1) % len(self._gop)
        self.frames_captured += 1
        self._items.append(
            Packet(
                pts_ns=pts_ns,
                duration_ns=self._next_pts_ns() - pts_ns,
                data=encoded.data,
                keyframe=encoded.keyframe,
            )
        )
        if self._pacer.is_due(pts_ns):
            active = (0, 0, LORES_WIDTH, LORES_HEIGHT)
            shade = _DARKEST + self._frame_number % _SHADES
            grey = bytes([shade]) * (LORES_WIDTH * LORES_HEIGHT * 3 // 2)
            self._items.append(LoresFrame(pts_ns=pts_ns, data=grey, active=active))
        return True


def _one_gop(encoder: X264Encoder, width: int, height: int, frame_rate_hz: int) -> list[Packet]:
    encoder.open(width, height, float(frame_rate_hz))
    packets: list[Packet] = []
    for number in range(frame_rate_hz):
        luma = bytearray(b"\x40" * (width * height))
        top = number * height // frame_rate_hz * width
        luma[top : top + width] = b"\xeb" * width
        chroma = b"\x80" * (width * height // 2)
        pts_ns = number * _NS_PER_S // frame_rate_hz
        picture = RawFrame(pts_ns=pts_ns, width=width, height=height, data=bytes(luma) + chroma)
        packets += encoder.encode(picture)
    packets += encoder.finish()
    encoder.close()
    return packets
