"""Figures of one label over any number of tagged clips: pure, from truth, scores and tags."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.core.tagging import Span
from agent.wire.model_manifest import Label, LabelKind, Metric
from models.reference.measure import (
    AFTER_NS,
    BEFORE_NS,
    average_precision,
    onsets,
    onsets_found,
)

UNKNOWN = np.int8(-1)


@dataclass(frozen=True)
class TaggedClip:
    """One clip as the camera tagged it, beside its truth, at the model's rate.

    `truth[label]` int8 [n] of 1, 0, -1 for the labels that the clip has truth for; `scores`
    float32 [n, labels of the model]; `spans` all tags, in order of their end.
    """

    name: str
    pts_ns: NDArray[np.int64]
    period_ns: int
    truth: dict[str, NDArray[np.int8]]
    scores: NDArray[np.float32]
    spans: tuple[Span, ...]

    def truth_of(self, label: str) -> NDArray[np.int8]:
        """-1 throughout where the clip says nothing of the label."""
        return self.truth.get(label, np.full(len(self.pts_ns), UNKNOWN))

    def tagged(self, label: str) -> NDArray[np.bool_]:
        """True on the pictures that lie inside a tag of the label."""
        inside = np.zeros(len(self.pts_ns), np.bool_)
        for span in self.spans_of(label):
            inside |= (self.pts_ns >= span.start_ns) & (self.pts_ns < span.end_ns)
        return inside

    def spans_of(self, label: str) -> list[Span]:
        return [span for span in self.spans if span.label == label]


class LabelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One label on one set. None: not to be had there (no truth, or of one kind only).

    `precision` and `recall`: over pictures, of the tags that the shipped thresholds make. An onset
    is found when a tag starts -100 to +500 ms from it. A false alarm is a tag that is nowhere true.
    """

    label: str
    kind: LabelKind
    average_precision: float | None
    prevalence: float | None
    threshold_on: float
    precision: float | None
    recall: float | None
    onsets: int
    onsets_found: int
    median_onset_delay_ms: float | None
    false_alarms: int
    false_alarms_per_h: float | None


def figures_of(label: Label, index: int, clips: Sequence[TaggedClip]) -> LabelFigures:
    """The figures of the model's label number `index` over all `clips` together."""
    truth = np.concatenate([clip.truth_of(label.id) for clip in clips])
    scores = np.concatenate([clip.scores[:, index] for clip in clips])
    tagged = np.concatenate([clip.tagged(label.id) for clip in clips])
    known = truth >= 0
    right = int((tagged & (truth == 1)).sum())
    said, true = int((tagged & known).sum()), int((truth == 1).sum())
    expected, delays, alarms = 0, list[int](), 0
    for clip in clips:
        onset_ns = onsets(clip.truth_of(label.id), clip.pts_ns)
        expected += len(onset_ns)
        delays += onsets_found(onset_ns, [span.start_ns for span in clip.spans_of(label.id)])
        alarms += _false_alarms(label.id, clip)
    ranked = average_precision(truth, scores)
    hours = sum(int((clip.truth_of(label.id) >= 0).sum()) * clip.period_ns for clip in clips) / (
        3600 * 10**9
    )
    return LabelFigures(
        label=label.id,
        kind=label.kind,
        average_precision=_rounded(ranked, 4),
        prevalence=round(true / int(known.sum()), 4) if known.any() else None,
        threshold_on=label.threshold_on,
        precision=round(right / said, 4) if said else None,
        recall=round(right / true, 4) if true else None,
        onsets=expected,
        onsets_found=len(delays),
        median_onset_delay_ms=round(statistics.median(delays) / 1e6, 1) if delays else None,
        false_alarms=alarms,
        false_alarms_per_h=round(alarms / hours, 2) if hours else None,
    )


def metric_of(figures: LabelFigures, held_out_set: str) -> Metric:
    """The same as a manifest keeps it."""
    return Metric(
        label=figures.label,
        held_out_set=held_out_set,
        average_precision=_rounded(figures.average_precision, 3),
        prevalence=figures.prevalence or 0.0,
        onsets=figures.onsets,
        onsets_found=figures.onsets_found,
        median_onset_delay_ms=figures.median_onset_delay_ms,
    )


def mean_ap(figures: Sequence[LabelFigures]) -> float | None:
    """Over the labels that have one."""
    found = [each.average_precision for each in figures if each.average_precision is not None]
    return round(statistics.fmean(found), 4) if found else None


def precision_recall(
    truth: NDArray[np.int8], scores: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """(recall, precision) at every score, from the highest down; None where AP is None."""
    known = truth >= 0
    positive, score = truth[known] == 1, scores[known]
    if not positive.any() or positive.all():
        return None
    order = np.argsort(-score, kind="stable")
    hits, ranks = np.cumsum(positive[order]), np.arange(1, len(order) + 1)
    last_of_tie = np.append(score[order][1:] != score[order][:-1], True)
    return hits[last_of_tie] / hits[-1], hits[last_of_tie] / ranks[last_of_tie]


def _false_alarms(label: str, clip: TaggedClip) -> int:
    """Tags with known truth and none of it 1, from 500 ms before their start to 100 ms after their
    end: a tag that is late, or an onset that it announces, is no false alarm."""
    truth = clip.truth_of(label)
    alarms = 0
    for span in clip.spans_of(label):
        near = (clip.pts_ns >= span.start_ns - AFTER_NS) & (clip.pts_ns < span.end_ns + BEFORE_NS)
        alarms += bool((truth[near] == 0).any() and not (truth[near] == 1).any())
    return alarms


def _rounded(number: float | None, digits: int) -> float | None:
    return None if number is None else round(number, digits)
