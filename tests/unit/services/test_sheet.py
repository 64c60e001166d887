from __future__ import annotations

from agent.core.label_book import LabelView, TagPiece
from agent.core.rarity import LabelRarity
from agent.ports.camera import StreamInfo
from agent.services.session_track import Names, SessionTrack
from agent.services.sheet import (
    ClipFacts,
    PressedMark,
    View,
    fragment_labels,
    label_sheet,
    priority_of,
)
from agent.wire.label_sheet import ClockReading, Gap, Mark, ModelProvenance

CLOCK = ClockReading(boot_counter=1, mono_ns=2, wall_ns=3, trust="trusted")
GAP = Gap(start_pts_ns=50, end_pts_ns=100, cause="cable out")
MODEL = ModelProvenance(
    name="m",
    version=1,
    semver="1.0.0",
    artifact_sha256="0" * 64,
    manifest_sha256="1" * 64,
    backend="onnxruntime",
    accelerator="cpu",
)
FACTS = ClipFacts(
    clip_id="c",
    session_id="s",
    device_id="d",
    agent_version="1",
    start_pts_ns=100,
    end_pts_ns=200,
    frames=10,
    info=StreamInfo(width=64, height=48, frame_rate_hz=10.0, encoder="x264", source="fake"),
    clock=CLOCK,
    pre_roll=None,
    declared=(),
    gaps=(GAP,),
)


def view(*tags: TagPiece) -> View:
    return LabelView(
        model=MODEL,
        labels=("shot",),
        scored_pts_ns=(110, 150),
        values=((0.12345678,), (1.0,)),
        tags=tags,
        due=4,
        lost={"queue full": 2},
    )


def tag(start: int, end: int, *, continued: bool = False, continues: bool = False) -> TagPiece:
    return TagPiece("shot", start, end, 0.9, 0.8, continued=continued, continues=continues)


def test_times_in_a_sheet_count_from_the_first_frame() -> None:
    sheet = label_sheet(FACTS, view(tag(120, 180)), [PressedMark(pts_ns=130, source="button")])
    assert sheet.scores.offsets_ns == (10, 50)
    assert sheet.scores.values == ((0.123457,), (1.0,))
    assert [(one.start_ns, one.end_ns) for one in sheet.tags] == [(20, 80)]
    assert sheet.marks == (Mark(offset_ns=30, source="button"),)
    assert (sheet.video.frames, sheet.video.duration_ns) == (10, 100)
    assert (sheet.coverage.due, sheet.coverage.scored, sheet.coverage.share) == (4, 2, 0.5)
    assert (sheet.coverage.lost, sheet.gaps, sheet.model) == ({"queue full": 2}, (GAP,), MODEL)


def test_a_mark_at_the_end_belongs_to_the_next_clip() -> None:
    marks = [PressedMark(pts_ns=pts, source="b") for pts in (99, 100, 199, 200)]
    assert [mark.offset_ns for mark in label_sheet(FACTS, view(), marks).marks] == [0, 99]


def test_times_in_a_sidecar_are_pts() -> None:
    labels = fragment_labels(
        FACTS,
        view(tag(120, 180)),
        [PressedMark(pts_ns=130, source="b"), PressedMark(pts_ns=160, source="b")],
        index=3,
        start_pts_ns=100,
        end_pts_ns=150,
        frames=5,
    )
    assert labels.scores.offsets_ns == (110, 150)
    assert (labels.tags[0].start_ns, labels.tags[0].end_ns) == (120, 180)
    assert labels.marks_pts_ns == (130,)
    assert labels.video is not None
    assert (labels.video.frames, labels.video.duration_ns) == (5, 50)


def test_priority_follows_marks_then_tags_that_change_inside() -> None:
    through = tag(100, 200, continued=True, continues=True)
    ends_inside = tag(100, 150, continued=True)
    mark = PressedMark(pts_ns=150, source="b")
    rarity = LabelRarity()
    assert priority_of(label_sheet(FACTS, view(), []), rarity) == "plain"
    assert priority_of(label_sheet(FACTS, view(through), []), rarity) == "plain"
    assert priority_of(label_sheet(FACTS, view(ends_inside), []), rarity) == "rare"
    assert priority_of(label_sheet(FACTS, view(ends_inside), []), rarity) == "tagged"
    assert priority_of(label_sheet(FACTS, view(tag(120, 130)), [mark]), rarity) == "marked"


def test_a_mark_on_a_described_clip_is_late_in_the_record() -> None:
    names = Names("d", "0" * 16, 1, "1")
    session = SessionTrack(names.session_id(1), None, 0, CLOCK, ())
    session.mark(PressedMark(pts_ns=10, source="b"))
    session.described.append((0, 100))
    session.mark(PressedMark(pts_ns=20, source="b"))
    session.mark(PressedMark(pts_ns=100, source="b"))
    record = session.record(names)
    assert record.marks_pts_ns == (10, 20, 100)
    assert record.late_marks_pts_ns == (20,)
