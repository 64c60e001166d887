"""The tagger service over real sockets, with a recorder that the test plays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

import pytest
import zmq

from agent.drivers.accelerator_fake import FakeAccelerator
from agent.drivers.card_reader_fake import FakeCardReader
from agent.errors import ModelError
from agent.ipc import sockets
from agent.ipc.messages import (
    CodeSeen,
    FrameHeader,
    FrameScores,
    LensSeen,
    ModelReady,
    SpanClosed,
    SpanOpened,
    SpanSoFar,
    TaggerFault,
    TaggerMessage,
    Watermark,
    pack,
    unpack,
)
from agent.ports.clock import Clock
from agent.services.looker import Looker
from agent.services.tagger import FAILURES_TO_RELOAD, RETRY_S, TaggerService
from agent.services.tagger_model import TaggerModel, load_model
from tests import tiny_model

STEP = 66_666_667
T = TypeVar("T")
BRIGHT = bytes([235]) * (640 * 360) + bytes([128]) * (640 * 180)
DARK = bytes([16]) * (640 * 360) + bytes([128]) * (640 * 180)
Context = zmq.Context[zmq.Socket[bytes]]


class HandClock(Clock):
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now_ns = 1_000

    def boot_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return self.now_ns

    def trust(self) -> Literal["trusted", "untrusted"]:
        return "untrusted"


class Recorder:
    """The other side of both sockets."""

    def __init__(self, context: Context, runtime_dir: Path) -> None:
        self.frames = sockets.bind(context, zmq.PUSH, runtime_dir, "frames", high_water=15)
        self.scores = sockets.bind(context, zmq.PULL, runtime_dir, "scores", high_water=1000)
        self.heard: list[TaggerMessage] = []

    def send(self, seq: int, pts_ns: int, i420: bytes = BRIGHT, width: int = 640) -> None:
        self.frames.send_multipart([pack(FrameHeader(seq, pts_ns, 0, 0, width, 360)), i420])

    def listen(self) -> None:
        while self.scores.poll(0):
            message: TaggerMessage = unpack(TaggerMessage, self.scores.recv())
            self.heard.append(message)

    def close(self) -> None:
        self.frames.close(linger=0)
        self.scores.close(linger=0)


class Bench:
    """A tagger, its clock and accelerator, and a recorder."""

    def __init__(self, context: Context, folder: Path, looker: Looker | None = None) -> None:
        self.context, self.runtime_dir = context, folder / "run"
        self.bundle = folder / "bundle"
        self.clock = HandClock()
        self.accelerator = FakeAccelerator()
        tiny_model.write_bundle(self.bundle)
        self.recorder = Recorder(context, self.runtime_dir)
        self.service = TaggerService(context, self.runtime_dir, self.load, self.clock, looker)

    def load(self, first_span_id: int) -> TaggerModel:
        return load_model(self.bundle, self.accelerator, "0.1.0", first_span_id=first_span_id)

    def until(self, reached: Callable[[], bool]) -> None:
        """Step the service until `reached`; fails after a bounded number of turns."""
        for _ in range(500):
            self.recorder.listen()
            if reached():
                return
            if not self.service.step():
                self.service.wait(0.01)
        raise AssertionError(f"not reached; heard {self.recorder.heard}")

    def ready(self) -> None:
        self.until(lambda: bool(self.of(ModelReady)))
        self.service.step()  # it may hear of the connection itself only now, and announce again

    def play(self, pictures: list[bytes], first_seq: int = 0) -> None:
        for i, picture in enumerate(pictures, start=first_seq):
            self.recorder.send(i, i * STEP, picture)
            expected = self.service.counts.received + 1
            self.until(lambda expected=expected: self.service.counts.received == expected)  # type: ignore[misc]
        last = pictures and (first_seq + len(pictures) - 1) * STEP
        self.until(lambda: any(m.scored_through_pts_ns == last for m in self.of(Watermark)))

    def of(self, kind: type[T]) -> list[T]:
        return [m for m in self.recorder.heard if isinstance(m, kind)]

    def close(self) -> None:
        self.service.close()
        self.recorder.close()
        self.context.destroy(linger=0)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(zmq.Context(), tmp_path)
    yield made
    made.close()


@pytest.fixture
def looking(tmp_path: Path) -> Iterator[Bench]:
    """A bench whose tagger looks at frames, too."""
    made = Bench(zmq.Context(), tmp_path, Looker(FakeCardReader("a code")))
    yield made
    made.close()


def test_frame_to_look_at_is_looked_at_whether_or_not_it_is_to_be_scored(
    looking: Bench,
) -> None:
    looking.until(lambda: looking.service.counts.received > 0 or bool(looking.of(ModelReady)))
    for seq, (score, look) in enumerate(((False, True), (True, True), (True, False))):
        header = FrameHeader(seq, seq * STEP, 0, 0, 640, 360, score=score, look=look)
        looking.recorder.frames.send_multipart([pack(header), BRIGHT])
        if look:
            looking.until(lambda seq=seq: len(looking.of(CodeSeen)) > seq)  # type: ignore[misc]
    looking.until(lambda: len(looking.of(FrameScores)) == 2)
    assert [seen.pts_ns for seen in looking.of(CodeSeen)] == [0, STEP]
    assert [seen.pts_ns for seen in looking.of(LensSeen)] == [0, STEP]
    assert [scored.pts_ns for scored in looking.of(FrameScores)] == [STEP, 2 * STEP]


def test_a_recorder_is_told_the_model_before_any_score(bench: Bench) -> None:
    bench.ready()
    bench.play([DARK, BRIGHT])
    assert isinstance(bench.recorder.heard[0], ModelReady)
    assert bench.of(ModelReady)[0].labels == ("bright", "dark")
    assert bench.of(ModelReady)[0].provenance.backend == "fake"


def test_frames_that_pile_up_are_scored_in_order_each_as_if_it_were_alone(bench: Bench) -> None:
    bench.ready()
    frames = [DARK, BRIGHT, BRIGHT, DARK, BRIGHT, DARK, DARK, BRIGHT]
    for seq, picture in enumerate(frames):
        if seq == 5:
            bench.recorder.frames.send_multipart([b"rubbish", BRIGHT])
        bench.recorder.send(seq, seq * STEP, picture)
    bench.until(lambda: len(bench.of(FrameScores)) == len(frames))
    expected = [(0.0, 1.0) if picture is DARK else (1.0, 0.0) for picture in frames]
    assert [m.scores for m in bench.of(FrameScores)] == expected
    assert [m.pts_ns for m in bench.of(FrameScores)] == [i * STEP for i in range(len(frames))]
    assert (bench.service.counts.malformed, bench.service.counts.received) == (1, 9)


def test_each_frame_gives_its_scores_its_tags_and_then_the_watermark(bench: Bench) -> None:
    bench.ready()
    bench.play([DARK, BRIGHT, DARK])
    assert [m.scores for m in bench.of(FrameScores)] == [(0.0, 1.0), (1.0, 0.0), (0.0, 1.0)]
    assert [m.scored_through_pts_ns for m in bench.of(Watermark)] == [0, STEP, 2 * STEP]
    assert [(m.label, m.start_pts_ns) for m in bench.of(SpanOpened)] == [
        ("dark", 0),
        ("bright", STEP),
        ("dark", 2 * STEP),
    ]
    assert [(m.label, m.start_pts_ns, m.end_pts_ns) for m in bench.of(SpanClosed)] == [
        ("dark", 0, STEP),
        ("bright", STEP, 2 * STEP),
    ]
    assert [m.label for m in bench.of(SpanSoFar)] == ["dark", "bright", "dark"]
    assert bench.service.counts.scored == 3


def test_frames_that_never_came_are_counted(bench: Bench) -> None:
    bench.ready()
    bench.play([BRIGHT])
    bench.play([BRIGHT], first_seq=4)
    assert bench.service.counts.holes == 3


def test_a_missing_bundle_is_said_once_and_the_watermark_goes_on(bench: Bench) -> None:
    (bench.bundle / "manifest.json").unlink()
    bench.until(lambda: bool(bench.of(TaggerFault)))
    bench.play([BRIGHT, BRIGHT])
    assert {m.text for m in bench.of(TaggerFault)} == {bench.service.fault}
    assert "no model bundle in" in bench.service.fault
    assert "\n" not in bench.service.fault
    assert bench.of(FrameScores) == []
    assert bench.service.counts.without_model == 2


def test_a_bundle_that_appears_later_is_taken_at_the_next_try(bench: Bench) -> None:
    kept = (bench.bundle / "manifest.json").read_bytes()
    (bench.bundle / "manifest.json").unlink()
    bench.until(lambda: bool(bench.of(TaggerFault)))
    (bench.bundle / "manifest.json").write_bytes(kept)
    bench.service.step()
    assert bench.service.fault
    bench.clock.now_ns += round(RETRY_S * 1e9)
    bench.ready()
    bench.play([BRIGHT])
    assert bench.service.fault == ""
    assert len(bench.of(FrameScores)) == 1


def test_an_altered_model_file_is_a_fault_not_a_crash(bench: Bench) -> None:
    (bench.bundle / "backbone.onnx").write_bytes(b"y" * 35)
    bench.until(lambda: bool(bench.of(TaggerFault)))
    assert "was altered" in bench.service.fault


def test_each_failed_picture_is_said_and_the_next_good_one_goes_on(bench: Bench) -> None:
    bench.ready()
    bench.accelerator.fail_with = "bus error"
    for seq in range(2):
        bench.recorder.send(seq, seq * STEP)
    bench.until(lambda: len(bench.of(TaggerFault)) == 2)
    bench.accelerator.fail_with = ""
    bench.play([BRIGHT], first_seq=2)
    kinds = [type(m) for m in bench.recorder.heard if not isinstance(m, ModelReady)]
    assert kinds[:3] == [TaggerFault, TaggerFault, FrameScores]
    assert (bench.service.counts.failed, bench.service.counts.scored) == (2, 1)
    assert bench.service.fault == ""


def test_an_accelerator_that_keeps_failing_ends_its_tags_and_is_loaded_again(bench: Bench) -> None:
    bench.ready()
    bench.play([BRIGHT])
    bench.accelerator.fail_with = "hung"
    for seq in range(1, 1 + FAILURES_TO_RELOAD):
        bench.recorder.send(seq, seq * STEP)
    bench.until(lambda: bench.service.counts.failed == FAILURES_TO_RELOAD)
    bench.play([BRIGHT], first_seq=10)
    assert [m.end_pts_ns for m in bench.of(SpanClosed)] == [STEP]
    bench.accelerator.fail_with = ""
    bench.clock.now_ns += round(RETRY_S * 1e9)
    bench.until(lambda: isinstance(bench.recorder.heard[-1], ModelReady))
    bench.play([BRIGHT], first_seq=20)
    assert bench.service.fault == ""


def test_a_new_recorder_is_told_the_model_and_no_tag_of_before(bench: Bench) -> None:
    bench.ready()
    bench.play([BRIGHT, BRIGHT])
    before = {m.span_id for m in bench.of(SpanOpened)}
    bench.recorder.close()
    bench.recorder = Recorder(bench.context, bench.runtime_dir)
    bench.ready()
    bench.play([BRIGHT])
    assert isinstance(bench.recorder.heard[0], ModelReady)
    assert {m.span_id for m in bench.of(SpanOpened)}.isdisjoint(before)
    assert bench.of(SpanClosed) == []


def test_a_sequence_that_starts_again_is_a_new_recorder(bench: Bench) -> None:
    bench.ready()
    bench.play([BRIGHT], first_seq=100)
    bench.recorder.heard.clear()
    bench.play([BRIGHT])
    assert isinstance(bench.recorder.heard[0], ModelReady)
    assert bench.service.counts.holes == 0


@pytest.mark.parametrize(
    "parts",
    [
        [b""],
        [b"rubbish", BRIGHT],
        [pack(FrameHeader(0, 0, 0, 0, 640, 360)), b"short"],
        [pack(FrameHeader(0, 0, 10, 0, 640, 360)), BRIGHT],
        [pack(FrameHeader(0, 0, 0, 0, 0, 0)), BRIGHT],
        [pack(FrameHeader(0, 0, 0, 0, 640, 360)), BRIGHT, b"more"],
    ],
)
def test_a_malformed_frame_is_counted_and_the_next_good_one_is_scored(
    bench: Bench, parts: list[bytes]
) -> None:
    bench.ready()
    bench.recorder.frames.send_multipart(parts)
    bench.until(lambda: bench.service.counts.malformed == 1)
    assert len(bench.service.fault.splitlines()) == 1
    bench.play([BRIGHT], first_seq=1)
    assert bench.service.fault == ""


def test_a_frame_older_than_the_last_is_not_scored(bench: Bench) -> None:
    bench.ready()
    bench.play([BRIGHT], first_seq=5)
    bench.recorder.send(6, 0)
    bench.until(lambda: bench.service.counts.out_of_order == 1)
    assert len(bench.of(FrameScores)) == 1


def test_closing_ends_the_open_tags_and_says_so(bench: Bench) -> None:
    bench.ready()
    bench.play([BRIGHT, BRIGHT])
    bench.service.close()
    assert bench.recorder.scores.poll(2000)
    bench.recorder.listen()
    assert [m.label for m in bench.of(SpanClosed)] == ["bright"]


def test_scores_wait_in_memory_until_the_recorder_listens(bench: Bench) -> None:
    bench.service.close()
    bench.recorder.scores.close(linger=0)
    elsewhere = bench.runtime_dir / "b"
    bench.recorder.frames.close(linger=0)
    bench.recorder.frames = sockets.bind(
        bench.context, zmq.PUSH, elsewhere, "frames", high_water=15
    )
    bench.service = TaggerService(bench.context, elsewhere, bench.load, bench.clock)
    for seq in range(3):
        bench.recorder.send(seq, seq * STEP)
    for _ in range(500):
        if bench.service.counts.scored < 3 and not bench.service.step():
            bench.service.wait(0.01)
    assert bench.service.counts.scored == 3
    bench.recorder.scores = sockets.bind(
        bench.context, zmq.PULL, elsewhere, "scores", high_water=1000
    )
    bench.until(lambda: len(bench.of(FrameScores)) == 3)


def test_a_fault_of_several_lines_is_said_in_one(tmp_path: Path) -> None:
    context: Context = zmq.Context()

    def broken(_first: int) -> TaggerModel:
        raise ModelError("first line\nsecond line", remedy="mend it")

    recorder = Recorder(context, tmp_path / "run")
    service = TaggerService(context, tmp_path / "run", broken, HandClock())
    service.step()
    assert service.fault == "first line second line: mend it"
    service.close()
    recorder.close()
    context.destroy(linger=0)


def test_another_model_takes_over_between_two_frames_and_open_tags_end_there(bench: Bench) -> None:
    bench.ready()
    bench.play([BRIGHT, BRIGHT])
    announced = len(bench.of(ModelReady))
    other = load_model(bench.bundle, FakeAccelerator(), "0.1.0", first_span_id=1000)
    bench.service.replace(other)
    bench.play([BRIGHT], first_seq=2)
    assert len(bench.of(ModelReady)) == announced + 1
    assert [scores.pts_ns for scores in bench.of(FrameScores)] == [0, STEP, 2 * STEP]
    closed = bench.of(SpanClosed)
    assert [(span.label, span.start_pts_ns) for span in closed] == [("bright", 0)]
    assert STEP < closed[0].end_pts_ns <= 2 * STEP
    bench.service.reload()
    bench.until(lambda: len(bench.of(ModelReady)) == 3)
