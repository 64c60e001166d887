"""The label sheet of a clip that was recovered without one, built from its fragments' labels.

Pure: what a fragment's sealed labels and the signed custody lines say, put together; where they
say nothing the sheet says nothing either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from agent.wire.custody import CustodyLine
from agent.wire.label_sheet import (
    ClockReading,
    Coverage,
    DeclaredLabel,
    FragmentLabels,
    Gap,
    LabelSheet,
    Mark,
    Scores,
    Tag,
    Video,
)
from agent.wire.manifest import Manifest

NO_LABELS_CAUSE = "labels lost with the recorder"
UNKNOWN = "unknown"


def build_sheet(
    manifest: Manifest,
    lines: Sequence[CustodyLine],
    fragments: Sequence[FragmentLabels],
    *,
    built_by: Literal["collector", "open-clip"] = "collector",
) -> LabelSheet:
    """The sheet of `manifest`'s clip. `fragments`: the labels that survived, in order."""
    start = manifest.start_pts_ns
    marks = {pts for labels in fragments for pts in labels.marks_pts_ns}
    return LabelSheet(
        clip_id=manifest.clip_id,
        session_id=manifest.session_id,
        device_id=manifest.device_id,
        agent_version=UNKNOWN,
        start_pts_ns=start,
        clock=_clock(lines, fragments),
        video=_video(manifest, fragments),
        pre_roll=next((f.pre_roll for f in reversed(fragments) if f.pre_roll), None),
        tags=_tags(manifest, fragments),
        scores=_scores(start, fragments),
        declared=_declared(fragments),
        marks=tuple(Mark(offset_ns=pts - start, source="button") for pts in sorted(marks)),
        gaps=_gaps(lines, fragments),
        coverage=_coverage(manifest, fragments),
        model=next((f.model for f in reversed(fragments) if f.model), None),
        built_by=built_by,
    )


def _clock(lines: Sequence[CustodyLine], fragments: Sequence[FragmentLabels]) -> ClockReading:
    for labels in fragments:
        if labels.clock is not None:
            return labels.clock
    first = lines[0]
    return ClockReading(
        boot_counter=first.boot_counter,
        mono_ns=first.mono_ns,
        wall_ns=first.wall_ns,
        trust=first.clock_trust,
    )


def _video(manifest: Manifest, fragments: Sequence[FragmentLabels]) -> Video:
    duration_ns = manifest.end_pts_ns - manifest.start_pts_ns
    known = next((f.video for f in fragments if f.video), None)
    if known is not None:
        return msgspec.structs.replace(known, frames=manifest.frames, duration_ns=duration_ns)
    return Video(
        codec="h264",
        width=0,
        height=0,
        frame_rate_hz=manifest.frames * 1e9 / duration_ns if duration_ns else 0.0,
        frames=manifest.frames,
        duration_ns=duration_ns,
        encoder=UNKNOWN,
        source=UNKNOWN,
    )


def _tags(manifest: Manifest, fragments: Sequence[FragmentLabels]) -> tuple[Tag, ...]:
    """Each span once, as the last fragment that it touches knew it; cut to the clip."""
    newest: dict[tuple[str, int], Tag] = {}
    for labels in fragments:
        for tag in labels.tags:
            newest[tag.label, tag.start_ns] = tag
    start, end = manifest.start_pts_ns, manifest.end_pts_ns
    cut = (
        msgspec.structs.replace(
            tag,
            start_ns=max(tag.start_ns, start) - start,
            end_ns=min(tag.end_ns, end) - start,
            continued=tag.continued or tag.start_ns < start,
            continues=tag.continues or tag.end_ns > end,
        )
        for tag in newest.values()
        if tag.start_ns < end and tag.end_ns > start
    )
    return tuple(sorted(cut, key=lambda tag: (tag.start_ns, tag.label)))


def _scores(start_pts_ns: int, fragments: Sequence[FragmentLabels]) -> Scores:
    """All rows whose labels are those of the first fragment that has scores (one model a clip)."""
    names = next((f.scores.labels for f in fragments if f.scores.labels), ())
    rows: dict[int, tuple[float, ...]] = {}
    for labels in fragments:
        if labels.scores.labels == names:
            rows.update(zip(labels.scores.offsets_ns, labels.scores.values, strict=False))
    ordered = sorted(rows)
    return Scores(
        labels=names,
        offsets_ns=tuple(pts - start_pts_ns for pts in ordered),
        values=tuple(rows[pts] for pts in ordered),
    )


def _declared(fragments: Iterable[FragmentLabels]) -> tuple[DeclaredLabel, ...]:
    seen: dict[tuple[str, str, str], DeclaredLabel] = {}
    for labels in fragments:
        for word in labels.declared:
            seen.setdefault((word.key, word.value, word.source), word)
    return tuple(seen.values())


def _gaps(lines: Iterable[CustodyLine], fragments: Iterable[FragmentLabels]) -> tuple[Gap, ...]:
    seen = {(gap.start_pts_ns, gap.end_pts_ns): gap for f in fragments for gap in f.gaps}
    for line in lines:
        if line.kind == "gap" and line.start_pts_ns is not None and line.end_pts_ns is not None:
            gap = Gap(
                start_pts_ns=line.start_pts_ns, end_pts_ns=line.end_pts_ns, cause=line.cause or ""
            )
            seen[gap.start_pts_ns, gap.end_pts_ns] = gap
    return tuple(seen[key] for key in sorted(seen))


def _coverage(manifest: Manifest, fragments: Sequence[FragmentLabels]) -> Coverage:
    """The sum over the fragments; a fragment without labels lost as many frames as the others had
    on average: they were due, and nothing scored them."""
    due = sum(f.coverage.due for f in fragments)
    scored = sum(f.coverage.scored for f in fragments)
    lost: Counter[str] = Counter()
    for labels in fragments:
        lost.update(labels.coverage.lost)
    missing = manifest.fragments - len({f.index for f in fragments})
    if missing > 0:
        guessed = round(due / len(fragments) * missing) if fragments else 0
        due += guessed
        lost[NO_LABELS_CAUSE] += guessed
    return Coverage(due=due, scored=scored, share=scored / due if due else 0.0, lost=dict(lost))
