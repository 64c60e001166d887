"""Per label: temperature, then thresholds, from the validation set alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.core.tagging import OpenSpan, TagTracker
from agent.wire.model_manifest import Label
from models.reference import recipe
from models.reference.measure import best_threshold, onsets, onsets_found
from models.reference.recipe import LABELS, LabelRule

_TEMPERATURES = np.geomspace(0.5, 5.0, 25)
_LOWEST, _HIGHEST = 0.1, 0.95
_OFF_SHARE = 0.7
_EVENT_THRESHOLDS = np.round(np.linspace(0.15, 0.95, 33), 3)


@dataclass(frozen=True)
class HeldOut:
    """Logits float32 [n, labels], truth int8 [n, labels] and pts [n] of one validation clip."""

    logits: NDArray[np.float32]
    truth: NDArray[np.int8]
    pts_ns: NDArray[np.int64]


def calibrated_labels(clips: Sequence[HeldOut]) -> tuple[Label, ...]:
    """The manifest's labels. A label without both kinds of frame keeps temperature 1 and 0.5.

    A state's threshold parts frames best (F1), an event's finds onsets best (F1 of tags).
    """
    return tuple(_calibrated(rule, index, clips) for index, rule in enumerate(LABELS))


def _calibrated(rule: LabelRule, index: int, clips: Sequence[HeldOut]) -> Label:
    truth = np.concatenate([clip.truth[:, index] for clip in clips])
    known = truth >= 0
    temperature, threshold = 1.0, 0.5
    if (truth == 1).any() and (truth == 0).any():
        logits = np.concatenate([clip.logits[:, index] for clip in clips])
        temperature = round(_best_temperature(logits[known], truth[known] == 1), 3)
        if rule.kind == "event":
            threshold = _best_event_threshold(rule, index, clips, temperature)
        else:
            smoothed = [_smoothed(clip, index, rule, temperature) for clip in clips]
            threshold = best_threshold(truth, np.concatenate(smoothed)) or 0.5
    return _label(rule, round(min(max(threshold, _LOWEST), _HIGHEST), 3), temperature)


def _label(rule: LabelRule, threshold: float, temperature: float) -> Label:
    return Label(
        id=rule.id,
        group=rule.group,
        kind=rule.kind,
        threshold_on=threshold,
        threshold_off=round(threshold * _OFF_SHARE, 3),
        smoothing_ms=rule.smoothing_ms,
        min_on_ms=rule.min_on_ms,
        min_off_ms=rule.min_off_ms,
        cooldown_ms=0,
        temperature=temperature,
    )


def _best_temperature(logits: NDArray[np.float32], positive: NDArray[np.bool_]) -> float:
    signed = np.where(positive, logits, -logits).astype(np.float64)
    losses = [np.logaddexp(0.0, -signed / t).mean() for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(losses))])


def _scores(clip: HeldOut, index: int, temperature: float) -> NDArray[np.float32]:
    logits = clip.logits[:, index].astype(np.float64)
    scores: NDArray[np.float32] = (1.0 / (1.0 + np.exp(-logits / temperature))).astype(np.float32)
    return scores


def _smoothed(
    clip: HeldOut, index: int, rule: LabelRule, temperature: float
) -> NDArray[np.float32]:
    scores = _scores(clip, index, temperature)
    if rule.smoothing_ms == 0:
        return scores
    out = np.empty(len(scores), np.float32)
    mean = float(scores[0])
    for i, score in enumerate(scores):
        step_ms = (clip.pts_ns[i] - clip.pts_ns[i - 1]) / 1e6 if i else 0.0
        mean = float(score) + (mean - float(score)) * float(np.exp(-step_ms / rule.smoothing_ms))
        out[i] = mean
    return out


def _best_event_threshold(
    rule: LabelRule, index: int, clips: Sequence[HeldOut], temperature: float
) -> float:
    best, kept = -1.0, 0.5
    for threshold in _EVENT_THRESHOLDS:
        found, said, true = 0, 0, 0
        for clip in clips:
            starts = _tag_starts(_label(rule, float(threshold), temperature), index, clip)
            expected = onsets(clip.truth[:, index], clip.pts_ns)
            found += len(onsets_found(expected, starts))
            said, true = said + len(starts), true + len(expected)
        f1 = 2 * found / max(said + true, 1)
        if f1 > best:
            best, kept = f1, float(threshold)
    return kept


def _tag_starts(label: Label, index: int, clip: HeldOut) -> list[int]:
    """Where the agent's own rules start tags of this label."""
    tracker = TagTracker(
        [label.tag_rule()],
        frame_period_ns=round(1e9 / recipe.RATE_HZ),
        max_gap_ns=recipe.MAX_GAP_MS * 1_000_000,
    )
    starts: list[int] = []
    for pts, score in zip(
        clip.pts_ns, _scores(clip, index, label.temperature).tolist(), strict=True
    ):
        opened = tracker.push(int(pts), [score])
        starts += [change.start_ns for change in opened if isinstance(change, OpenSpan)]
    return starts
