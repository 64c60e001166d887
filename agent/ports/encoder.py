"""The encoder seam: raw I420 pictures in, H.264 packets out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from agent.errors import AgentError, EncoderError
from agent.ports.camera import Packet, RawFrame

T = TypeVar("T")


class Encoder(ABC):
    """H.264 without B-frames and without lookahead delay; a closed GOP opens every second.

    - `open(width, height, frame_rate_hz)` once; `name` afterwards says what really encodes.
    - `encode(frame)` returns the packets that became ready (usually exactly one), in order, Annex
      B, SPS/PPS in band at each keyframe. A frame of another size raises EncoderError.
    - `finish()` returns what was held back; then only `close()`. Each frame in is a packet out.
    """

    name: str = ""

    def __init__(self) -> None:
        self._size: tuple[int, int] | None = None

    def open(self, width: int, height: int, frame_rate_hz: float) -> None:
        if width % 2 or height % 2 or width <= 0 or height <= 0 or frame_rate_hz <= 0:
            raise EncoderError(
                f"encoder: {width}x{height} at {frame_rate_hz} Hz cannot be encoded",
                remedy="use even, positive sizes",
            )
        self._wrapped(lambda: self._open(width, height, frame_rate_hz))
        self._size = (width, height)

    def encode(self, frame: RawFrame) -> list[Packet]:
        if self._size != (frame.width, frame.height):
            raise EncoderError(
                f"encoder: opened for {self._size}, got a frame of {frame.width}x{frame.height}"
            )
        if len(frame.data) != frame.width * frame.height * 3 // 2:
            raise EncoderError(f"encoder: {len(frame.data)} bytes are no packed I420 frame")
        return self._wrapped(lambda: self._encode(frame))

    def finish(self) -> list[Packet]:
        return self._wrapped(self._finish)

    def close(self) -> None:
        self._size = None
        self._wrapped(self._close)

    def _wrapped(self, hook: Callable[[], T]) -> T:
        try:
            return hook()
        except AgentError:
            raise
        except Exception as exc:
            raise EncoderError(f"encoder failed ({exc})") from exc

    @abstractmethod
    def _open(self, width: int, height: int, frame_rate_hz: float) -> None: ...

    @abstractmethod
    def _encode(self, frame: RawFrame) -> list[Packet]: ...

    @abstractmethod
    def _finish(self) -> list[Packet]: ...

    @abstractmethod
    def _close(self) -> None: ...
