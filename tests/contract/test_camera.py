"""What every Camera promises, over every driver, fake and real."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from av.video.frame import PictureType

from agent.core.picture import LORES_BYTES
from agent.errors import CameraError
from agent.media.fragments import FragmentMuxer
from agent.media.lores import PictureFitter
from agent.ports.camera import Camera, CameraItem, CameraLost, LoresFrame, Packet, StreamInfo
from agent.ports.clock import Clock
from tests.cameras import CAMERAS, LORES_RATE_HZ, CameraUnderTest
from tests.clock import ManualClock
from tests.h264 import NAL_IDR, NAL_PPS, NAL_SPS, decode_packets, mp4_frames, nal_kinds

SECOND_NS = 1_000_000_000
SECONDS = 3


@dataclass(frozen=True)
class Recorded:
    """The first SECONDS of a camera, from its first packet on."""

    info: StreamInfo
    items: list[CameraItem]
    asked_ns: int
    read_ns: int
    live: bool
    one_scene: bool

    @property
    def packets(self) -> list[Packet]:
        return [item for item in self.items if isinstance(item, Packet)]

    @property
    def pictures(self) -> list[LoresFrame]:
        return [item for item in self.items if isinstance(item, LoresFrame)]


def record(camera: Camera, clock: Clock, under_test: CameraUnderTest) -> Recorded:
    asked_ns = clock.boot_ns()
    info = camera.open()
    items: list[CameraItem] = []
    until_ns: int | None = None
    while True:
        item = camera.read(10.0)
        assert item is not None, "the camera stands still"
        if isinstance(item, Packet):
            until_ns = until_ns or item.pts_ns + SECONDS * SECOND_NS
            if item.pts_ns >= until_ns:
                break
        items.append(item)
    # A live picture may come before its packet, which the encoder holds.
    items = [item for item in items if isinstance(item, CameraLost) or item.pts_ns < until_ns]
    return Recorded(
        info, items, asked_ns, clock.boot_ns(), live=under_test.live, one_scene=under_test.one_scene
    )


def usable(name: str) -> CameraUnderTest:
    under_test = CAMERAS[name]
    if reason := under_test.missing():
        pytest.skip(reason)
    return under_test


@pytest.fixture(scope="module", params=list(CAMERAS))
def recorded(request: pytest.FixtureRequest) -> Recorded:
    under_test = usable(request.param)
    clock = under_test.clock()
    camera = under_test.build(clock)
    try:
        return record(camera, clock, under_test)
    finally:
        camera.close()


@pytest.fixture(params=list(CAMERAS))
def under_test(request: pytest.FixtureRequest) -> CameraUnderTest:
    return usable(request.param)


@pytest.fixture
def clock(under_test: CameraUnderTest) -> Clock:
    return under_test.clock()


@pytest.fixture
def camera(under_test: CameraUnderTest, clock: Clock) -> Iterator[Camera]:
    camera = under_test.build(clock)
    yield camera
    camera.close()


def test_the_stream_begins_with_a_keyframe_at_the_time_of_opening(recorded: Recorded) -> None:
    first = recorded.packets[0]
    assert first.keyframe
    assert recorded.asked_ns <= first.pts_ns <= recorded.read_ns
    if not recorded.live:
        assert first.pts_ns == recorded.asked_ns


def test_pts_are_the_boot_time_of_the_exposure(recorded: Recorded) -> None:
    for packet in recorded.packets:
        assert recorded.asked_ns <= packet.pts_ns <= recorded.read_ns


def test_each_keyframe_is_an_idr_with_sps_and_pps_in_band(recorded: Recorded) -> None:
    for packet in recorded.packets:
        assert packet.data.startswith((b"\x00\x00\x00\x01", b"\x00\x00\x01"))
        kinds = nal_kinds(packet.data)
        assert packet.keyframe == (NAL_IDR in kinds)
        if packet.keyframe:
            assert kinds.index(NAL_SPS) < kinds.index(NAL_PPS) < kinds.index(NAL_IDR)


def test_a_keyframe_comes_at_least_each_second(recorded: Recorded) -> None:
    times = [packet.pts_ns for packet in recorded.packets]
    keys = [packet.pts_ns for packet in recorded.packets if packet.keyframe]
    frame_ns = SECOND_NS / recorded.info.frame_rate_hz
    assert len(keys) >= SECONDS or recorded.live
    for this, following in itertools.pairwise(keys):
        # A sensor whose machine is too busy misses frames: then the next one there is, or the one
        # after it, when the encoder had that one already.
        late = [pts for pts in times if this + SECOND_NS + frame_ns / 2 < pts <= following]
        assert len(late) <= (2 if recorded.live else 0)


def test_pts_rise_at_the_rate_of_the_source_and_no_frame_is_left_out(recorded: Recorded) -> None:
    packets = recorded.packets
    frame_ns = SECOND_NS / recorded.info.frame_rate_hz
    if recorded.live:
        # Never faster; slower, with true times, where the machine is too busy.
        assert all(a.pts_ns < b.pts_ns for a, b in itertools.pairwise(packets))
        assert packets[-1].pts_ns - packets[0].pts_ns >= (len(packets) - 2) * frame_ns
        return
    assert len(packets) == round(SECONDS * recorded.info.frame_rate_hz)
    for number, packet in enumerate(packets):
        assert abs(packet.pts_ns - recorded.asked_ns - number * frame_ns) < 1_000
        assert abs(packet.duration_ns - frame_ns) < 1_000


def test_every_packet_decodes_to_a_picture_of_the_stated_size(recorded: Recorded) -> None:
    packets = recorded.packets
    pictures = decode_packets(packets)
    assert len(pictures) == len(packets)
    size = (recorded.info.width, recorded.info.height)
    assert {(picture.width, picture.height) for picture in pictures} == {size}
    assert PictureType.B not in {picture.pict_type for picture in pictures}


def test_the_packets_become_an_mp4_with_as_many_frames(recorded: Recorded) -> None:
    packets = recorded.packets
    muxer = FragmentMuxer(recorded.info.width, recorded.info.height, recorded.info.frame_rate_hz)
    fragments = [muxer.push(packet) for packet in packets] + [muxer.finish()]
    content = b"".join(fragment.content for fragment in fragments if fragment is not None)
    assert len(mp4_frames(content)) == len(packets)


def test_lores_frames_are_packed_and_lie_on_even_pixels(recorded: Recorded) -> None:
    assert recorded.pictures
    for frame in recorded.pictures:
        assert len(frame.data) == LORES_BYTES
        x, y, width, height = frame.active
        assert not any(side % 2 for side in frame.active)
        assert 0 <= x <= x + width <= 640
        assert 0 <= y <= y + height <= 360
        assert (width == 640) or (height == 360)


def test_lores_frames_keep_their_rate_and_belong_to_recorded_frames(recorded: Recorded) -> None:
    lores = [picture.pts_ns for picture in recorded.pictures]
    packets = [packet.pts_ns for packet in recorded.packets]
    due = SECONDS * LORES_RATE_HZ
    if recorded.live:
        # One for each slot in which there was a frame; the first and the last may be cut short.
        slots = {int((pts - packets[0]) * LORES_RATE_HZ // SECOND_NS) for pts in packets}
        assert len(slots) / 2 <= len(lores) <= due + 1
    else:
        assert len(lores) == due
    assert set(lores) <= set(packets)
    assert lores == sorted(set(lores))


def test_a_lores_frame_shows_what_was_recorded_at_its_time(recorded: Recorded) -> None:
    if not recorded.one_scene:
        pytest.skip("the fake camera's pictures for the model show numbers, not its scene")
    pictures = decode_packets(recorded.packets)
    shown = dict(zip([packet.pts_ns for packet in recorded.packets], pictures, strict=True))
    fitter = PictureFitter(640, 360)
    for lores in recorded.pictures[1:]:  # an encoder may begin badly
        expected, _rect = fitter.fit(shown[lores.pts_ns])
        for plane in (slice(0, 230_400), slice(230_400, 288_000), slice(288_000, LORES_BYTES)):
            pairs = zip(lores.data[plane][::97], expected[plane][::97], strict=True)
            assert statistics.mean(abs(a - b) for a, b in pairs) < 8


def test_the_stream_info_says_what_encodes_and_where_it_comes_from(recorded: Recorded) -> None:
    assert recorded.info.encoder
    assert recorded.info.source


def test_reading_before_open_is_refused(camera: Camera) -> None:
    with pytest.raises(CameraError, match="before open"):
        camera.read(0.0)


def test_opening_twice_is_refused(camera: Camera) -> None:
    camera.open()
    with pytest.raises(CameraError, match="twice"):
        camera.open()


def test_close_may_be_repeated_and_ends_reading(camera: Camera) -> None:
    camera.open()
    camera.close()
    camera.close()
    with pytest.raises(CameraError, match="before open"):
        camera.read(0.0)


def test_closing_a_camera_that_nobody_reads_does_not_hang(camera: Camera) -> None:
    camera.open()
    camera.close()


def test_a_closed_camera_opens_again_and_begins_with_a_keyframe_of_now(
    camera: Camera, clock: Clock
) -> None:
    camera.open()
    next_packet(camera)
    camera.close()
    if isinstance(clock, ManualClock):
        clock.advance(1.0)
    asked_ns = clock.boot_ns()
    camera.open()
    again = next_packet(camera)
    assert again.keyframe
    assert again.pts_ns >= asked_ns


def next_packet(camera: Camera) -> Packet:
    while not isinstance(item := camera.read(10.0), Packet):
        assert item is not None, "the camera stands still"
    return item
