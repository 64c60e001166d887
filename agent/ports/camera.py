"""The camera seam: compressed packets for the recording, small pictures for the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

import msgspec

from agent.errors import AgentError, CameraError

T = TypeVar("T")


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the opened camera gives. `encoder` and `source` go into the label sheet as provenance;
    `pixel_format` of raw frames is always I420."""

    width: int
    height: int
    frame_rate_hz: float
    encoder: str
    source: str


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """One H.264 access unit, Annex B. A keyframe is an IDR that opens a closed GOP and carries
    SPS and PPS in band. No B-frames: packets come in presentation order, `pts_ns` strictly rising.
    `duration_ns` is the time to the next frame as far as known (the nominal period otherwise)."""

    pts_ns: int
    duration_ns: int
    data: bytes
    keyframe: bool


class LoresFrame(msgspec.Struct, frozen=True, kw_only=True):
    """640x360 I420, planes packed without padding (345,600 bytes), for the model.

    The picture is fitted into it without distortion; `active` (x, y, width, height in pixels, all
    even) is where it lies, the rest is black."""

    pts_ns: int
    data: bytes
    active: tuple[int, int, int, int]


class RawFrame(msgspec.Struct, frozen=True, kw_only=True):
    """A full picture, I420, planes packed without padding: width*height*3/2 bytes."""

    pts_ns: int
    width: int
    height: int
    data: bytes


class CameraLost(msgspec.Struct, frozen=True, kw_only=True):
    """The camera stalled or vanished at about `pts_ns`; the driver is reopening it by itself."""

    pts_ns: int
    cause: str


CameraItem = Packet | LoresFrame | CameraLost


class Camera(ABC):
    """A source of H.264 packets and lores frames.

    - `open()` once, then `read()` until `close()`; then it may be opened again. `open` raises
      CameraError (a leaf of it) with the remedy when the camera cannot give what was configured.
    - `read(timeout_s)` returns the next item in the order captured, or None when there was none in
      time. It is called from one thread. It never returns an item twice and never drops a packet:
      a driver that cannot keep up says CameraLost, or raises CameraError. So does one whose device
      failed; whoever reads then closes it and opens it again.
    - The first packet after `open` or after a CameraLost is a keyframe; one keyframe at least each
      second. Lores frames come at most at `lores_rate_hz` (given at construction).
    - `pts_ns` is CLOCK_BOOTTIME of the exposure; the driver converts.
    - `close()` is idempotent and frees the device.

    The public methods check and wrap; a driver implements the hooks `_open`, `_read`, `_close`.
    A camera that gives no packet for `stalls_after_s` is taken for stalled and opened again.
    """

    stalls_after_s: float = 1.5

    def __init__(self) -> None:
        self._opened = False
        self._last_pts_ns = -1
        self._need_keyframe = True

    def open(self) -> StreamInfo:
        if self._opened:
            raise CameraError("camera opened twice", remedy="close it first")
        info = self._wrapped(self._open)
        self._opened = True
        self._need_keyframe = True
        return info

    def read(self, timeout_s: float) -> CameraItem | None:
        if not self._opened:
            raise CameraError("camera read before open")
        item = self._wrapped(lambda: self._read(timeout_s))
        if isinstance(item, CameraLost):
            self._need_keyframe = True
        elif isinstance(item, Packet):
            self._check_packet(item)
        return item

    def close(self) -> None:
        if self._opened:
            self._opened = False
            self._wrapped(self._close)

    def _check_packet(self, packet: Packet) -> None:
        if self._need_keyframe and not packet.keyframe:
            raise CameraError("camera: the stream does not begin with a keyframe")
        if packet.pts_ns <= self._last_pts_ns:
            raise CameraError("camera: timestamps do not rise")
        self._need_keyframe = False
        self._last_pts_ns = packet.pts_ns

    def _wrapped(self, hook: Callable[[], T]) -> T:
        try:
            return hook()
        except AgentError:
            raise
        except Exception as exc:
            raise CameraError(
                f"camera failed ({exc})", remedy="see `sightline-agent doctor`"
            ) from exc

    @abstractmethod
    def _open(self) -> StreamInfo: ...

    @abstractmethod
    def _read(self, timeout_s: float) -> CameraItem | None: ...

    @abstractmethod
    def _close(self) -> None: ...
