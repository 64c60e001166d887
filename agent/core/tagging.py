"""From scores to tags: smoothing and hysteresis per label. No clock; times are pts in ns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class TagRule:
    """How one label's scores become tags. Times in ns; thresholds on the smoothed score."""

    label: str
    group: str
    kind: Literal["state", "event"]
    threshold_on: float
    threshold_off: float
    smoothing_ns: int
    min_on_ns: int
    min_off_ns: int
    cooldown_ns: int

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold_off <= self.threshold_on <= 1.0:
            raise ValueError(f"{self.label}: 0 <= threshold_off <= threshold_on <= 1 is needed")
        if min(self.smoothing_ns, self.min_on_ns, self.min_off_ns, self.cooldown_ns) < 0:
            raise ValueError(f"{self.label}: a time is negative")


@dataclass(frozen=True, slots=True)
class OpenSpan:
    """A tag that holds since `start_ns`; peak and mean of the scores so far."""

    span_id: int
    label: str
    group: str
    kind: Literal["state", "event"]
    start_ns: int
    peak: float
    mean: float


@dataclass(frozen=True, slots=True)
class Span:
    """A tag that is complete: [start_ns, end_ns), peak and mean of the scores inside."""

    span_id: int
    label: str
    group: str
    kind: Literal["state", "event"]
    start_ns: int
    end_ns: int
    peak: float
    mean: float


Change: TypeAlias = OpenSpan | Span


class TagTracker:
    """Streams scores of all labels into spans.

    A span opens when the smoothed score stayed at or above threshold_on for min_on, and starts
    at the first of those frames. It closes when the smoothed score stayed below threshold_off
    for min_off, and ends at the first of those frames. After its end the next one of the label
    starts no sooner than cooldown. A gap longer than max_gap closes every span at the last
    scored frame plus one frame period and forgets the smoothing. Spans of one label are ordered
    and never overlap; span ids count up over all labels. The same pushes give the same spans.
    """

    def __init__(
        self, rules: Sequence[TagRule], *, frame_period_ns: int, max_gap_ns: int, next_id: int = 0
    ) -> None:
        """`next_id`: the first span id to give. Raises ValueError: max_gap_ns below a period."""
        if not 0 < frame_period_ns <= max_gap_ns:
            raise ValueError(f"0 < frame period ({frame_period_ns}) <= max gap ({max_gap_ns})")
        self._tracks = [_Track(rule) for rule in rules]
        self._period_ns = frame_period_ns
        self._max_gap_ns = max_gap_ns
        self._next_id = next_id
        self._last_ns: int | None = None

    @property
    def next_id(self) -> int:
        """The id that the next span will get."""
        return self._next_id

    def push(self, pts_ns: int, scores: Sequence[float]) -> list[Change]:
        """Take the scores (0..1, one per rule) of the frame at `pts_ns`; what opened and closed.

        Raises ValueError: pts not after the one before, wrong count, a score outside 0..1.
        """
        if len(scores) != len(self._tracks):
            raise ValueError(f"{len(scores)} scores for {len(self._tracks)} labels")
        for score in scores:
            if not 0.0 <= score <= 1.0:
                raise ValueError(f"score {score} is not in 0..1")
        last = self._last_ns
        if last is not None and pts_ns <= last:
            raise ValueError(f"frame at {pts_ns} ns is not after the one before ({last} ns)")
        changes: list[Change] = []
        if last is not None and pts_ns - last > self._max_gap_ns:
            changes += self._close_all(last + self._period_ns)
        step_ns = None if self._last_ns is None else pts_ns - self._last_ns
        for track, score in zip(self._tracks, scores, strict=True):
            change = track.push(pts_ns, step_ns, float(score), self._next_id)
            if isinstance(change, OpenSpan):
                self._next_id += 1
            if change is not None:
                changes.append(change)
        self._last_ns = pts_ns
        return changes

    @property
    def settled_through_ns(self) -> int | None:
        """Nothing said later will begin or end at or before this pts; None before any frame.

        Held back while a label is between two thresholds' times: a span that opens starts at its
        first frame above the threshold, which may lie min_on back, and one that closes ends
        min_off back.
        """
        if self._last_ns is None:
            return None
        undecided = [since for t in self._tracks if (since := t.undecided_since) is not None]
        return min([self._last_ns, *(since - 1 for since in undecided)])

    def flush(self, pts_ns: int) -> list[Span]:
        """Close every open span at the last frame plus one period, at most at `pts_ns`.

        Raises ValueError when `pts_ns` is not after the last frame.
        """
        if self._last_ns is None:
            return []
        if pts_ns <= self._last_ns:
            raise ValueError(f"flush at {pts_ns} ns, not after the last frame ({self._last_ns} ns)")
        return self._close_all(min(pts_ns, self._last_ns + self._period_ns))

    def open_spans(self) -> list[OpenSpan]:
        """The spans that hold now, peak and mean so far; asking changes nothing."""
        return [span for track in self._tracks if (span := track.so_far()) is not None]

    def _close_all(self, end_ns: int) -> list[Span]:
        self._last_ns = None
        return [span for track in self._tracks if (span := track.cut(end_ns)) is not None]


@dataclass(slots=True)
class _Sum:
    """Peak and mean of scores seen."""

    peak: float = 0.0
    total: float = 0.0
    count: int = 0

    def add(self, score: float) -> None:
        self.peak = max(self.peak, score)
        self.total += score
        self.count += 1

    def take(self, other: _Sum) -> None:
        self.peak = max(self.peak, other.peak)
        self.total += other.total
        self.count += other.count

    @property
    def mean(self) -> float:
        # Rounding may lift a mean over the peak it is a mean of.
        return min(self.total / self.count, self.peak) if self.count else 0.0


class _Track:
    """One label: off, rising (above threshold_on, not long enough), on, or falling."""

    def __init__(self, rule: TagRule) -> None:
        self.rule = rule
        self._smoothed = 0.0
        self._rising_since: int | None = None
        self._falling_since: int | None = None
        self._open: tuple[int, int] | None = None  # span id, start
        self._inside = _Sum()
        self._pending = _Sum()
        self._not_before: int | None = None

    def push(self, pts_ns: int, step_ns: int | None, score: float, next_id: int) -> Change | None:
        self._smoothed = self._smooth(step_ns, score)
        if self._open is None:
            return self._push_off(pts_ns, score, next_id)
        return self._push_on(pts_ns, score)

    @property
    def undecided_since(self) -> int | None:
        return self._rising_since if self._open is None else self._falling_since

    def so_far(self) -> OpenSpan | None:
        if self._open is None:
            return None
        rule, (span_id, start_ns) = self.rule, self._open
        return OpenSpan(
            span_id,
            rule.label,
            rule.group,
            rule.kind,
            start_ns,
            self._inside.peak,
            self._inside.mean,
        )

    def cut(self, end_ns: int) -> Span | None:
        """End what holds, at `end_ns` or where it began to fall; forget all smoothing."""
        self._rising_since = None
        if self._open is None:
            return None
        return self._close(end_ns if self._falling_since is None else self._falling_since)

    def _smooth(self, step_ns: int | None, score: float) -> float:
        if step_ns is None or self.rule.smoothing_ns == 0:
            return score
        keep = math.exp(-step_ns / self.rule.smoothing_ns)
        # Clamped, so that rounding never leaves the interval of the two.
        mixed = score + (self._smoothed - score) * keep
        return min(max(mixed, min(score, self._smoothed)), max(score, self._smoothed))

    def _push_off(self, pts_ns: int, score: float, next_id: int) -> OpenSpan | None:
        cooling = self._not_before is not None and pts_ns < self._not_before
        if self._smoothed < self.rule.threshold_on or cooling:
            self._rising_since = None
            return None
        if self._rising_since is None:
            self._rising_since = pts_ns
            self._inside = _Sum()
        self._inside.add(score)
        if pts_ns - self._rising_since < self.rule.min_on_ns:
            return None
        self._open = (next_id, self._rising_since)
        self._rising_since = None
        return self.so_far()

    def _push_on(self, pts_ns: int, score: float) -> Span | None:
        if self._smoothed >= self.rule.threshold_off:
            if self._falling_since is not None:
                self._inside.take(self._pending)
                self._falling_since = None
            self._inside.add(score)
            return None
        if self._falling_since is None:
            self._falling_since = pts_ns
            self._pending = _Sum()
        self._pending.add(score)
        if pts_ns - self._falling_since < self.rule.min_off_ns:
            return None
        return self._close(self._falling_since)

    def _close(self, end_ns: int) -> Span:
        if self._open is None:
            raise RuntimeError("no span is open")
        rule, (span_id, start_ns) = self.rule, self._open
        self._open = self._falling_since = None
        self._not_before = end_ns + rule.cooldown_ns
        return Span(
            span_id,
            rule.label,
            rule.group,
            rule.kind,
            start_ns,
            end_ns,
            self._inside.peak,
            self._inside.mean,
        )
