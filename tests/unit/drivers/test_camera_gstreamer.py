"""Real GStreamer, where it is installed: what goes wrong comes out as one clear line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent import config
from agent.drivers.camera_gstreamer import GStreamerCamera, jetson_pipeline
from agent.drivers.clock_system import SystemClock
from agent.errors import CameraError
from agent.ports.camera import Camera, Packet
from tests.cameras import gstreamer_camera, gstreamer_missing, pattern_pipeline

needs_gstreamer = pytest.mark.skipif(bool(gstreamer_missing()), reason=gstreamer_missing())


class Cameras:
    """Makes cameras, and closes them when the test ends."""

    def __init__(self) -> None:
        self.made: list[Camera] = []

    def over(self, pipeline: str) -> Camera:
        camera = gstreamer_camera(SystemClock(), pipeline)
        self.made.append(camera)
        return camera


@pytest.fixture
def cameras() -> Iterator[Cameras]:
    cameras = Cameras()
    yield cameras
    for camera in cameras.made:
        camera.close()


def read_until_error(camera: Camera) -> tuple[int, str]:
    """How many packets came before the error, and its line."""
    packets = 0
    while True:
        try:
            item = camera.read(5.0)
        except CameraError as exc:
            return packets, str(exc)
        packets += isinstance(item, Packet)


@needs_gstreamer
def test_an_element_that_fails_in_mid_stream_is_named_after_what_came_before(
    cameras: Cameras,
) -> None:
    broken = pattern_pipeline().replace("! tee", "! identity name=sensor error-after=12 ! tee")
    camera = cameras.over(broken)
    camera.open()
    packets, line = read_until_error(camera)
    assert 8 <= packets <= 12
    assert line.startswith("sensor: ")
    assert "\n" not in line


@needs_gstreamer
def test_a_stream_that_ends_is_an_error(cameras: Cameras) -> None:
    camera = cameras.over(pattern_pipeline().replace("is-live", "num-buffers=10 is-live"))
    camera.open()
    packets, line = read_until_error(camera)
    assert packets == 10
    assert "ended by itself" in line


@needs_gstreamer
def test_an_unknown_element_is_named_with_the_remedy(cameras: Cameras) -> None:
    camera = cameras.over("nosuchsrc ! appsink name=h264 videotestsrc ! appsink name=lores")
    with pytest.raises(CameraError, match=r'no element "nosuchsrc".*install the plugin'):
        camera.open()


@needs_gstreamer
def test_a_pipeline_that_is_no_language_is_refused(cameras: Cameras) -> None:
    with pytest.raises(CameraError, match="GStreamer: "):
        cameras.over("! ! name=h264 name=lores").open()


@needs_gstreamer
def test_a_sink_of_another_kind_is_refused(cameras: Cameras) -> None:
    camera = cameras.over(pattern_pipeline().replace("appsink name=h264", "fakesink name=h264"))
    with pytest.raises(CameraError, match="no appsink named h264: end that branch in"):
        camera.open()


@needs_gstreamer
def test_a_pipeline_of_another_size_than_the_settings_is_refused(cameras: Cameras) -> None:
    camera = cameras.over(pattern_pipeline().replace("width=320", "width=352"))
    with pytest.raises(CameraError, match="gives 352x240, not 320x240"):
        camera.open()


@needs_gstreamer
def test_a_gop_longer_than_a_second_is_refused_with_what_to_set(cameras: Cameras) -> None:
    camera = cameras.over(pattern_pipeline().replace("key-int-max=20", "key-int-max=200"))
    camera.open()
    packets, line = read_until_error(camera)
    assert packets > 20
    assert "one a second is due" in line
    assert "key-int-max" in line


@needs_gstreamer
def test_a_device_that_is_not_there_is_named_with_the_remedy(cameras: Cameras) -> None:
    lens = 'v4l2src device="/dev/video77" ! tee name=t t. ! '
    camera = cameras.over(f"{lens} x264enc ! appsink name=h264 t. ! appsink name=lores")
    with pytest.raises(CameraError, match=r"/dev/video77.*is the camera plugged in"):
        camera.open()


@needs_gstreamer
def test_what_encodes_and_what_films_is_what_the_pipeline_holds(cameras: Cameras) -> None:
    info = cameras.over(pattern_pipeline()).open()
    assert info.encoder == "x264enc"
    assert info.source == "GStreamer videotestsrc"
    assert (info.width, info.height, info.frame_rate_hz) == (320, 240, 20.0)


@needs_gstreamer
def test_a_jetson_pipeline_on_a_machine_that_is_none_says_what_is_missing() -> None:
    settings = config.Camera(driver="gstreamer")
    camera = GStreamerCamera(settings, config.Encoder(driver="hardware"), SystemClock())
    with pytest.raises(CameraError, match='no element "nvarguscamerasrc"'):
        camera.open()


def test_a_jetson_encodes_with_its_hardware_only_where_the_settings_say_so() -> None:
    camera = config.Camera(driver="gstreamer", number=1, frame_rate_hz=25)
    hardware = jetson_pipeline(camera, config.Encoder(driver="hardware", bitrate_kbps=3000))
    assert "sensor-id=1" in hardware
    assert "nvv4l2h264enc bitrate=3000000" in hardware
    assert "iframeinterval=25 idrinterval=25 insert-sps-pps=true" in hardware
    software = jetson_pipeline(camera, config.Encoder(bitrate_kbps=3000))
    assert "nvv4l2h264enc" not in software
    assert "x264enc speed-preset=ultrafast tune=zerolatency bitrate=3000" in software


def test_a_jetson_exposes_short_for_motion_only() -> None:
    motion = jetson_pipeline(config.Camera(driver="gstreamer"), config.Encoder())
    assert 'exposuretimerange="100000 8000000"' in motion
    auto = jetson_pipeline(config.Camera(driver="gstreamer", exposure="auto"), config.Encoder())
    assert "exposuretimerange" not in auto


def test_the_models_picture_keeps_the_shape_of_the_cameras() -> None:
    wide = jetson_pipeline(config.Camera(driver="gstreamer"), config.Encoder())
    assert "format=I420,width=640,height=360 ! appsink name=lores" in wide
    old = config.Camera(driver="gstreamer", width=640, height=480)
    assert "width=480,height=360 ! appsink name=lores" in jetson_pipeline(old, config.Encoder())
