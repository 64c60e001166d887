"""What every Camera promises, over every driver, fake and real."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from av.video.frame import PictureType

from agent import config
from agent.drivers.camera_fake import FakeCamera
from agent.drivers.camera_replay import ReplayCamera
from agent.drivers.encoder_x264 import X264Encoder
from agent.errors import CameraError
from agent.media.fragments import FragmentMuxer
from agent.ports.camera import Camera, CameraItem, LoresFrame, Packet, StreamInfo
from tests.clock import START_BOOT_NS, ManualClock
from tests.footage_maker import SHIPPED
from tests.h264 import NAL_IDR, NAL_PPS, NAL_SPS, decode_packets, mp4_frames, nal_kinds

SECOND_NS = 1_000_000_000
LORES_RATE_HZ = 5.0
SECONDS = 3


def replay(clock: ManualClock, footage: str, width: int, height: int) -> ReplayCamera:
    return ReplayCamera(
        config.Camera(footage=SHIPPED / footage, width=width, height=height),
        clock,
        X264Encoder(config.Encoder(bitrate_kbps=500)),
        lores_rate_hz=LORES_RATE_HZ,
        wait=clock.advance,
    )


DRIVERS: dict[str, Callable[[ManualClock], Camera]] = {
    "fake": lambda clock: FakeCamera(clock, lores_rate_hz=LORES_RATE_HZ, wait=clock.advance),
    "replay, transcoding": lambda clock: replay(clock, "05_train_other_look.mp4", 320, 180),
    "replay, stream copy": lambda clock: replay(
        clock, "stream_copy/closed_gop_720p.mp4", 1280, 720
    ),
}


class Opened:
    """An open camera whose clock moves by itself as far as the camera waits."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.info: StreamInfo = camera.open()

    def items(self) -> list[CameraItem]:
        """Everything up to the first packet of second SECONDS."""
        found: list[CameraItem] = []
        while True:
            item = self.camera.read(10.0)
            assert item is not None, "the camera stands still"
            if isinstance(item, Packet) and item.pts_ns >= START_BOOT_NS + SECONDS * SECOND_NS:
                return found
            found.append(item)

    def packets(self) -> list[Packet]:
        return [item for item in self.items() if isinstance(item, Packet)]


@pytest.fixture(params=list(DRIVERS))
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    camera = DRIVERS[request.param](ManualClock())
    yield Opened(camera)
    camera.close()


@pytest.fixture(params=list(DRIVERS))
def unopened(request: pytest.FixtureRequest) -> Camera:
    return DRIVERS[request.param](ManualClock())


def test_the_stream_begins_with_a_keyframe_at_the_time_of_opening(opened: Opened) -> None:
    first = opened.packets()[0]
    assert first.keyframe
    assert first.pts_ns == START_BOOT_NS


def test_each_keyframe_is_an_idr_with_sps_and_pps_in_band(opened: Opened) -> None:
    for packet in opened.packets():
        assert packet.data.startswith((b"\x00\x00\x00\x01", b"\x00\x00\x01"))
        kinds = nal_kinds(packet.data)
        assert packet.keyframe == (NAL_IDR in kinds)
        if packet.keyframe:
            assert kinds.index(NAL_SPS) < kinds.index(NAL_PPS) < kinds.index(NAL_IDR)


def test_a_keyframe_comes_at_least_each_second(opened: Opened) -> None:
    keys = [packet.pts_ns for packet in opened.packets() if packet.keyframe]
    frame_ns = SECOND_NS / opened.info.frame_rate_hz
    assert len(keys) == SECONDS
    assert max(b - a for a, b in itertools.pairwise(keys)) <= SECOND_NS + frame_ns / 2


def test_pts_rise_at_the_rate_of_the_source_and_no_frame_is_left_out(opened: Opened) -> None:
    packets = opened.packets()
    rate_hz = opened.info.frame_rate_hz
    assert len(packets) == round(SECONDS * rate_hz)
    for number, packet in enumerate(packets):
        assert abs(packet.pts_ns - START_BOOT_NS - number * SECOND_NS / rate_hz) < 1_000
        assert abs(packet.duration_ns - SECOND_NS / rate_hz) < 1_000


def test_every_packet_decodes_to_a_picture_of_the_stated_size(opened: Opened) -> None:
    packets = opened.packets()
    pictures = decode_packets(packets)
    assert len(pictures) == len(packets)
    size = (opened.info.width, opened.info.height)
    assert {(picture.width, picture.height) for picture in pictures} == {size}
    assert PictureType.B not in {picture.pict_type for picture in pictures}


def test_the_packets_become_an_mp4_with_as_many_frames(opened: Opened) -> None:
    packets = opened.packets()
    muxer = FragmentMuxer(opened.info.width, opened.info.height, opened.info.frame_rate_hz)
    fragments = [muxer.push(packet) for packet in packets] + [muxer.finish()]
    content = b"".join(fragment.content for fragment in fragments if fragment is not None)
    assert len(mp4_frames(content)) == len(packets)


def test_lores_frames_are_packed_and_lie_on_even_pixels(opened: Opened) -> None:
    frames = [item for item in opened.items() if isinstance(item, LoresFrame)]
    for frame in frames:
        assert len(frame.data) == 640 * 360 * 3 // 2
        x, y, width, height = frame.active
        assert not any(side % 2 for side in frame.active)
        assert 0 <= x <= x + width <= 640
        assert 0 <= y <= y + height <= 360
        assert (width == 640) or (height == 360)


def test_lores_frames_keep_their_rate_and_belong_to_recorded_frames(opened: Opened) -> None:
    items = opened.items()
    lores = [item.pts_ns for item in items if isinstance(item, LoresFrame)]
    recorded = {item.pts_ns for item in items if isinstance(item, Packet)}
    assert len(lores) == SECONDS * LORES_RATE_HZ
    assert set(lores) <= recorded
    assert lores == sorted(set(lores))


def test_the_stream_info_says_what_encodes_and_where_it_comes_from(opened: Opened) -> None:
    assert opened.info.encoder
    assert opened.info.source


def test_reading_before_open_is_refused(unopened: Camera) -> None:
    with pytest.raises(CameraError, match="before open"):
        unopened.read(0.0)


def test_opening_twice_is_refused(opened: Opened) -> None:
    with pytest.raises(CameraError, match="twice"):
        opened.camera.open()


def test_close_may_be_repeated_and_ends_reading(opened: Opened) -> None:
    opened.camera.close()
    opened.camera.close()
    with pytest.raises(CameraError, match="before open"):
        opened.camera.read(0.0)


def test_closing_a_camera_that_nobody_reads_does_not_hang(unopened: Camera) -> None:
    unopened.open()
    unopened.close()
