"""What is known about the model's frames: due, scored, lost and why; tags; the watermark. Pure.

Times are pts in ns. The book holds what lies after `forget_before`, so its size is bounded by the
frames of the clips that are still open.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

Model = TypeVar("Model")

TAGGER_NOT_RUNNING = "tagger not running"
QUEUE_FULL = "queue full"
TOO_LATE = "too late"
NOT_SCORED = "not scored"
MODEL_CHANGED = "model changed"
STANDBY_OFF = "standby scoring off"
_MAX_CAUSES = 8
_MAX_CAUSE_CHARS = 160
_MAX_SPANS = 10_000


def model_fault(text: str) -> str:
    return f"model fault: {text}"[:_MAX_CAUSE_CHARS]


@dataclass(frozen=True, slots=True)
class TagPiece:
    """The part of a tag that lies in the interval asked for."""

    label: str
    start_pts_ns: int
    end_pts_ns: int
    peak: float
    mean: float
    continued: bool
    continues: bool


@dataclass(frozen=True, slots=True)
class LabelView(Generic[Model]):
    """All that is known about an interval. `scored_pts_ns[i]` has `values[i]`, one per label."""

    model: Model | None
    labels: tuple[str, ...]
    scored_pts_ns: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]
    tags: tuple[TagPiece, ...]
    due: int
    lost: dict[str, int]

    @property
    def scored(self) -> int:
        return len(self.scored_pts_ns)

    @property
    def share(self) -> float:
        return self.scored / self.due if self.due else 0.0


@dataclass(slots=True)
class _Frame:
    lost: str | None
    run: int = -1
    values: tuple[float, ...] | None = None


@dataclass(slots=True)
class _Span:
    label: str
    start: int
    end: int | None = None
    peak: float | None = None
    mean: float | None = None
    run: int = 0


@dataclass(slots=True)
class _Run(Generic[Model]):
    model: Model
    labels: tuple[str, ...]


@dataclass(slots=True)
class LabelBook(Generic[Model]):
    """Frames are told by `frame_due` in order; everything else may come at any time, or never."""

    scored_through_pts_ns: int | None = None
    fault: str | None = None
    _frames: dict[int, _Frame] = field(default_factory=dict)
    _spans: dict[tuple[int, int], _Span] = field(default_factory=dict)
    _runs: list[_Run[Model]] = field(default_factory=list)
    _tagger_starts: int = 0

    @property
    def frames(self) -> int:
        """Frames held now."""
        return len(self._frames)

    @property
    def model(self) -> Model | None:
        return self._runs[-1].model if self._runs else None

    def frame_due(self, pts_ns: int, lost: str | None = None) -> None:
        """A frame was due; `lost` says why the tagger will never see it."""
        self._frames[pts_ns] = _Frame(lost)

    def model_ready(self, model: Model, labels: tuple[str, ...]) -> None:
        """A tagger began, or changed its model: tags still open ended where it last looked."""
        for span in self._spans.values():
            if span.end is None:
                span.end = max(span.start, self.scored_through_pts_ns or span.start)
        self._tagger_starts += 1
        run = _Run(model, labels)
        # The same model after a restart of the tagger: its earlier scores stay valid.
        if not self._runs or self._runs[-1] != run:
            self._runs.append(run)
        self.fault = None

    def scores(self, pts_ns: int, values: tuple[float, ...]) -> bool:
        """False when the frame is not known, or the count of values is not the model's."""
        frame = self._frames.get(pts_ns)
        if frame is None or not self._runs or len(values) != len(self._runs[-1].labels):
            return False
        frame.values, frame.run = values, len(self._runs) - 1
        self.fault = None
        return True

    def span_opened(self, span_id: int, label: str, start_pts_ns: int) -> None:
        self._span(span_id, label, start_pts_ns)

    def span_so_far(
        self, span_id: int, label: str, start_pts_ns: int, peak: float, mean: float
    ) -> None:
        span = self._span(span_id, label, start_pts_ns)
        span.peak, span.mean = peak, mean

    def span_closed(
        self, span_id: int, label: str, start: int, end: int, peak: float, mean: float
    ) -> None:
        span = self._span(span_id, label, start)
        span.start, span.end, span.peak, span.mean = start, max(start, end), peak, mean

    def watermark(self, pts_ns: int) -> None:
        """Nothing more will be said about frames up to `pts_ns`."""
        self.scored_through_pts_ns = max(pts_ns, self.scored_through_pts_ns or pts_ns)
        for pts, frame in self._frames.items():
            if pts > pts_ns:
                break
            if frame.values is None and frame.lost is None:
                frame.lost = self.fault or NOT_SCORED

    def model_failed(self, text: str) -> None:
        """`text` holds for the oldest frame not yet answered, and for later ones until a score."""
        self.fault = model_fault(text)
        for frame in self._frames.values():
            answered = frame.values is not None or frame.lost is not None
            if not answered:
                frame.lost = self.fault
                return

    def forget_before(self, pts_ns: int) -> None:
        for old in [pts for pts in self._frames if pts < pts_ns]:
            del self._frames[old]
        for key in [key for key, span in self._spans.items() if (span.end or pts_ns) < pts_ns]:
            del self._spans[key]
        while len(self._spans) > _MAX_SPANS:
            del self._spans[next(iter(self._spans))]

    def is_answered(self, end_pts_ns: int) -> bool:
        """True when waiting longer cannot tell more about frames before `end_pts_ns`.

        A scored frame is not enough: whether a tag began on it is known only later, and the
        watermark says when.
        """
        newest_scored = None
        for pts, frame in self._frames.items():
            if pts >= end_pts_ns:
                break
            if frame.values is not None:
                newest_scored = pts
            elif frame.lost is None:
                return False
        if newest_scored is None:
            return True
        through = self.scored_through_pts_ns
        return through is not None and through >= newest_scored

    def view(self, start_pts_ns: int, end_pts_ns: int, *, silent: bool) -> LabelView[Model]:
        """All about [start_pts_ns, end_pts_ns). `silent`: no tagger has been heard lately."""
        inside = {
            pts: frame for pts, frame in self._frames.items() if start_pts_ns <= pts < end_pts_ns
        }
        run = max((frame.run for frame in inside.values()), default=-1)
        scored = [(pts, f.values) for pts, f in inside.items() if f.run == run and f.values]
        lost: dict[str, int] = {}
        for frame in inside.values():
            if frame.run == run and frame.values:
                continue
            cause = self._cause(frame, silent)
            if cause not in lost and len(lost) >= _MAX_CAUSES:
                cause = NOT_SCORED
            lost[cause] = lost.get(cause, 0) + 1
        about = self._runs[run] if run >= 0 else None
        return LabelView(
            model=None if about is None else about.model,
            labels=() if about is None else about.labels,
            scored_pts_ns=tuple(pts for pts, _ in scored),
            values=tuple(values for _, values in scored if values is not None),
            tags=self._pieces(start_pts_ns, end_pts_ns, run),
            due=len(inside),
            lost=lost,
        )

    def _cause(self, frame: _Frame, silent: bool) -> str:
        if frame.values is not None:
            return MODEL_CHANGED
        if frame.lost is not None:
            return frame.lost
        if self.fault is not None:
            return self.fault
        return TAGGER_NOT_RUNNING if silent else TOO_LATE

    def _pieces(self, start: int, end: int, run: int) -> tuple[TagPiece, ...]:
        pieces = []
        for span in self._spans.values():
            if span.run != run:
                continue
            # An open tag is known to hold only as far as the tagger looked.
            known_end = span.end if span.end is not None else (self.scored_through_pts_ns or 0) + 1
            low, high = max(start, span.start), min(end, known_end)
            if low >= high:
                continue
            peak, mean = self._strength(span, low, high)
            pieces.append(
                TagPiece(
                    label=span.label,
                    start_pts_ns=low,
                    end_pts_ns=high,
                    peak=peak,
                    mean=mean,
                    continued=span.start < start,
                    continues=span.end is None or span.end > end,
                )
            )
        return tuple(sorted(pieces, key=lambda piece: (piece.start_pts_ns, piece.label)))

    def _strength(self, span: _Span, low: int, high: int) -> tuple[float, float]:
        """The tagger's own numbers; from the scores where it has not said any yet."""
        if span.peak is not None and span.mean is not None:
            return span.peak, span.mean
        labels = self._runs[span.run].labels
        column = labels.index(span.label) if span.label in labels else -1
        values = [
            frame.values[column]
            for pts, frame in self._frames.items()
            if column >= 0 and low <= pts < high and frame.run == span.run and frame.values
        ]
        return (max(values), sum(values) / len(values)) if values else (0.0, 0.0)

    def _span(self, span_id: int, label: str, start_pts_ns: int) -> _Span:
        run = len(self._runs) - 1
        key = (self._tagger_starts, span_id)
        return self._spans.setdefault(key, _Span(label, start_pts_ns, run=run))


class FramePacer:
    """Picks frames at `rate_hz` from a stream that may be faster."""

    def __init__(self, rate_hz: float | None = None) -> None:
        self._period_ns = 0
        self._next_ns: int | None = None
        self.set_rate(rate_hz)

    def set_rate(self, rate_hz: float | None) -> None:
        """None: every frame is due."""
        self._period_ns = 0 if not rate_hz else round(1e9 / rate_hz)

    def is_due(self, pts_ns: int) -> bool:
        """Asked once per frame, in order."""
        if self._period_ns == 0:
            return True
        if self._next_ns is None or abs(pts_ns - self._next_ns) > 4 * self._period_ns:
            self._next_ns = pts_ns
        # A frame up to half a period early is nearer to its turn than the one after it.
        if pts_ns < self._next_ns - self._period_ns // 2:
            return False
        self._next_ns += self._period_ns
        return True
