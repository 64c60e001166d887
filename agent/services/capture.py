"""The camera thread: opens the camera, reads it, and queues what it gives for the service.

Packets are never dropped here: a queue at its bound makes the camera wait, and a camera that cannot
wait says CameraLost by itself. Pictures for the model are dropped (newest first) and told.

Whatever the driver, this is where a camera that stalls, fails, hangs or gives black pictures is
noticed, told as CameraLost (which becomes a gap with its cause) and opened again.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import msgspec

from agent.core.black_picture import BlackWatch, is_black
from agent.core.patience import Patience
from agent.core.picture import Rect
from agent.errors import AgentError, CameraError
from agent.ports.camera import Camera, CameraItem, CameraLost, LoresFrame, Packet, StreamInfo
from agent.ports.clock import Clock

T = TypeVar("T")

log = logging.getLogger("capture")

MAX_QUEUED_BYTES = 32 * 1024 * 1024
MAX_QUEUED_PICTURES = 15
_READ_TIMEOUT_S = 0.1
_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 30.0
# A camera that gave footage for so long is healthy: its next failure is tried again at once.
_HEALTHY_NS = 10_000_000_000
# A call into the driver takes a tenth of a second. One that is silent for this much longer than
# the camera may stand still counts as hanging; after the second it is given up, and the process
# with it.
_CALL_S = 0.3
GIVEN_UP_AFTER_S = 20.0

BLACK = "the camera gives black pictures: is the lens covered, or its cable loose?"
HANGS = "the camera's driver does not answer"


class CameraOpened(msgspec.Struct, frozen=True):
    info: StreamInfo


class PictureDropped(msgspec.Struct, frozen=True):
    """A picture for the model came while too many waited."""

    pts_ns: int


Captured: TypeAlias = CameraItem | CameraOpened | PictureDropped


class CameraPump:
    """`take` and `watch` from the service's thread; the rest runs on the pump's own.

    `fault` is the one clear line while the camera cannot be opened; it is tried again with
    doubling waits. `picture_fault` is the line while its pictures are black: what it gives is kept
    all the same."""

    def __init__(self, camera: Camera, clock: Clock, wake: Callable[[], None]) -> None:
        self._camera, self._clock, self._wake = camera, clock, wake
        self._queue: deque[Captured] = deque()
        self._changed = threading.Condition()
        self._bytes = 0
        self._pictures = 0
        self._opened = False
        self._opened_ns = 0
        self._stop = threading.Event()
        self._retry_s = _FIRST_RETRY_S
        self._stall = Patience(camera.stalls_after_s)
        self._black = BlackWatch()
        self._calls, self._in_driver = 0, False
        self._watched_call: int | None = None
        self._hangs = Patience(camera.stalls_after_s + _CALL_S)
        self._hangs_for_good = Patience(max(GIVEN_UP_AFTER_S, camera.stalls_after_s + _CALL_S))
        self._lost_by_watch = False
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self.fault = ""

    @property
    def picture_fault(self) -> str:
        return BLACK if self._black.is_black else ""

    def start(self) -> None:
        self._thread.start()

    def take(self, most: int) -> list[Captured]:
        """At most `most` items, in the order captured."""
        with self._changed:
            taken = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
            for item in taken:
                if isinstance(item, Packet):
                    self._bytes -= len(item.data)
                elif isinstance(item, LoresFrame):
                    self._pictures -= 1
            if taken:
                self._changed.notify_all()
        return taken

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop reading; what was captured stays to be taken."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def watch(self) -> None:
        """Look whether the driver still answers; often, from the service's thread. Raises
        CameraError once it is clear that it never will: only a new process helps then."""
        call, self._watched_call = self._watched_call, self._calls if self._in_driver else None
        if self._watched_call is None or self._watched_call != call or self._stop.is_set():
            self._hangs.reset()
            self._hangs_for_good.reset()
            return
        now_ns = self._clock.boot_ns()
        if self._hangs.is_over(now_ns) and self._opened and not self._lost_by_watch:
            self._lost_by_watch, self.fault = True, HANGS
            self._put(CameraLost(pts_ns=now_ns, cause=HANGS))
        if self._hangs_for_good.is_over(now_ns):
            raise CameraError(HANGS, remedy="the recorder is started again")

    def turn(self) -> float:
        """Open or read once; returns the seconds to wait before the next turn."""
        try:
            if not self._opened:
                self._open()
            item = self._ask(lambda: self._camera.read(_READ_TIMEOUT_S))
            if self._lost_by_watch:
                raise CameraError(HANGS)
            if item is not None:
                self._put(item)
            self._judge(item)
        except AgentError as exc:
            return self._failed(str(exc))
        except Exception as exc:  # a driver's mistake must not end the thread
            log.exception("camera driver failed")
            return self._failed(f"camera driver failed ({exc})")
        return 0.0

    def _open(self) -> None:
        info = self._ask(self._camera.open)
        self._put(CameraOpened(info))
        self._opened, self.fault = True, ""
        self._opened_ns = self._clock.boot_ns()
        self._lost_by_watch = False
        self._stall = Patience(self._camera.stalls_after_s + 1.0 / info.frame_rate_hz)

    def _ask(self, call: Callable[[], T]) -> T:
        self._calls += 1
        self._in_driver = True
        try:
            return call()
        finally:
            self._in_driver = False

    def _judge(self, item: CameraItem | None) -> None:
        """Raises CameraError when the camera must be opened anew."""
        now_ns = self._clock.boot_ns()
        if isinstance(item, Packet | CameraLost):
            self._stall.reset()
            if now_ns - self._opened_ns >= _HEALTHY_NS:
                self._retry_s = _FIRST_RETRY_S
        elif self._stall.is_over(now_ns):
            raise CameraError(
                f"the camera stands still: no footage for {self._camera.stalls_after_s:g} s",
                remedy="it is opened again; check its cable and power",
            )
        if isinstance(item, LoresFrame) and self._black.see(
            item.pts_ns, black=is_black(item.data, Rect(*item.active))
        ):
            raise CameraError(BLACK)

    def _failed(self, text: str) -> float:
        self.fault = text
        if self._opened:
            self._opened = False
            if not self._lost_by_watch:
                self._put(CameraLost(pts_ns=self._clock.boot_ns(), cause=text))
            self._close_camera()
        self._wake()
        wait_s, self._retry_s = self._retry_s, min(2 * self._retry_s, _LONGEST_RETRY_S)
        return wait_s

    def _close_camera(self) -> None:
        try:
            self._ask(self._camera.close)
        except Exception as exc:  # whatever state it is in, it is opened anew
            log.warning("camera did not close: %s", exc)

    def _put(self, item: Captured) -> None:
        with self._changed:
            if isinstance(item, LoresFrame):
                if self._pictures >= MAX_QUEUED_PICTURES:
                    item = PictureDropped(item.pts_ns)
                else:
                    self._pictures += 1
            elif isinstance(item, Packet):
                while self._bytes >= MAX_QUEUED_BYTES and not self._stop.is_set():
                    self._changed.wait()
                self._bytes += len(item.data)
            self._queue.append(item)
        self._wake()

    def _run(self) -> None:
        while not self._stop.is_set():
            wait_s = self.turn()
            if wait_s:
                self._stop.wait(wait_s)
        if self._opened:
            self._close_camera()
