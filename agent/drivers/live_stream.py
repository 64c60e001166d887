"""From a live camera's threads to its reader: a lens does not wait, so neither does this."""

from __future__ import annotations

import threading
from collections import deque

from agent.errors import CameraError
from agent.media.access_unit import opens_gop
from agent.ports.camera import CameraItem, LoresFrame, Packet

# The reader waits for nothing but its own queue; footage that it did not take in this time, at
# 30 frames and 15 pictures a second, is 12 MB at 8 Mbit/s and 10 pictures.
MOST_PACKETS = 300
MOST_PICTURES = 10
_NS_PER_S = 1_000_000_000
# A GOP opens each second; the source may be this late with it.
LONGEST_GOP_NS = 1_500_000_000


class LiveStream:
    """Takes packets and pictures from any thread; `get` is for the reader's.

    - Packets before the first keyframe are left out: a decoder could not begin there.
    - Pictures that nobody takes are dropped, oldest first. Packets never are: with MOST_PACKETS
      waiting, or with no keyframe for LONGEST_GOP_NS, the stream fails.
    - Once failed (or told so by `fail`) it gives what it still has, then raises the failure as
      CameraError at every `get`.
    """

    def __init__(self, gop_remedy: str) -> None:
        """`gop_remedy`: what makes this source open a GOP each second, for the error's line."""
        self._gop_remedy = gop_remedy
        self._items: deque[CameraItem] = deque()
        self._changed = threading.Condition()
        self._packets = self._pictures = 0
        self._gop_ns: int | None = None
        self._failure: CameraError | None = None
        self._closed = False

    def put_packet(self, packet: Packet) -> None:
        with self._changed:
            if self._closed or self._failure is not None or not self._fits(packet):
                return
            self._packets += 1
            self._items.append(packet)
            self._changed.notify_all()

    def put_picture(self, picture: LoresFrame) -> None:
        with self._changed:
            if self._closed or self._failure is not None or self._gop_ns is None:
                return
            if self._pictures >= MOST_PICTURES:
                self._drop_oldest_picture()
            self._pictures += 1
            self._items.append(picture)
            self._changed.notify_all()

    def fail(self, failure: CameraError) -> None:
        """The first failure counts."""
        with self._changed:
            if self._failure is None:
                self._failure = failure
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def wait_for_packet(self, timeout_s: float) -> bool:
        """Wait for the first packet without taking it; False when none came in time. Raises the
        failure when that came first."""
        with self._changed:
            self._changed.wait_for(lambda: self._packets or self._failure, timeout_s)
            if self._failure is not None and not self._packets:
                raise self._failure
            return self._packets > 0

    def get(self, timeout_s: float) -> CameraItem | None:
        """The oldest item, or None when there was none in `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._failure or self._closed, timeout_s)
            if self._items:
                item = self._items.popleft()
                if isinstance(item, Packet):
                    self._packets -= 1
                else:
                    self._pictures -= 1
                return item
            if self._failure is not None and not self._closed:
                raise self._failure
            return None

    def _fits(self, packet: Packet) -> bool:
        if packet.keyframe:
            if not opens_gop(packet.data):
                self._fail_here("a keyframe comes without SPS and PPS", self._gop_remedy)
                return False
            self._gop_ns = packet.pts_ns
        elif self._gop_ns is None:
            return False
        elif packet.pts_ns - self._gop_ns > LONGEST_GOP_NS:
            gop_s = (packet.pts_ns - self._gop_ns) / _NS_PER_S
            self._fail_here(f"no keyframe for {gop_s:.1f} s, one a second is due", self._gop_remedy)
            return False
        if self._packets >= MOST_PACKETS:
            self._fail_here(
                f"{self._packets} packets were not taken in time", "the CPU is too slow"
            )
            return False
        return True

    def _fail_here(self, what: str, remedy: str) -> None:
        self._failure = CameraError(f"camera: {what}", remedy=remedy)
        self._changed.notify_all()

    def _drop_oldest_picture(self) -> None:
        for item in self._items:
            if isinstance(item, LoresFrame):
                self._items.remove(item)
                self._pictures -= 1
                return
