"""Turns what is known about an interval into the wire's label sheet, sidecar and session record."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agent.core.label_book import LabelView
from agent.core.rarity import LabelRarity
from agent.ports.camera import StreamInfo
from agent.wire.label_sheet import (
    ClockReading,
    Coverage,
    DeclaredLabel,
    FragmentLabels,
    Gap,
    LabelSheet,
    Mark,
    ModelProvenance,
    PreRoll,
    Scores,
    Tag,
    Video,
)
from agent.wire.manifest import Priority

View = LabelView[ModelProvenance]
# Six digits say more than an INT8 model knows, and keep a sheet a third of the size.
_SCORE_DIGITS = 6


class ClipFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the recorder itself knows about a clip. Times in pts."""

    clip_id: str
    session_id: str
    device_id: str
    agent_version: str
    start_pts_ns: int
    end_pts_ns: int
    frames: int
    info: StreamInfo
    clock: ClockReading
    pre_roll: PreRoll | None
    declared: tuple[DeclaredLabel, ...]
    gaps: tuple[Gap, ...]
    resumes: str | None = None


class PressedMark(msgspec.Struct, frozen=True, kw_only=True):
    """A mark as it was pressed."""

    pts_ns: int
    source: str


def label_sheet(facts: ClipFacts, view: View, marks: Sequence[PressedMark]) -> LabelSheet:
    """The sheet of a closed clip; marks outside the clip are left out."""
    start = facts.start_pts_ns
    return LabelSheet(
        clip_id=facts.clip_id,
        session_id=facts.session_id,
        device_id=facts.device_id,
        agent_version=facts.agent_version,
        start_pts_ns=start,
        clock=facts.clock,
        video=_video(facts, facts.frames, facts.end_pts_ns - start),
        pre_roll=facts.pre_roll,
        tags=_tags(view, start),
        scores=_scores(view, start),
        declared=facts.declared,
        marks=tuple(
            Mark(offset_ns=mark.pts_ns - start, source=mark.source)
            for mark in marks
            if start <= mark.pts_ns < facts.end_pts_ns
        ),
        gaps=facts.gaps,
        coverage=_coverage(view),
        model=view.model,
        resumes=facts.resumes,
    )


def fragment_labels(
    facts: ClipFacts,
    view: View,
    marks: Sequence[PressedMark],
    *,
    index: int,
    start_pts_ns: int,
    end_pts_ns: int,
    frames: int,
) -> FragmentLabels:
    """The labels of one fragment; tags and offsets of scores in pts."""
    return FragmentLabels(
        clip_id=facts.clip_id,
        index=index,
        start_pts_ns=start_pts_ns,
        end_pts_ns=end_pts_ns,
        scores=_scores(view, 0),
        tags=_tags(view, 0),
        marks_pts_ns=tuple(m.pts_ns for m in marks if start_pts_ns <= m.pts_ns < end_pts_ns),
        declared=facts.declared,
        gaps=facts.gaps,
        coverage=_coverage(view),
        model=view.model,
        pre_roll=facts.pre_roll,
        video=_video(facts, frames, end_pts_ns - start_pts_ns),
        clock=facts.clock,
    )


def happened(sheet: LabelSheet) -> set[str]:
    """The labels of the tags that begin or end inside: a tag that holds over the whole clip is a
    state of affairs, not an event."""
    return {tag.label for tag in sheet.tags if not (tag.continued and tag.continues)}


def priority_of(sheet: LabelSheet, rarity: LabelRarity) -> Priority:
    """ "marked" when the wearer marked it, "rare" and "tagged" by what happened in it; `rarity`
    counts the clip."""
    labels = happened(sheet)
    is_rare = rarity.is_rare(labels)
    if sheet.marks:
        return "marked"
    if labels:
        return "rare" if is_rare else "tagged"
    return "plain"


def _video(facts: ClipFacts, frames: int, duration_ns: int) -> Video:
    return Video(
        codec="h264",
        width=facts.info.width,
        height=facts.info.height,
        frame_rate_hz=facts.info.frame_rate_hz,
        frames=frames,
        duration_ns=duration_ns,
        encoder=facts.info.encoder,
        source=facts.info.source,
    )


def _tags(view: View, origin_ns: int) -> tuple[Tag, ...]:
    return tuple(
        Tag(
            label=piece.label,
            start_ns=piece.start_pts_ns - origin_ns,
            end_ns=piece.end_pts_ns - origin_ns,
            peak=piece.peak,
            mean=piece.mean,
            continued=piece.continued,
            continues=piece.continues,
        )
        for piece in view.tags
    )


def _scores(view: View, origin_ns: int) -> Scores:
    return Scores(
        labels=view.labels,
        offsets_ns=tuple(pts - origin_ns for pts in view.scored_pts_ns),
        values=tuple(
            tuple(round(value, _SCORE_DIGITS) for value in values) for values in view.values
        ),
    )


def _coverage(view: View) -> Coverage:
    return Coverage(due=view.due, scored=view.scored, share=view.share, lost=view.lost)
