"""An encoder on a thread of its own, for cameras whose own thread must not wait."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from agent.errors import AgentError, CameraError
from agent.ports.camera import Packet, RawFrame
from agent.ports.encoder import Encoder

# Pictures that wait are megabytes; a second of 720p30 would be 41 MB.
MOST_WAITING = 24


class EncodingThread:
    """Takes pictures without waiting, passes their packets to `receive`, in order.

    The first failure of the encoder, or MOST_WAITING pictures that it could not take in time, go to
    `fail`, and ends it. `start` opens the encoder (raises EncoderError), `stop` closes it.
    """

    def __init__(
        self,
        encoder: Encoder,
        receive: Callable[[Packet], None],
        fail: Callable[[CameraError], None],
    ) -> None:
        self._encoder, self._receive, self._fail = encoder, receive, fail
        self._waiting: deque[RawFrame] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)

    def start(self, width: int, height: int, frame_rate_hz: float) -> None:
        self._encoder.open(width, height, frame_rate_hz)
        self._thread.start()

    def put(self, frame: RawFrame) -> None:
        with self._changed:
            if self._stopping:
                return
            if len(self._waiting) >= MOST_WAITING:
                self._stopping = True
                self._fail(
                    CameraError(
                        f"the CPU cannot encode {frame.width}x{frame.height} at this rate",
                        remedy="lower camera.width and height or frame_rate_hz, or use a faster"
                        " encoder.preset",
                    )
                )
            self._waiting.append(frame)
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()
            self._encoder.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._waiting)
                if self._stopping:
                    return
                frame = self._waiting.popleft()
            try:
                for packet in self._encoder.encode(frame):
                    self._receive(packet)
            except AgentError as exc:
                self._fail(CameraError(f"camera: {exc}"))
                return
