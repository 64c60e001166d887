"""One exercise at 720p through the real programs, looked at from every side.

The stack runs once; each test looks at what it left: MP4s, sheets, receipts, catalogue, card.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from agent.ipc.messages import RecorderStatus
from firmware_tools.local_stack import LocalStack
from tests.footage_maker import SHIPPED
from tests.scenario import evidence
from tests.scenario.conftest import BUNDLE
from tests.scenario.processes import command_lines
from tests.scenario.waiting import status_of, wait_for_frames, wait_until_sent

pytestmark = [pytest.mark.scenario, pytest.mark.alone]

RATE_HZ = 35  # of the footage
PERIOD_NS = round(1e9 / RATE_HZ)
PRE_ROLL_S, CLIP_S, POST_ROLL_S = 3.0, 4.0, 1.0
MODEL_RATE_HZ = 15
# A word that no program would say by itself, so that finding it means that it leaked.
WEIRD = "zebra-4711"


@dataclass(frozen=True)
class Job:
    """One session, over. Times are pts (CLOCK_BOOTTIME)."""

    stack: LocalStack
    pressed_pts_ns: tuple[int, int]
    marked_pts_ns: tuple[int, int]
    stopped_pts_ns: tuple[int, int]
    standby: RecorderStatus
    clips: list[evidence.Clip]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("job")
    stack = LocalStack(
        folder,
        footage=SHIPPED / "07_building_720p.mp4",
        bundle=BUNDLE,
        agent={
            "recorder": {
                "pre_roll_s": PRE_ROLL_S,
                "clip_s": CLIP_S,
                "post_roll_s": POST_ROLL_S,
            }
        },
    )
    with stack:
        stack.wait_ready()
        # So many more frames that the whole pre-roll was seen by a tagger that was ready.
        wait_for_frames(stack, round((PRE_ROLL_S + 2) * RATE_HZ))
        pressed = between(lambda: stack.start({"scenario": WEIRD, "site": "range 3"}))
        wait_for_frames(stack, 5 * RATE_HZ)
        marked = between(stack.mark)
        wait_for_frames(stack, 2 * RATE_HZ)
        stopped = between(stack.stop)
        wait_until_sent(stack)
        standby = status_of(stack)
    return Job(stack, pressed, marked, stopped, standby, evidence.stored_clips(stack))


def between(press: Callable[[], object]) -> tuple[int, int]:
    """Do `press`; the boot times before and after it."""
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    press()
    return before, time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def test_every_clip_is_stored_and_the_card_waits_for_nothing(job: Job) -> None:
    assert len(job.clips) >= 3
    assert not evidence.shelf(job.stack, "recording")
    assert not evidence.shelf(job.stack, "outbox")
    ids = [clip.clip_id for clip in job.clips]
    record = f"{job.clips[0].manifest.session_id}-record"
    assert evidence.shelf(job.stack, "sent") == sorted([*ids, record])


def test_ffprobe_finds_nothing_wrong_and_counts_what_the_sheet_says(job: Job) -> None:
    for clip in job.clips:
        frames, duration_s, complaints = evidence.ffprobe(clip.mp4)
        assert complaints == ""
        assert frames == clip.sheet.video.frames
        assert duration_s * 1e9 == pytest.approx(clip.sheet.video.duration_ns, abs=PERIOD_NS / 2)
        assert (clip.sheet.video.width, clip.sheet.video.height) == (1280, 720)


def test_no_frame_is_lost_in_a_clip_or_between_two(job: Job) -> None:
    evidence.assert_frames_continuous(job.clips, PERIOD_NS)
    assert not any(clip.sheet.gaps for clip in job.clips)
    frames = sum(clip.sheet.video.frames for clip in job.clips)
    span_ns = job.clips[-1].manifest.end_pts_ns - job.clips[0].manifest.start_pts_ns
    assert frames == round(span_ns / PERIOD_NS) == job.standby.frames_written


def test_the_session_spans_pre_roll_to_post_roll(job: Job) -> None:
    first, last = job.clips[0].manifest, job.clips[-1].manifest
    assert first.start_pts_ns <= job.pressed_pts_ns[0] - PRE_ROLL_S * 1e9
    assert last.end_pts_ns >= job.stopped_pts_ns[0] + POST_ROLL_S * 1e9


def test_the_sheet_states_the_pre_roll_really_kept(job: Job) -> None:
    pre_roll = job.clips[0].sheet.pre_roll
    assert pre_roll is not None
    assert pre_roll.asked_s == PRE_ROLL_S
    # Whole GOPs of 1 s: as much as was asked for, and less than one GOP more.
    assert PRE_ROLL_S <= pre_roll.kept_s < PRE_ROLL_S + 1.1
    start = job.clips[0].manifest.start_pts_ns
    assert job.pressed_pts_ns[0] <= start + round(pre_roll.kept_s * 1e9) <= job.pressed_pts_ns[1]
    assert all(clip.sheet.pre_roll is None for clip in job.clips[1:])


def test_declared_labels_are_in_every_sheet_and_the_mark_where_it_was_pressed(job: Job) -> None:
    for clip in job.clips:
        said = {(one.key, one.value, one.source) for one in clip.sheet.declared}
        assert said == {("scenario", WEIRD, "demo"), ("site", "range 3", "demo")}
    marks = [(clip, mark) for clip in job.clips for mark in clip.sheet.marks]
    assert len(marks) == 1
    clip, mark = marks[0]
    pressed = clip.manifest.start_pts_ns + mark.offset_ns
    assert job.marked_pts_ns[0] <= pressed <= job.marked_pts_ns[1]
    assert clip.manifest.start_pts_ns <= pressed < clip.manifest.end_pts_ns
    assert clip.manifest.priority == "marked"


def test_coverage_counts_every_frame_that_was_due(job: Job) -> None:
    for clip in job.clips:
        coverage = clip.sheet.coverage
        seconds = clip.sheet.video.duration_ns / 1e9
        assert coverage.due == pytest.approx(seconds * MODEL_RATE_HZ, abs=2)
        assert coverage.scored + sum(coverage.lost.values()) == coverage.due
        assert coverage.scored == len(clip.sheet.scores.offsets_ns)
    due = sum(clip.sheet.coverage.due for clip in job.clips)
    scored = sum(clip.sheet.coverage.scored for clip in job.clips)
    assert scored / due > 0.9


def test_tags_come_from_the_model_that_the_sheet_names(job: Job) -> None:
    names = {label for clip in job.clips for label in clip.sheet.scores.labels}
    for clip in job.clips:
        model = clip.sheet.model
        assert model is not None
        assert (model.name, model.version) == ("sightline-reference", 1)
        assert model.artifact_sha256 in (BUNDLE / "manifest.json").read_text()
        assert "CPUExecutionProvider" in model.accelerator
        for tag in clip.sheet.tags:
            assert tag.label in names
            assert 0 <= tag.start_ns < tag.end_ns <= clip.sheet.video.duration_ns
    # The footage shows a weapon all the time: a model that runs cannot have missed all of it.
    assert "weapon_in_view" in {tag.label for clip in job.clips for tag in clip.sheet.tags}


def test_the_session_record_names_all_clips_and_the_mark(job: Job) -> None:
    (record,) = evidence.stored_records(job.stack)
    assert record.ended == "stopped"
    assert record.clips == tuple(clip.clip_id for clip in job.clips)
    assert len(record.marks_pts_ns) == 1
    assert not record.gaps
    assert job.stopped_pts_ns[0] <= (record.stop_pts_ns or 0) <= job.stopped_pts_ns[1]


def test_every_receipt_on_the_card_is_signed_and_names_the_card_s_own_files(job: Job) -> None:
    for clip_id in evidence.shelf(job.stack, "sent"):
        receipt = evidence.verified_receipt(job.stack, clip_id)
        assert receipt.collector == job.stack.fleet.collector.collector_id


def test_plain_age_opens_the_fragments_to_the_collector_s_very_mp4(job: Job) -> None:
    for clip in job.clips:
        assert evidence.age_decrypted(job.stack, clip.clip_id) == clip.mp4.read_bytes()


def test_the_collector_stored_what_the_card_signed(job: Job) -> None:
    for clip in job.clips:
        card = job.stack.state_dir / "spool" / "sent" / clip.clip_id
        for name in ("manifest.json", "custody.jsonl"):
            assert (clip.folder / name).read_bytes() == (card / name).read_bytes()
    assert not evidence.catalogue(job.stack, "SELECT * FROM chain_breaks")


def test_what_a_person_said_is_never_in_the_clear_on_the_card(job: Job) -> None:
    needle = WEIRD.encode()
    assert not evidence.files_that_hold(job.stack.state_dir, needle)
    assert not evidence.files_that_hold(job.stack.logs_dir, needle)
    # The search does find it where it may be read.
    assert evidence.files_that_hold(job.stack.store_dir / "store", needle)


def test_the_catalogue_says_what_the_files_say(job: Job) -> None:
    rows = evidence.catalogue(job.stack, "SELECT * FROM clips WHERE kind = 'clip' ORDER BY clip_id")
    assert [row["clip_id"] for row in rows] == [clip.clip_id for clip in job.clips]
    for row, clip in zip(rows, job.clips, strict=True):
        assert job.stack.store_dir / row["folder"] == clip.folder
        assert row["frames"] == clip.sheet.video.frames
        assert row["mp4_bytes"] == clip.mp4.stat().st_size
        assert row["coverage_due"] == clip.sheet.coverage.due
        assert row["coverage_scored"] == clip.sheet.coverage.scored
        assert row["recovered"] == 0
        assert row["conflict"] == 0
    words = evidence.catalogue(
        job.stack, "SELECT DISTINCT value FROM declared WHERE key='scenario'"
    )
    assert [row["value"] for row in words] == [WEIRD]


def test_the_status_after_the_session_names_no_fault(job: Job) -> None:
    assert job.standby.faults == ()
    assert job.standby.tagger == "ready"
    evidence.assert_no_stack_trace(job.stack)


def test_nothing_is_left_running_and_no_socket_is_left(job: Job) -> None:
    assert not command_lines(job.stack.folder)
    assert not job.stack.runtime_dir.exists()
