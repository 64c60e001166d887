"""The replay camera: footage files at real time, as if they were the lens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from agent import config
from agent.core.picture import LORES_HEIGHT, LORES_WIDTH
from agent.drivers.handover import Handover
from agent.drivers.replay_footage import (
    Footage,
    SourceFrame,
    find_footage,
    inspect,
    read_frames,
)
from agent.errors import AgentError, FootageError
from agent.media.lores import Pacer, PictureFitter
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
from agent.ports.encoder import Encoder

_NS_PER_S = 1_000_000_000
# More than this behind the clock, the frames that should have been taken are given up, aloud.
MAX_LATE_S = 5.0
_RETRY_S = 1.0
# Packets and lores frames on their way to the reader: 1.3 s at 35 + 15 items/s, some 7 MB.
_CAPACITY = 64
_NAMES_IN_SOURCE = 5

_log = logging.getLogger(__name__)


class ReplayCamera(Camera):
    """Plays the MP4 files of `settings.footage` for ever, each frame at its time.

    - The first frame is due when the camera opens; frames keep the pace of their files, and the
      next file follows without a gap: 35 Hz footage is recorded at 35 Hz, no frame is left out.
    - The stream has one size, the configured one. Either every packet is passed on unchanged
      (`stream_copy = "auto"`, when all files have that size, the same SPS and PPS, 1 s closed GOPs
      and no B-frames), or every picture is fitted and encoded; never a mixture.
    - A file that breaks in the middle is replayed up to there and reported in one log line.
    - The pts are the times at which frames are due. A reader that stalls makes the camera wait
      and catch up; after MAX_LATE_S it reports CameraLost and goes on at the present.

    `encoder` is opened by this camera, and not used when copying. `wait(seconds)` sleeps; the
    default wakes up when the camera closes. `frames_captured` counts frames taken from the
    footage, each of which became exactly one packet.
    """

    # Files do not stall. A machine too busy to keep up is told above, and catches up by itself.
    stalls_after_s = 60.0

    def __init__(
        self,
        settings: config.Camera,
        clock: Clock,
        encoder: Encoder,
        *,
        lores_rate_hz: float = 15.0,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._clock = clock
        self._encoder = encoder
        self._lores_rate_hz = lores_rate_hz
        self._stopping = threading.Event()
        self._wait = wait if wait is not None else self._stopping.wait
        self._handover: Handover[CameraItem] = Handover(_CAPACITY)
        self._thread: threading.Thread | None = None
        self._files: list[Footage] = []
        self._copy = False
        self._pacer = Pacer(lores_rate_hz, 0)
        self._picture_fitter = PictureFitter(settings.width, settings.height)
        self._lores_fitter = PictureFitter(LORES_WIDTH, LORES_HEIGHT)
        self._file_start_ns = 0
        self._next_pts_ns = 0
        self._needs_keyframe = True
        self._reported: set[str] = set()
        self.frames_captured = 0

    def _open(self) -> StreamInfo:
        settings = self._settings
        if settings.footage is None:
            raise FootageError("no footage is configured", remedy="set camera.footage")
        copy_wanted = settings.stream_copy == "auto"
        self._files = [
            inspect(path, for_copy=copy_wanted) for path in find_footage(settings.footage)
        ]
        self._copy = copy_wanted and self._all_can_be_copied()
        rate_hz = float(self._files[0].frame_rate_hz)
        if not self._copy:
            self._encoder.open(settings.width, settings.height, rate_hz)
        self._pacer = Pacer(self._lores_rate_hz, self._files[0].period_ns)
        self._next_pts_ns = self._clock.boot_ns()
        self._stopping.clear()
        self._handover = Handover(_CAPACITY)
        self._needs_keyframe = True
        self._thread = threading.Thread(target=self._run, name="replay-camera", daemon=True)
        self._thread.start()
        return StreamInfo(
            width=settings.width,
            height=settings.height,
            frame_rate_hz=rate_hz,
            encoder="stream copy" if self._copy else self._encoder.name,
            source=f"replay of {_named([footage.path for footage in self._files])}",
        )

    def _all_can_be_copied(self) -> bool:
        size = (self._settings.width, self._settings.height)
        keys = {footage.copy_key for footage in self._files}
        sizes = {(footage.width, footage.height) for footage in self._files}
        return len(keys) == 1 and None not in keys and sizes == {size}

    def _read(self, timeout_s: float) -> CameraItem | None:
        return self._handover.get(timeout_s)

    def _close(self) -> None:
        self._stopping.set()
        self._handover.close()
        if self._thread is not None:
            self._thread.join()
        if not self._copy:
            self._encoder.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if not self._play_all():
                    self._lose("none of the footage can be read any more")
            except Exception as exc:  # an encoder or a library that failed: begin anew
                self._lose(str(exc))
                self._restart_encoder()

    def _play_all(self) -> bool:
        """Play every file once; False when not one of them gave a frame."""
        before = self.frames_captured
        for footage in self._files:
            self._file_start_ns = self._next_pts_ns
            try:
                for frame in read_frames(footage, copy=self._copy):
                    if not self._take(frame, footage.period_ns):
                        return True
            except FootageError as exc:
                self._report_once(exc)
        return self.frames_captured > before

    def _take(self, frame: SourceFrame, period_ns: int) -> bool:
        """Wait until the frame is due and pass it on; False when the camera is closing."""
        late_ns = self._clock.boot_ns() - (self._file_start_ns + frame.offset_ns)
        if late_ns > MAX_LATE_S * _NS_PER_S:
            self._report_lost(f"replay fell {late_ns / _NS_PER_S:.1f} s behind the clock")
            self._file_start_ns += late_ns
        pts_ns = self._file_start_ns + frame.offset_ns
        self._next_pts_ns = pts_ns + period_ns
        if self._copy and self._needs_keyframe and not frame.keyframe:
            return True
        if not self._wait_until(pts_ns):
            return False
        self._needs_keyframe = False
        self.frames_captured += 1
        for packet in self._packets(frame, pts_ns, period_ns):
            if not self._handover.put(packet):
                return False
        if frame.picture is not None and self._pacer.is_due(pts_ns):
            content, rect = self._lores_fitter.fit(frame.picture)
            active = (rect.x, rect.y, rect.width, rect.height)
            return self._handover.put(LoresFrame(pts_ns=pts_ns, data=content, active=active))
        return True

    def _packets(self, frame: SourceFrame, pts_ns: int, period_ns: int) -> list[Packet]:
        if frame.packet is not None:
            keyframe = frame.keyframe
            return [
                Packet(pts_ns=pts_ns, duration_ns=period_ns, data=frame.packet, keyframe=keyframe)
            ]
        if frame.picture is None:
            return []
        content, _ = self._picture_fitter.fit(frame.picture)
        width, height = self._settings.width, self._settings.height
        return self._encoder.encode(
            RawFrame(pts_ns=pts_ns, width=width, height=height, data=content)
        )

    def _wait_until(self, pts_ns: int) -> bool:
        while not self._stopping.is_set():
            ahead_ns = pts_ns - self._clock.boot_ns()
            if ahead_ns <= 0:
                return True
            self._wait(ahead_ns / _NS_PER_S)
        return False

    def _lose(self, cause: str) -> None:
        """Report the loss and try again in a while, at the present."""
        if self._stopping.is_set():
            return
        self._report_lost(cause)
        self._wait(_RETRY_S)
        self._next_pts_ns = max(self._next_pts_ns, self._clock.boot_ns())

    def _report_lost(self, cause: str) -> None:
        _log.warning("camera lost: %s", cause)
        self._needs_keyframe = True
        self._handover.put(CameraLost(pts_ns=self._next_pts_ns, cause=cause))

    def _report_once(self, fault: FootageError) -> None:
        if str(fault) not in self._reported:  # the same fault comes back each round
            self._reported.add(str(fault))
            _log.warning("%s (replay goes on with the next file)", fault)

    def _restart_encoder(self) -> None:
        if self._copy or self._stopping.is_set():
            return
        try:
            self._encoder.close()
            rate_hz = float(self._files[0].frame_rate_hz)
            self._encoder.open(self._settings.width, self._settings.height, rate_hz)
        except AgentError as exc:
            _log.warning("%s", exc)  # the next picture fails, is reported, and tries again


def _named(paths: list[Path]) -> str:
    names = [path.name for path in paths[:_NAMES_IN_SOURCE]]
    more = len(paths) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
