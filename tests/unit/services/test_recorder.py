"""The recorder in one process: real sockets, sealing and files; the lens and the clock are ours."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import zmq

from agent.errors import CameraError
from agent.ipc.messages import (
    SpanClosed,
)
from agent.services.resuming import RESTARTED
from agent.wire.custody import line_hash
from agent.wire.label_sheet import DeclaredLabel
from agent.wire.manifest import CUSTODY_FILE
from tests.fake_tagger import LORES_HZ, MODEL, FakeTagger
from tests.recorder_rig import SESSION, MakeRig, Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as made:
        yield made


def test_a_session_is_recorded_sealed_and_put_in_the_outbox(rig: Rig) -> None:
    rig.run(5)
    reply = rig.start(exercise="house")
    assert (reply.refused, reply.status.state, reply.status.session_id) == (
        "",
        "recording",
        SESSION,
    )
    rig.run(3)
    rig.stop()
    rig.run(1.5)
    rig.settle()
    assert rig.outbox() == [f"{SESSION}-0000", f"{SESSION}-0001", f"{SESSION}-record"]
    first, second = rig.item(0), rig.item(1)
    assert first.sheet.pre_roll is not None
    assert first.sheet.pre_roll.asked_s == 3
    assert first.sheet.pre_roll.kept_s == 3.0
    assert second.sheet.pre_roll is None
    for clip in (first, second):
        assert clip.frames == clip.sheet.video.frames == clip.manifest.frames
        assert clip.sheet.declared == (
            DeclaredLabel(key="exercise", value="house", source="control"),
        )
    assert (first.sheet.video.frames, first.manifest.fragments) == (40, 4)
    # Frame after frame: the second clip begins where the first ends.
    assert second.manifest.start_pts_ns == first.manifest.end_pts_ns
    record = rig.item("record").record
    assert record.clips == (f"{SESSION}-0000", f"{SESSION}-0001")
    assert (record.ended, record.start_pts_ns) == ("stopped", first.manifest.start_pts_ns)
    assert rig.item("record").manifest.priority == "record"


def test_a_clip_hangs_on_the_one_opened_before_it(rig: Rig) -> None:
    rig.start()
    rig.run(9)
    rig.stop()
    rig.run(1.5)
    rig.settle()
    items = [rig.item(0), rig.item(1), rig.item(2), rig.item("record")]
    assert items[0].lines[0].prev == "0" * 64
    for before, after in pairwise(items):
        texts = (before.folder / CUSTODY_FILE).read_text().splitlines()
        assert after.lines[0].prev in {line_hash(text) for text in texts}


def test_scores_and_tags_reach_the_sheet_with_full_coverage(rig: Rig) -> None:
    tagger = FakeTagger(rig)
    tagger.run(4)
    rig.start()
    tagger.run(1)
    pts = rig.clock.boot_ns()
    tagger.say(SpanClosed(1, "shot", pts - 400_000_000, pts - 300_000_000, 0.9, 0.7))
    tagger.run(4)
    rig.stop()
    tagger.run(1.5)
    rig.until(lambda: rig.recorder.status().state == "standby", "standby")
    clips = [rig.item(clip) for clip in range(len(rig.outbox()) - 1)]
    for clip in clips:
        assert clip.sheet.model == MODEL
        assert clip.sheet.coverage.share == 1.0
        seconds = (clip.manifest.end_pts_ns - clip.manifest.start_pts_ns) // 10**9
        assert clip.sheet.coverage.due == seconds * LORES_HZ
        assert set(clip.sheet.scores.values) == {(0.25,)}
    tagged = {clip.manifest.clip_id: tag for clip in clips for tag in clip.sheet.tags}
    ((clip_id, tag),) = tagged.items()
    assert (tag.label, tag.end_ns - tag.start_ns) == ("shot", 100_000_000)
    for clip in clips:
        expected = "rare" if clip.manifest.clip_id == clip_id else "plain"
        assert clip.manifest.priority == expected
    first = tagger.seen[0].seq
    assert [frame.seq for frame in tagger.seen] == list(range(first, first + len(tagger.seen)))


def test_without_a_tagger_the_recording_is_whole_and_the_sheet_says_why(rig: Rig) -> None:
    rig.start()
    rig.run(3)
    rig.stop()
    rig.run(1.5)
    rig.settle()
    coverage = rig.item(0).sheet.coverage
    assert (coverage.scored, coverage.share) == (0, 0.0)
    assert coverage.lost == {"tagger not running": coverage.due}
    assert coverage.due > 0


def test_a_tagger_that_dies_loses_only_what_came_after(rig: Rig) -> None:
    tagger = FakeTagger(rig)
    tagger.run(4)
    pressed = rig.clock.boot_ns()
    rig.start()
    rig.run(2)
    rig.stop()
    rig.run(1)
    rig.written()
    kept = rig.spool.path("recording", f"{SESSION}-0000")
    rig.until(lambda: (kept / "0001.labels.age").exists(), "a sidecar")
    rig.settle()
    coverage = rig.item(0).sheet.coverage
    # The pre-roll and the frame at the press itself.
    assert coverage.scored == (pressed - rig.item(0).manifest.start_pts_ns) * LORES_HZ // 10**9 + 1
    assert coverage.lost == {"tagger not running": coverage.due - coverage.scored}


def test_a_mark_lies_at_its_frame_and_raises_the_clip(rig: Rig) -> None:
    assert "start one first" in rig.mark().refused
    rig.start()
    rig.run(2)
    assert rig.mark().refused == ""
    rig.run(4)
    rig.stop()
    rig.run(1)
    rig.settle()
    assert [mark.offset_ns for mark in rig.item(0).sheet.marks] == [2_000_000_000]
    assert rig.item(0).manifest.priority == "marked"
    assert rig.item(1).sheet.marks == ()
    assert len(rig.item("record").record.marks_pts_ns) == 1


def test_a_lost_camera_leaves_a_gap_and_a_new_clip(rig: Rig) -> None:
    rig.start()
    rig.run(2)
    rig.camera.lose("cable out")
    rig.run(2)
    rig.stop()
    rig.run(1)
    rig.settle()
    (gap,) = rig.item(1).sheet.gaps
    assert gap.cause == "cable out"
    assert (gap.start_pts_ns, gap.end_pts_ns) == (
        rig.item(0).manifest.end_pts_ns,
        rig.item(1).manifest.start_pts_ns,
    )
    assert rig.item("record").record.gaps == (gap,)
    assert [line.kind for line in rig.item(1).lines][:2] == ["open", "gap"]


def test_the_cap_begins_a_new_session_without_losing_a_frame(make_rig: MakeRig) -> None:
    rig = make_rig(session_cap_s=10, clip_s=30, pre_roll_s=0)
    rig.start(exercise="long")
    rig.run(14)
    rig.stop()
    rig.run(1.5)
    rig.settle()
    second = SESSION[:-1] + "2"
    before, after = rig.item(0), rig.item(0, session=second)
    assert before.manifest.end_pts_ns == after.manifest.start_pts_ns
    assert rig.item("record").record.ended == "capped"
    assert rig.item("record", session=second).record.ended == "stopped"
    assert after.sheet.declared == before.sheet.declared
    assert after.sheet.pre_roll is None


def test_a_service_stop_loses_nothing_that_was_captured(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.start()
    rig.run(2.5)
    captured = rig.recorder.status().frames_captured
    rig.close()
    assert rig.outbox() == [f"{SESSION}-0000", f"{SESSION}-record"]
    assert rig.item(0).frames == rig.item(0).sheet.video.frames >= captured


def test_a_camera_that_cannot_be_opened_is_said_and_a_start_refused(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig()
    line = "no lens: connect one"
    rig.camera.close()

    def refuse() -> None:
        raise CameraError("no lens", remedy="connect one")

    monkeypatch.setattr(rig.camera, "_open", refuse)
    rig.until(lambda: line in rig.recorder.status().faults, "the fault")
    reply = rig.start()
    assert line in reply.refused
    assert reply.status.state == "standby"


def test_a_bad_request_is_answered_with_its_reason(rig: Rig) -> None:
    socket = rig.connect(zmq.REQ, "control")
    socket.send(b"\xff nonsense")
    rig.until(lambda: socket.poll(0) != 0, "a reply")
    assert b"not understood" in socket.recv()


def test_events_never_pile_up_without_an_uplink(rig: Rig) -> None:
    rig.start()
    for _ in range(300):
        rig.recorder.mark(rig.clock.boot_ns(), "button")
    assert len(rig.recorder._outbox._waiting) <= 200


def test_what_a_killed_recorder_left_arrives_at_the_next_start(tmp_path: Path) -> None:
    """The folder as it stood while recording: what kill -9 or a battery pull leaves."""
    with Rig(tmp_path / "a", clip_s=60) as rig:
        rig.start()
        rig.run(3.5)
        rig.mark()
        rig.run(6)
        rig.written()
        durable = rig.recorder.status().frames_written
        shutil.copytree(tmp_path / "a" / "state", tmp_path / "b" / "state")
    with Rig(tmp_path / "b", keys=rig.keys, boot=2) as again:
        assert again.outbox() == [f"{SESSION}-0000", f"{SESSION}-record"]
        clip = again.item(0)
        assert clip.manifest.recovered
        assert clip.frames == clip.manifest.frames == durable
        assert again.item("record").record.ended == "recovered"
        assert again.item("record").record.clips == (f"{SESSION}-0000",)
        assert again.start().status.session_id == SESSION.replace("-000001-", "-000002-")


def test_a_recorder_that_failed_goes_on_with_the_session_and_says_so(tmp_path: Path) -> None:
    with Rig(tmp_path / "a", clip_s=60, os_boot="boot-a") as rig:
        rig.start(scenario="hostage")
        rig.run(6)
        rig.written()
        shutil.copytree(tmp_path / "a" / "state", tmp_path / "b" / "state")
        clock = rig.clock
    with Rig(tmp_path / "b", keys=rig.keys, boot=2, os_boot="boot-a", clock=clock) as again:
        assert again.status().status.state == "recording"
        again.run(3)
        assert again.stop().refused == ""
        again.run(3)
        again.settle()
        clip = again.item(0, session=SESSION.replace("-000001-", "-000002-"))
        before = again.item(0)
        assert clip.sheet.resumes == SESSION
        assert clip.sheet.pre_roll is None
        (gap,) = clip.sheet.gaps
        assert gap.start_pts_ns == before.manifest.end_pts_ns
        assert gap.end_pts_ns == clip.manifest.start_pts_ns
        assert gap.cause == RESTARTED


@pytest.mark.parametrize(
    ("os_boot", "later_s", "stopped"),
    [("boot-b", 1, False), ("", 1, False), ("boot-a", 601, False), ("boot-a", 1, True)],
)
def test_a_session_is_not_gone_on_with_after_a_reboot_a_long_time_or_the_stop_press(
    tmp_path: Path, os_boot: str, later_s: float, stopped: bool
) -> None:
    with Rig(tmp_path / "a", clip_s=60, post_roll_s=60, os_boot="boot-a") as rig:
        rig.start()
        rig.run(6)
        if stopped:
            rig.stop()
        rig.written()
        shutil.copytree(tmp_path / "a" / "state", tmp_path / "b" / "state")
        clock = rig.clock
    clock.advance(later_s)
    with Rig(tmp_path / "b", keys=rig.keys, boot=2, os_boot=os_boot, clock=clock) as again:
        assert again.status().status.state == "standby"
