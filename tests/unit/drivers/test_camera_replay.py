from __future__ import annotations

import hashlib
import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from agent import config
from agent.drivers.camera_replay import MAX_LATE_S, ReplayCamera
from agent.drivers.encoder_x264 import X264Encoder
from agent.errors import EncoderError, FootageError
from agent.ports.camera import CameraItem, CameraLost, LoresFrame, Packet, RawFrame
from tests.clock import START_BOOT_NS, ManualClock
from tests.footage_maker import SHIPPED, write_mp4
from tests.h264 import decode_packets

SECOND_NS = 1_000_000_000
WIDTH, HEIGHT = 160, 120

Make = Callable[..., ReplayCamera]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def make(clock: ManualClock) -> Iterator[Make]:
    """Builds replay cameras whose waiting moves the clock, and closes them."""
    made: list[ReplayCamera] = []

    def build(
        footage: Path, *, encoder: X264Encoder | None = None, **camera: object
    ) -> ReplayCamera:
        table = {"footage": footage, "width": WIDTH, "height": HEIGHT, **camera}
        made.append(
            ReplayCamera(
                config.Camera(**table),  # type: ignore[arg-type]
                clock,
                encoder or X264Encoder(config.Encoder(bitrate_kbps=200)),
                wait=clock.advance,
            )
        )
        return made[-1]

    yield build
    for camera in made:
        camera.close()


def read_packets(camera: ReplayCamera, count: int) -> list[Packet]:
    return [item for item in read_until(camera, count) if isinstance(item, Packet)]


def read_until(camera: ReplayCamera, packets: int) -> list[CameraItem]:
    items: list[CameraItem] = []
    while sum(isinstance(item, Packet) for item in items) < packets:
        item = camera.read(10.0)
        assert item is not None, "the camera stands still"
        items.append(item)
    return items


def read_lost(camera: ReplayCamera) -> CameraLost:
    while True:
        item = camera.read(10.0)
        assert item is not None, "the camera stands still"
        if isinstance(item, CameraLost):
            return item


def picture_hashes(path: Path, count: int) -> list[str]:
    with av.open(str(path)) as container:
        pictures = itertools.islice(container.decode(container.streams.video[0]), count)
        return [hashlib.sha256(bytes(picture.planes[0])).hexdigest() for picture in pictures]


def assert_steady(packets: list[Packet], rate_hz: int) -> None:
    for number, packet in enumerate(packets):
        assert abs(packet.pts_ns - START_BOOT_NS - number * SECOND_NS / rate_hz) < 1_000


# What is refused at open


@pytest.mark.parametrize("content", [b"", b"not a video" * 500], ids=["zero bytes", "no video"])
def test_a_file_that_is_no_video_is_refused_by_name(
    make: Make, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "good.mp4").write_bytes(write_mp4(tmp_path / "a.mp4").read_bytes())
    (tmp_path / "bad.mp4").write_bytes(content)
    with pytest.raises(FootageError, match=r"bad\.mp4.*: copy it again, or remove it") as caught:
        make(tmp_path).open()
    assert "\n" not in str(caught.value)


def test_a_file_cut_short_before_its_index_is_refused(make: Make, tmp_path: Path) -> None:
    whole = write_mp4(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(whole[:600])
    with pytest.raises(FootageError, match=r"a\.mp4 is damaged, cut short or no video"):
        make(tmp_path).open()


def test_a_file_whose_pictures_do_not_decode_is_refused(make: Make, tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "a.mp4")
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 4
    content[start:] = bytes(len(content) - start)
    path.write_bytes(content)
    with pytest.raises(FootageError, match=r"a\.mp4"):
        make(path).open()


def test_a_file_with_sound_only_is_refused(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        container.mux(stream.encode(None))
    with pytest.raises(FootageError, match=r"sound\.mp4"):
        make(path).open()


def test_a_folder_without_mp4_files_is_refused(make: Make, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(FootageError, match=r"holds no MP4 file: put \*\.mp4 files into it"):
        make(tmp_path).open()


def test_footage_that_does_not_exist_is_refused(make: Make, tmp_path: Path) -> None:
    with pytest.raises(FootageError, match=r"does not exist: correct camera\.footage"):
        make(tmp_path / "nowhere").open()


# Time


def test_footage_at_35_hz_is_recorded_at_35_hz_frame_for_frame(make: Make) -> None:
    camera = make(SHIPPED / "05_train_other_look.mp4", frame_rate_hz=30)
    assert camera.open().frame_rate_hz == 35.0
    assert_steady(read_packets(camera, 80), 35)


@pytest.mark.parametrize("stream_copy", ["auto", "never"])
def test_footage_repeats_for_ever_without_a_gap(
    make: Make, tmp_path: Path, stream_copy: str
) -> None:
    path = write_mp4(tmp_path / "a.mp4", frames=12)
    camera = make(path, stream_copy=stream_copy)
    camera.open()
    packets = read_packets(camera, 50)
    assert_steady(packets, 10)
    assert len(decode_packets(packets)) == 50


def test_files_of_a_folder_follow_by_name_without_a_gap(make: Make, tmp_path: Path) -> None:
    write_mp4(tmp_path / "2.mp4", frames=5)
    write_mp4(tmp_path / "1.mp4", frames=13)
    camera = make(tmp_path)
    info = camera.open()
    assert info.source == "replay of 1.mp4, 2.mp4"
    packets = read_packets(camera, 36)
    assert_steady(packets, 10)
    assert [n for n, packet in enumerate(packets) if packet.keyframe] == [0, 10, 13, 18, 28, 31]


def test_nothing_comes_before_its_time(make: Make, tmp_path: Path, clock: ManualClock) -> None:
    path = write_mp4(tmp_path / "a.mp4")
    waiting, go_on = threading.Event(), threading.Event()

    def wait(seconds: float) -> None:
        waiting.set()
        go_on.wait(10.0)
        clock.advance(seconds)

    settings = config.Camera(footage=path, width=WIDTH, height=HEIGHT)
    camera = ReplayCamera(settings, clock, X264Encoder(config.Encoder()), wait=wait)
    camera.open()
    try:
        assert waiting.wait(10.0)
        assert isinstance(camera.read(10.0), Packet)
        assert isinstance(camera.read(10.0), LoresFrame)
        assert camera.read(0.0) is None
        go_on.set()
        second = camera.read(10.0)
        assert isinstance(second, Packet)
        assert second.pts_ns <= clock.boot_ns()
    finally:
        go_on.set()
        camera.close()


def test_a_reader_that_stalls_loses_no_packet(
    make: Make, tmp_path: Path, clock: ManualClock
) -> None:
    """Behind by less than the limit: the frames keep their times and all of them come."""
    camera = make(write_mp4(tmp_path / "a.mp4"))
    camera.open()
    before = read_packets(camera, 3)
    clock.advance(MAX_LATE_S - 1.0)
    assert_steady(before + read_packets(camera, 200), 10)


@pytest.mark.parametrize("stream_copy", ["auto", "never"])
def test_falling_too_far_behind_is_said_and_the_stream_begins_anew_at_the_present(
    make: Make, tmp_path: Path, clock: ManualClock, stream_copy: str
) -> None:
    camera = make(write_mp4(tmp_path / "a.mp4"), stream_copy=stream_copy)
    camera.open()
    read_packets(camera, 3)
    clock.advance(60.0)
    lost = read_lost(camera)
    assert "behind" in lost.cause
    first = read_packets(camera, 1)[0]
    assert first.keyframe
    assert first.pts_ns - lost.pts_ns > 50 * SECOND_NS
    assert len(decode_packets([first, *read_packets(camera, 30)])) == 31


# Copying and transcoding


def test_stream_copy_gives_the_very_pictures_of_the_file(make: Make) -> None:
    path = SHIPPED / "stream_copy/closed_gop_720p.mp4"
    camera = make(path, width=1280, height=720)
    assert camera.open().encoder == "stream copy"
    pictures = decode_packets(read_packets(camera, 40))
    found = [hashlib.sha256(bytes(picture.planes[0])).hexdigest() for picture in pictures]
    assert found == picture_hashes(path, 40)


@pytest.mark.parametrize(
    "why",
    [
        {"b_frames": 2},
        {"gop_frames": 20},
        {"width": 320, "height": 240},
        {"codec": "mpeg4"},
    ],
    ids=["B-frames", "long GOP", "another size", "no H.264"],
)
def test_footage_that_cannot_be_copied_is_transcoded_frame_for_frame(
    make: Make, tmp_path: Path, why: dict[str, object]
) -> None:
    path = write_mp4(tmp_path / "a.mp4", **why)  # type: ignore[arg-type]
    camera = make(path)
    assert camera.open().encoder.startswith("libx264")
    packets = read_packets(camera, 45)
    assert_steady(packets, 10)
    assert [n for n, packet in enumerate(packets) if packet.keyframe] == [0, 10, 20, 30, 40]


def test_one_file_that_cannot_be_copied_makes_all_transcoded(make: Make, tmp_path: Path) -> None:
    write_mp4(tmp_path / "1.mp4")
    write_mp4(tmp_path / "2.mp4", width=320, height=180)
    camera = make(tmp_path)
    assert camera.open().encoder.startswith("libx264")
    pictures = decode_packets(read_packets(camera, 40))
    assert {(picture.width, picture.height) for picture in pictures} == {(WIDTH, HEIGHT)}


def test_stream_copy_can_be_switched_off(make: Make, tmp_path: Path) -> None:
    camera = make(write_mp4(tmp_path / "a.mp4"), stream_copy="never")
    assert camera.open().encoder.startswith("libx264")


def test_lores_shows_a_4_to_3_picture_between_bars(make: Make) -> None:
    camera = make(SHIPPED / "05_train_other_look.mp4")
    camera.open()
    lores = [item for item in read_until(camera, 8) if isinstance(item, LoresFrame)]
    assert {item.active for item in lores} == {(80, 0, 480, 360)}
    assert lores[0].data[:80] == b"\x10" * 80


def test_frames_captured_counts_the_packets(make: Make, tmp_path: Path, clock: ManualClock) -> None:
    """Every frame captured by the time of close was read, or waited in the queue."""
    camera = make(write_mp4(tmp_path / "a.mp4"))
    camera.open()
    packets = read_packets(camera, 500)
    expected = (packets[-1].pts_ns - packets[0].pts_ns) * 10 // SECOND_NS + 1
    assert len(packets) == expected
    assert camera.frames_captured >= len(packets)
    camera.close()


# Faults while playing


def cut_short(path: Path, share: float) -> None:
    content = path.read_bytes()
    start = content.index(b"mdat")
    path.write_bytes(content[: start + int((len(content) - start) * share)])


@pytest.mark.parametrize("stream_copy", ["auto", "never"])
def test_a_file_that_breaks_in_the_middle_is_played_up_to_there_and_reported_once(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, stream_copy: str
) -> None:
    caplog.set_level(logging.WARNING)
    cut_short(write_mp4(tmp_path / "1.mp4", frames=40), 0.6)
    write_mp4(tmp_path / "2.mp4", frames=10)
    camera = make(tmp_path, stream_copy=stream_copy)
    camera.open()
    packets = read_packets(camera, 120)
    assert_steady(packets, 10)
    (message,) = caplog.messages
    assert "1.mp4" in message
    assert "\n" not in message


def test_footage_that_vanishes_is_a_lost_camera_and_comes_back(make: Make, tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "a.mp4")
    camera = make(path)
    camera.open()
    read_packets(camera, 3)
    path.rename(tmp_path / "aside")
    assert "none of the footage" in read_lost(camera).cause
    (tmp_path / "aside").rename(path)
    after: list[Packet] = []
    while not after:
        item = camera.read(10.0)
        assert item is not None
        if isinstance(item, Packet):
            after.append(item)
    assert after[0].keyframe


class FailingOnce(X264Encoder):
    """An encoder that fails on its fifth picture."""

    def __init__(self) -> None:
        super().__init__(config.Encoder(bitrate_kbps=200))
        self._left = 5

    def _encode(self, frame: RawFrame) -> list[Packet]:
        self._left -= 1
        if self._left == 0:
            raise EncoderError("the encoder broke")
        return super()._encode(frame)


def test_an_encoder_that_fails_is_a_lost_camera_and_comes_back(make: Make, tmp_path: Path) -> None:
    camera = make(write_mp4(tmp_path / "a.mp4"), encoder=FailingOnce(), stream_copy="never")
    camera.open()
    assert len(read_packets(camera, 4)) == 4
    assert read_lost(camera).cause == "the encoder broke"
    packets = read_packets(camera, 20)
    assert packets[0].keyframe
    assert len(decode_packets(packets)) == 20


def test_closing_stops_the_thread_even_while_it_waits(tmp_path: Path, clock: ManualClock) -> None:
    settings = config.Camera(footage=write_mp4(tmp_path / "a.mp4"), width=WIDTH, height=HEIGHT)
    camera = ReplayCamera(settings, clock, X264Encoder(config.Encoder()))  # this clock stands still
    camera.open()
    assert isinstance(camera.read(10.0), Packet)
    camera.close()
    assert "replay-camera" not in {thread.name for thread in threading.enumerate()}
