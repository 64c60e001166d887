"""What every Encoder promises, over every driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from av.video.frame import PictureType

from agent import config
from agent.drivers.encoder_x264 import X264Encoder
from agent.errors import EncoderError
from agent.ports.camera import Packet, RawFrame
from agent.ports.encoder import Encoder
from tests.footage_maker import i420
from tests.h264 import NAL_IDR, NAL_PPS, NAL_SPS, decode_packets, nal_kinds

WIDTH, HEIGHT = 160, 120
SECOND_NS = 1_000_000_000
START_NS = 5_000 * SECOND_NS

DRIVERS: dict[str, Callable[[], Encoder]] = {
    "x264": lambda: X264Encoder(config.Encoder(bitrate_kbps=300)),
    "x264 with 2 threads": lambda: X264Encoder(config.Encoder(bitrate_kbps=300, threads=2)),
    "x264 veryfast": lambda: X264Encoder(config.Encoder(bitrate_kbps=300, preset="veryfast")),
}


@pytest.fixture(params=list(DRIVERS))
def encoder(request: pytest.FixtureRequest) -> Iterator[Encoder]:
    driver = DRIVERS[request.param]()
    yield driver
    driver.close()


def frame_at(pts_ns: int, number: int = 0) -> RawFrame:
    content = i420(WIDTH, HEIGHT, number)
    return RawFrame(pts_ns=pts_ns, width=WIDTH, height=HEIGHT, data=content)


def encode_all(encoder: Encoder, pts: list[int]) -> list[Packet]:
    packets = []
    for number, pts_ns in enumerate(pts):
        packets += encoder.encode(frame_at(pts_ns, number))
    return packets + encoder.finish()


def steady(count: int, rate_hz: float) -> list[int]:
    return [START_NS + int(number * SECOND_NS / rate_hz) for number in range(count)]


def test_as_many_packets_as_frames_with_their_pts(encoder: Encoder) -> None:
    encoder.open(WIDTH, HEIGHT, 35.0)
    pts = steady(80, 35.0)
    assert [packet.pts_ns for packet in encode_all(encoder, pts)] == pts


def test_each_frame_comes_out_at_once(encoder: Encoder) -> None:
    encoder.open(WIDTH, HEIGHT, 30.0)
    counts = [len(encoder.encode(frame_at(pts_ns))) for pts_ns in steady(40, 30.0)]
    assert counts == [1] * 40


def test_keyframes_open_closed_gops_with_headers_in_band(encoder: Encoder) -> None:
    encoder.open(WIDTH, HEIGHT, 10.0)
    packets = encode_all(encoder, steady(35, 10.0))
    for packet in packets:
        kinds = nal_kinds(packet.data)
        assert packet.keyframe == (NAL_IDR in kinds)
        if packet.keyframe:
            assert kinds.index(NAL_SPS) < kinds.index(NAL_PPS) < kinds.index(NAL_IDR)
    assert packets[0].keyframe


def test_a_gop_opens_each_second_at_a_steady_rate(encoder: Encoder) -> None:
    encoder.open(WIDTH, HEIGHT, 35.0)
    packets = encode_all(encoder, steady(35 * 4 + 1, 35.0))
    assert [i for i, packet in enumerate(packets) if packet.keyframe] == [0, 35, 70, 105, 140]


def test_a_gop_opens_each_second_when_the_rate_is_not_the_nominal_one(encoder: Encoder) -> None:
    encoder.open(WIDTH, HEIGHT, 30.0)
    packets = encode_all(encoder, steady(12 * 4, 12.0))
    keys = [packet.pts_ns for packet in packets if packet.keyframe]
    assert [round((key - START_NS) / SECOND_NS) for key in keys] == [0, 1, 2, 3]


def test_a_hole_in_the_source_opens_a_gop(encoder: Encoder) -> None:
    encoder.open(WIDTH, HEIGHT, 10.0)
    later_ns = START_NS + 7 * SECOND_NS + 123
    pts = [*steady(5, 10.0), later_ns, later_ns + 100_000_000, later_ns + SECOND_NS]
    assert [packet.keyframe for packet in encode_all(encoder, pts)][4:] == [
        False,
        True,
        False,
        True,
    ]


def test_every_picture_decodes_without_b_frames(encoder: Encoder) -> None:
    encoder.open(WIDTH, HEIGHT, 10.0)
    pictures = decode_packets(encode_all(encoder, steady(25, 10.0)))
    assert len(pictures) == 25
    assert {(picture.width, picture.height) for picture in pictures} == {(WIDTH, HEIGHT)}
    assert PictureType.B not in {picture.pict_type for picture in pictures}
    bars = [
        bytes(picture.planes[0])[4 * i * picture.planes[0].line_size]
        for i, picture in enumerate(pictures)
    ]
    assert min(bars) > 180  # the bar is where frame i has it: the right pictures, in order


def test_a_gop_decodes_without_the_one_before(encoder: Encoder) -> None:
    encoder.open(WIDTH, HEIGHT, 10.0)
    packets = encode_all(encoder, steady(30, 10.0))
    assert len(decode_packets(packets[10:20])) == 10


def test_the_name_says_what_encodes(encoder: Encoder) -> None:
    encoder.open(WIDTH, HEIGHT, 10.0)
    assert encoder.name


def test_odd_size_is_refused(encoder: Encoder) -> None:
    with pytest.raises(EncoderError, match="161x120"):
        encoder.open(161, 120, 10.0)


def test_a_frame_of_another_size_is_refused(encoder: Encoder) -> None:
    encoder.open(WIDTH, HEIGHT, 10.0)
    content = i420(320, 240, 0)
    with pytest.raises(EncoderError, match="320x240"):
        encoder.encode(RawFrame(pts_ns=1, width=320, height=240, data=content))


def test_a_frame_cut_short_is_refused(encoder: Encoder) -> None:
    encoder.open(WIDTH, HEIGHT, 10.0)
    with pytest.raises(EncoderError, match="no packed I420"):
        encoder.encode(RawFrame(pts_ns=1, width=WIDTH, height=HEIGHT, data=b"short"))


def test_encoding_before_open_is_refused(encoder: Encoder) -> None:
    with pytest.raises(EncoderError):
        encoder.encode(frame_at(START_NS))


def test_it_opens_again_after_close(encoder: Encoder) -> None:
    for _ in range(2):
        encoder.open(WIDTH, HEIGHT, 10.0)
        packets = encode_all(encoder, steady(3, 10.0))
        assert [packet.keyframe for packet in packets] == [True, False, False]
        encoder.close()
