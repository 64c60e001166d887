"""The camera thread: opens the camera, reads it, and queues what it gives for the service.

Packets are never dropped here: a queue at its bound makes the camera wait, and a camera that cannot
wait says CameraLost by itself. Pictures for the model are dropped (newest first) and told.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from agent.errors import AgentError
from agent.ports.camera import Camera, CameraItem, CameraLost, LoresFrame, Packet, StreamInfo
from agent.ports.clock import Clock

log = logging.getLogger("capture")

MAX_QUEUED_BYTES = 32 * 1024 * 1024
MAX_QUEUED_PICTURES = 15
_READ_TIMEOUT_S = 0.1
_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 30.0


class CameraOpened(msgspec.Struct, frozen=True):
    info: StreamInfo


class PictureDropped(msgspec.Struct, frozen=True):
    """A picture for the model came while too many waited."""

    pts_ns: int


Captured: TypeAlias = CameraItem | CameraOpened | PictureDropped


class CameraPump:
    """`take` from the service's thread; the rest runs on the pump's own.

    `fault` is the one clear line while the camera cannot be opened; it is tried again with
    doubling waits."""

    def __init__(self, camera: Camera, clock: Clock, wake: Callable[[], None]) -> None:
        self._camera, self._clock, self._wake = camera, clock, wake
        self._queue: deque[Captured] = deque()
        self._changed = threading.Condition()
        self._bytes = 0
        self._pictures = 0
        self._opened = False
        self._stop = threading.Event()
        self._retry_s = _FIRST_RETRY_S
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self.fault = ""

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

    def turn(self) -> float:
        """Open or read once; returns the seconds to wait before the next turn."""
        try:
            if not self._opened:
                self._put(CameraOpened(self._camera.open()))
                self._opened, self.fault = True, ""
                self._retry_s = _FIRST_RETRY_S
            item = self._camera.read(_READ_TIMEOUT_S)
        except AgentError as exc:
            return self._failed(str(exc))
        except Exception as exc:  # a driver's mistake must not end the thread
            log.exception("camera driver failed")
            return self._failed(f"camera driver failed ({exc})")
        if item is not None:
            self._put(item)
        return 0.0

    def _failed(self, text: str) -> float:
        self.fault = text
        if self._opened:
            self._opened = False
            self._put(CameraLost(pts_ns=self._clock.boot_ns(), cause=text))
            try:
                self._camera.close()
            except AgentError as exc:
                log.warning("camera did not close: %s", exc)
        self._wake()
        wait_s, self._retry_s = self._retry_s, min(2 * self._retry_s, _LONGEST_RETRY_S)
        return wait_s

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
            try:
                self._camera.close()
            except AgentError as exc:
                log.warning("camera did not close: %s", exc)
