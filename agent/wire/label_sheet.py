"""The label sheet of one clip, and the session record. Sealed before they touch the card.

Times ending in `_ns` are nanoseconds from the clip's first frame, unless the name says `pts`
(CLOCK_BOOTTIME of the device's boot). Intervals are half open. Tags are the model's words,
declared labels a person's: never mixed.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from agent.wire.codec import Count, Message, TimeNs
from agent.wire.custody import ClockTrust

MAX_SHEET_BYTES = 16 * 1024 * 1024


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """A label that held over [start_ns, end_ns) of this clip. `continued` / `continues`: the span
    began before the clip / goes on after it."""

    label: str
    start_ns: TimeNs
    end_ns: TimeNs
    peak: float
    mean: float
    continued: bool = False
    continues: bool = False


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """Raw scores. `values[i][j]`: score in 0..1 of `labels[j]` on the frame at `offsets_ns[i]`."""

    labels: tuple[str, ...] = ()
    offsets_ns: tuple[TimeNs, ...] = ()
    values: tuple[tuple[float, ...], ...] = ()


class DeclaredLabel(msgspec.Struct, frozen=True, kw_only=True):
    """What a person said. `source`: who or what carried the word ("control", "card", "plan")."""

    key: str
    value: str
    source: str


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The wearer's press while recording; `offset_ns` from the clip's first frame."""

    offset_ns: TimeNs
    source: str


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """An interval that was not recorded. `cause` in a few plain words."""

    start_pts_ns: TimeNs
    end_pts_ns: TimeNs
    cause: str


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """Of the `due` model frames of this clip, `scored` were scored; `lost` says why the rest were
    not (cause -> frames). `share` = scored / due, 0 when none was due."""

    due: Count
    scored: Count
    share: float
    lost: dict[str, Count] = {}


class Video(msgspec.Struct, frozen=True, kw_only=True):
    """`frames` counted in the MP4; `duration_ns` from first frame to the end of the last."""

    codec: str
    width: Count
    height: Count
    frame_rate_hz: float
    frames: Count
    duration_ns: TimeNs
    encoder: str
    source: str


class PreRoll(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from before the start press: asked for, and really kept (whole GOPs). A session that
    nobody pressed for (begun by the cap, or gone on with) states none."""

    asked_s: float
    kept_s: float


class ModelProvenance(msgspec.Struct, frozen=True, kw_only=True):
    """Which model made the tags, on what. None in the sheet when no model ran. `gate`: what this
    camera's gate found before the model became active; "" for one that was there from the start."""

    name: str
    version: int
    semver: str
    artifact_sha256: str
    manifest_sha256: str
    backend: str
    accelerator: str
    gate: str = ""


class ClockReading(msgspec.Struct, frozen=True, kw_only=True):
    """Wall time belongs to `mono_ns` (CLOCK_BOOTTIME) of boot `boot_counter`, as far as trusted."""

    boot_counter: Count
    mono_ns: TimeNs
    wall_ns: TimeNs
    trust: ClockTrust


class LabelSheet(Message, frozen=True, kw_only=True):
    """Everything known about a clip when it closed. `resumes`: the session that a failure of the
    recorder cut off and that this one goes on with; its declared labels hold here too."""

    clip_id: str
    session_id: str
    device_id: str
    agent_version: str
    start_pts_ns: TimeNs
    clock: ClockReading
    video: Video
    pre_roll: PreRoll | None = None
    tags: tuple[Tag, ...] = ()
    scores: Scores = Scores()
    declared: tuple[DeclaredLabel, ...] = ()
    marks: tuple[Mark, ...] = ()
    gaps: tuple[Gap, ...] = ()
    coverage: Coverage
    model: ModelProvenance | None = None
    resumes: str | None = None
    built_by: Literal["recorder", "collector", "open-clip"] = "recorder"


class FragmentLabels(Message, frozen=True, kw_only=True):
    """The labels of one fragment, sealed beside it: from these the sheet of a recovered clip is
    built. `tags` are spans known so far that touch the fragment; times are pts."""

    clip_id: str
    index: Count
    start_pts_ns: TimeNs
    end_pts_ns: TimeNs
    scores: Scores = Scores()
    tags: tuple[Tag, ...] = ()
    marks_pts_ns: tuple[TimeNs, ...] = ()
    declared: tuple[DeclaredLabel, ...] = ()
    gaps: tuple[Gap, ...] = ()
    coverage: Coverage
    model: ModelProvenance | None = None
    pre_roll: PreRoll | None = None
    video: Video | None = None
    clock: ClockReading | None = None


class SessionRecord(Message, frozen=True, kw_only=True):
    """Made when a session ends or is recovered: what became known late. Closed clips never change.

    `marks_pts_ns` holds all marks of the session, `late_marks` those whose clip had closed.
    `resumes` as in the label sheet. `clocks`: the clock as read at the start (also in `clock`),
    when it first became trusted, and at the end, as far as known. All are of the session's own
    boot, so from a trusted one every pts of that boot gets its wall time.
    """

    session_id: str
    device_id: str
    agent_version: str
    start_pts_ns: TimeNs
    stop_pts_ns: TimeNs | None
    ended: Literal["stopped", "capped", "recovered", "camera_lost", "card_full", "low_battery"]
    clips: tuple[str, ...]
    marks_pts_ns: tuple[TimeNs, ...] = ()
    late_marks_pts_ns: tuple[TimeNs, ...] = ()
    declared: tuple[DeclaredLabel, ...] = ()
    gaps: tuple[Gap, ...] = ()
    clock: ClockReading
    clocks: tuple[ClockReading, ...] = ()
    resumes: str | None = None
