"""The cameras that the contract suite runs over, each with what it takes to run here."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from av.video.frame import PictureType

from agent import config
from agent.drivers.camera_fake import FakeCamera
from agent.drivers.camera_gstreamer import GStreamerCamera, x264enc
from agent.drivers.camera_picamera2 import Picamera2Camera
from agent.drivers.camera_replay import ReplayCamera
from agent.drivers.clock_system import SystemClock
from agent.drivers.encoder_x264 import X264Encoder
from agent.ports.camera import Camera
from agent.ports.clock import Clock
from tests.clock import ManualClock
from tests.footage_maker import SHIPPED

LORES_RATE_HZ = 5.0


@dataclass(frozen=True)
class CameraUnderTest:
    """`live`: it keeps the time of the real clock, and its sensor's jitter. `one_scene`: pictures
    and packets show the same. `missing` says why it cannot run here, and what to do about it; empty
    when it can."""

    build: Callable[[Clock], Camera]
    live: bool = False
    one_scene: bool = True
    missing: Callable[[], str] = lambda: ""

    def clock(self) -> Clock:
        return SystemClock() if self.live else ManualClock()


def _waiting(clock: Clock) -> Callable[[float], object] | None:
    return clock.advance if isinstance(clock, ManualClock) else None


def _replay(footage: str, width: int, height: int) -> CameraUnderTest:
    return CameraUnderTest(
        lambda clock: ReplayCamera(
            config.Camera(footage=SHIPPED / footage, width=width, height=height),
            clock,
            X264Encoder(config.Encoder(bitrate_kbps=500)),
            lores_rate_hz=LORES_RATE_HZ,
            wait=_waiting(clock),
        )
    )


# The size of the model's picture is another than the camera's, so both branches scale.
GSTREAMER_SIZE = (320, 240)
GSTREAMER_RATE_HZ = 20


def pattern_pipeline(pattern: str = "ball") -> str:
    """A pipeline as a technician writes one for gst-launch-1.0."""
    width, height = GSTREAMER_SIZE
    encoding = x264enc(config.Encoder(bitrate_kbps=300), GSTREAMER_RATE_HZ)
    return (
        f"videotestsrc name=lens is-live=true pattern={pattern} ! video/x-raw,format=I420,"
        f"width={width},height={height},framerate={GSTREAMER_RATE_HZ}/1 ! tee name=t"
        f" t. ! queue ! {encoding} ! h264parse config-interval=-1 ! appsink name=h264"
        " t. ! queue ! identity name=pace ! videoscale !"
        " video/x-raw,width=480,height=360 ! appsink name=lores"
    )


def gstreamer_camera(clock: Clock, pipeline: str) -> GStreamerCamera:
    width, height = GSTREAMER_SIZE
    settings = config.Camera(
        driver="gstreamer",
        pipeline=pipeline,
        width=width,
        height=height,
        frame_rate_hz=GSTREAMER_RATE_HZ,
    )
    return GStreamerCamera(settings, config.Encoder(), clock, lores_rate_hz=LORES_RATE_HZ)


def gstreamer_missing() -> str:
    there = importlib.util.find_spec("gi") is not None
    return "" if there else "no PyGObject for this Python: make gstreamer"


PICAMERA2_SIZE = (640, 480)  # of libcamera's virtual camera, see tests/camera_root
PICAMERA2_RATE_HZ = 20


def picamera2_settings() -> config.Camera:
    width, height = PICAMERA2_SIZE
    return config.Camera(
        driver="picamera2", width=width, height=height, frame_rate_hz=PICAMERA2_RATE_HZ
    )


def picamera2_camera(clock: Clock) -> Picamera2Camera:
    settings = config.Encoder(bitrate_kbps=500)
    encoder = X264Encoder(settings)
    return Picamera2Camera(
        picamera2_settings(), settings, clock, encoder, lores_rate_hz=LORES_RATE_HZ
    )


class ForcingStream:
    """An encoder's stream whose next picture opens a GOP when `encoder.forced`."""

    def __init__(self, encoder: Any, stream: Any) -> None:
        self._encoder, self._stream = encoder, stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def encode(self, picture: Any = None) -> Any:
        if picture is not None and self._encoder.forced:
            self._encoder.forced = False
            picture.pict_type = PictureType.I
        return self._stream.encode(picture)


class EncodedByPicamera2(Picamera2Camera):
    """Where a Pi's hardware encoder stands, another encoder of picamera2: the way in and out of it
    is the same."""

    def hardware_encoder(self) -> Any:
        from picamera2.encoders import LibavH264Encoder

        class ForcedKeyframesOpenGops(LibavH264Encoder):  # type: ignore[misc]
            """As a Pi's encoder does it. Its own way fails with this PyAV, which takes no "I"."""

            forced = False

            def force_key_frame(self) -> None:
                self.forced = True

            def _start(self) -> None:
                super()._start()
                self._stream.codec_context.options["forced-idr"] = "1"
                self._stream = ForcingStream(self, self._stream)

        encoder = ForcedKeyframesOpenGops(
            500_000, iperiod=PICAMERA2_RATE_HZ, framerate=PICAMERA2_RATE_HZ
        )
        encoder.threads = 1
        return encoder


def encoded_by_picamera2(clock: Clock) -> Picamera2Camera:
    return EncodedByPicamera2(
        picamera2_settings(),
        config.Encoder(driver="hardware"),
        clock,
        None,
        lores_rate_hz=LORES_RATE_HZ,
    )


def picamera2_missing() -> str:
    there = importlib.util.find_spec("picamera2") is not None
    return "" if there else "no picamera2 for this Python: make test-camera-root"


CAMERAS: dict[str, CameraUnderTest] = {
    "fake": CameraUnderTest(
        lambda clock: FakeCamera(clock, lores_rate_hz=LORES_RATE_HZ, wait=_waiting(clock)),
        one_scene=False,
    ),
    "replay, transcoding": _replay("05_train_other_look.mp4", 320, 180),
    "replay, stream copy": _replay("stream_copy/closed_gop_720p.mp4", 1280, 720),
    "gstreamer": CameraUnderTest(
        lambda clock: gstreamer_camera(clock, pattern_pipeline()),
        live=True,
        missing=gstreamer_missing,
    ),
    "picamera2, x264": CameraUnderTest(picamera2_camera, live=True, missing=picamera2_missing),
    "picamera2, its encoder": CameraUnderTest(
        encoded_by_picamera2, live=True, missing=picamera2_missing
    ),
}
