from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import config
from agent.drivers.encoder_x264 import X264Encoder
from agent.errors import CameraError
from agent.media.fragments import Fragment, FragmentMuxer
from agent.ports.camera import Packet, RawFrame
from tests.footage_maker import i420
from tests.h264 import mp4_frames, mp4_pictures

WIDTH, HEIGHT, RATE_HZ = 64, 48, 10.0
SECOND_NS = 1_000_000_000
PERIOD_NS = SECOND_NS // 10
START_NS = 98_765_432_101_234
TICK_S = 1 / 90_000


def encode(pts: list[int]) -> list[Packet]:
    encoder = X264Encoder(config.Encoder(bitrate_kbps=100))
    encoder.open(WIDTH, HEIGHT, RATE_HZ)
    packets = []
    for number, pts_ns in enumerate(pts):
        content = i420(WIDTH, HEIGHT, number)
        packets += encoder.encode(RawFrame(pts_ns=pts_ns, width=WIDTH, height=HEIGHT, data=content))
    packets += encoder.finish()
    encoder.close()
    return packets


def steady(frames: int) -> list[int]:
    return [START_NS + number * PERIOD_NS for number in range(frames)]


def fragments_of(packets: list[Packet]) -> list[Fragment]:
    muxer = FragmentMuxer(WIDTH, HEIGHT, RATE_HZ)
    found = [muxer.push(packet) for packet in packets] + [muxer.finish()]
    return [fragment for fragment in found if fragment is not None]


def boxes(content: bytes) -> list[str]:
    names, at = [], 0
    while at < len(content):
        names.append(content[at + 4 : at + 8].decode("ascii"))
        at += int.from_bytes(content[at : at + 4], "big")
    assert at == len(content)
    return names


def test_a_keyframe_closes_the_gop_before_and_finish_the_last() -> None:
    muxer = FragmentMuxer(WIDTH, HEIGHT, RATE_HZ)
    packets = encode(steady(25))
    closed_at = [n for n, packet in enumerate(packets) if muxer.push(packet) is not None]
    assert closed_at == [10, 20]
    last = muxer.finish()
    assert last is not None
    assert (last.index, last.frames) == (2, 5)


def test_fragments_join_without_hole_and_count_every_frame() -> None:
    fragments = fragments_of(encode(steady(25)))
    assert [fragment.index for fragment in fragments] == [0, 1, 2]
    assert [fragment.frames for fragment in fragments] == [10, 10, 5]
    assert fragments[0].start_pts_ns == START_NS
    assert fragments[-1].end_pts_ns == START_NS + 25 * PERIOD_NS
    for before, after in itertools.pairwise(fragments):
        assert before.end_pts_ns == after.start_pts_ns


def test_only_fragment_0_carries_the_init_segment_and_none_an_index() -> None:
    fragments = fragments_of(encode(steady(25)))
    assert boxes(fragments[0].content) == ["ftyp", "moov", "moof", "mdat"]
    assert [boxes(fragment.content) for fragment in fragments[1:]] == [["moof", "mdat"]] * 2


def test_any_first_n_fragments_are_a_playable_mp4_from_zero() -> None:
    fragments = fragments_of(encode(steady(35)))
    for count in range(1, len(fragments) + 1):
        content = b"".join(fragment.content for fragment in fragments[:count])
        expected = sum(fragment.frames for fragment in fragments[:count])
        frames = mp4_frames(content)
        assert frames[0][0] == 0.0
        assert len(frames) == expected == mp4_pictures(content)


def test_sample_times_are_the_real_ones_of_a_source_with_varying_rate() -> None:
    steps_ns = [33_000_001, 150_000_000, 80_000_777, 100_000_000, 41_234_567] * 8
    pts = [START_NS, *(START_NS + offset for offset in itertools.accumulate(steps_ns))]
    content = b"".join(fragment.content for fragment in fragments_of(encode(pts)))
    frames = mp4_frames(content)
    assert len(frames) == len(pts)
    for (start_s, duration_s), pts_ns, step_ns in zip(frames, pts, steps_ns, strict=False):
        assert start_s == pytest.approx((pts_ns - START_NS) / SECOND_NS, abs=TICK_S)
        assert duration_s == pytest.approx(step_ns / SECOND_NS, abs=2 * TICK_S)


def test_times_do_not_drift_over_four_hours() -> None:
    """One GOP each ten minutes stands for the whole: times are absolute, not summed up."""
    pts = [START_NS + n * 600 * SECOND_NS + n * 7 for n in range(25)]
    content = b"".join(fragment.content for fragment in fragments_of(encode(pts)))
    start_s, _ = mp4_frames(content)[-1]
    assert start_s == pytest.approx(4 * 3600, abs=TICK_S)


def test_the_last_frame_lasts_as_its_packet_says() -> None:
    content = b"".join(fragment.content for fragment in fragments_of(encode(steady(12))))
    assert mp4_frames(content)[-1][1] == pytest.approx(0.1, abs=TICK_S)


def test_a_clip_of_one_frame_plays() -> None:
    (fragment,) = fragments_of(encode(steady(1)))
    assert mp4_pictures(fragment.content) == fragment.frames == 1


def test_a_second_clip_from_the_middle_of_the_stream_begins_at_zero() -> None:
    packets = encode(steady(30))
    content = b"".join(fragment.content for fragment in fragments_of(packets[10:]))
    assert mp4_frames(content)[0][0] == 0.0
    assert mp4_pictures(content) == 20


def test_the_size_of_the_stream_is_in_the_init_segment() -> None:
    (fragment,) = fragments_of(encode(steady(1)))
    avcc = fragment.content.index(b"avcC")
    assert fragment.content[avcc + 4] == 1  # configurationVersion: SPS and PPS are there
    visual = fragment.content.index(b"avc1") + 4 + 24
    assert fragment.content[visual : visual + 4] == bytes([0, WIDTH, 0, HEIGHT])


def test_a_stream_that_does_not_begin_with_a_keyframe_is_refused() -> None:
    muxer = FragmentMuxer(WIDTH, HEIGHT, RATE_HZ)
    with pytest.raises(CameraError, match="keyframe"):
        muxer.push(encode(steady(2))[1])


def test_a_keyframe_without_sps_and_pps_is_refused_instead_of_written_unplayable() -> None:
    muxer = FragmentMuxer(WIDTH, HEIGHT, RATE_HZ)
    packet = encode(steady(1))[0]
    bare = msgspec.structs.replace(
        packet, data=packet.data[packet.data.index(b"\x00\x00\x01\x65") :]
    )
    with pytest.raises(CameraError, match="no SPS and PPS"):
        muxer.push(bare)


def test_pts_that_do_not_rise_are_refused() -> None:
    muxer = FragmentMuxer(WIDTH, HEIGHT, RATE_HZ)
    packets = encode(steady(2))
    muxer.push(packets[0])
    with pytest.raises(CameraError, match="rise"):
        muxer.push(packets[0])


def test_finish_without_packets_and_a_second_finish_give_nothing() -> None:
    assert FragmentMuxer(WIDTH, HEIGHT, RATE_HZ).finish() is None
    muxer = FragmentMuxer(WIDTH, HEIGHT, RATE_HZ)
    muxer.push(encode(steady(1))[0])
    assert muxer.finish() is not None
    assert muxer.finish() is None


def test_a_packet_after_finish_is_refused() -> None:
    muxer = FragmentMuxer(WIDTH, HEIGHT, RATE_HZ)
    packets = encode(steady(2))
    muxer.push(packets[0])
    muxer.finish()
    with pytest.raises(CameraError, match="after the clip's end"):
        muxer.push(packets[1])


@settings(max_examples=40, deadline=None)
@given(steps_ms=st.lists(st.integers(2, 400), min_size=0, max_size=60))
def test_no_frame_is_lost_whatever_the_rate_does(steps_ms: list[int]) -> None:
    pts = [START_NS, *(START_NS + ms * 1_000_000 for ms in itertools.accumulate(steps_ms))]
    fragments = fragments_of(encode(pts))
    frames = mp4_frames(b"".join(fragment.content for fragment in fragments))
    assert len(frames) == len(pts) == sum(fragment.frames for fragment in fragments)
    for (start_s, _), pts_ns in zip(frames, pts, strict=True):
        assert start_s == pytest.approx((pts_ns - START_NS) / SECOND_NS, abs=TICK_S)
