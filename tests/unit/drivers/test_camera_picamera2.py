"""The picamera2 driver: what needs no libcamera, and, in the camera root, what goes wrong there."""

from __future__ import annotations

import pytest

from agent import config
from agent.drivers import camera_picamera2
from agent.drivers.camera_picamera2 import Picamera2Camera, i420_of
from agent.drivers.clock_system import SystemClock
from agent.drivers.encoder_x264 import X264Encoder
from agent.errors import CameraError
from tests.cameras import picamera2_missing, picamera2_settings
from tests.footage_maker import i420

needs_picamera2 = pytest.mark.skipif(bool(picamera2_missing()), reason=picamera2_missing())


def padded_rows(plane: bytes, width: int, stride: int) -> bytes:
    rows = [plane[start : start + width] for start in range(0, len(plane), width)]
    return b"".join(row.ljust(stride, b"\xaa") for row in rows)


def split(picture: bytes, width: int, height: int) -> tuple[bytes, bytes, bytes]:
    luma, chroma = width * height, width * height // 4
    return picture[:luma], picture[luma : luma + chroma], picture[luma + chroma :]


@pytest.mark.parametrize("stride", [66, 128])
def test_yuv420_loses_its_padding(stride: int) -> None:
    picture = i420(66, 50, 7)
    y, u, v = split(picture, 66, 50)
    buffer = padded_rows(y, 66, stride)
    buffer += padded_rows(u, 33, stride // 2) + padded_rows(v, 33, stride // 2)
    assert i420_of(buffer, "YUV420", 66, 50, stride) == picture


@pytest.mark.parametrize("stride", [66, 128])
def test_nv12_is_taken_apart_into_u_and_v(stride: int) -> None:
    picture = i420(66, 50, 7)
    y, u, v = split(picture, 66, 50)
    chroma = bytearray(len(u) + len(v))
    chroma[::2], chroma[1::2] = u, v
    buffer = padded_rows(y, 66, stride) + padded_rows(bytes(chroma), 66, stride)
    assert i420_of(buffer, "NV12", 66, 50, stride) == picture


@pytest.mark.parametrize("form", ["YUV420", "NV12"])
def test_a_buffer_that_is_too_short_is_refused(form: str) -> None:
    with pytest.raises(ValueError, match="of 66x50"):
        i420_of(b"\x00" * 1000, form, 66, 50, 66)


@pytest.mark.skipif(not picamera2_missing(), reason="picamera2 is there")
def test_without_picamera2_the_remedy_is_said() -> None:
    with pytest.raises(CameraError, match=r"picamera2 is not installed.*make pi-camera"):
        lens(picamera2_settings()).open()


def lens(settings: config.Camera, encoder: str = "x264") -> Picamera2Camera:
    chosen = config.Encoder(driver=encoder)  # type: ignore[arg-type]
    own = X264Encoder(chosen) if encoder == "x264" else None
    return Picamera2Camera(settings, chosen, SystemClock(), own)


@needs_picamera2
def test_a_camera_that_is_not_there_is_named_with_the_remedy() -> None:
    with pytest.raises(CameraError, match=r"camera number 3 cannot be opened.*ribbon cable"):
        lens(config.Camera(driver="picamera2", number=3)).open()


@needs_picamera2
def test_a_size_that_the_camera_does_not_have_is_refused_and_the_camera_freed() -> None:
    with pytest.raises(CameraError, match="gives 640x480, not 1280x720"):
        lens(config.Camera(driver="picamera2", frame_rate_hz=20)).open()
    camera = lens(picamera2_settings())
    camera.open()
    camera.close()


@needs_picamera2
def test_hardware_on_a_board_without_an_encoder_is_refused_never_replaced() -> None:
    assert not camera_picamera2.HARDWARE_ENCODER.exists()
    with pytest.raises(CameraError, match=r"no H.264 encoder.*set encoder.driver"):
        lens(picamera2_settings(), "hardware").open()


@needs_picamera2
def test_the_sheet_will_say_which_lens_and_which_encoder() -> None:
    camera = lens(picamera2_settings())
    try:
        info = camera.open()
    finally:
        camera.close()
    assert info.source == "libcamera Virtual lens, number 0"
    assert info.encoder == "libx264 ultrafast"
