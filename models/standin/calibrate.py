"""Per label: temperature, then thresholds, from the held-out ends of the training scenes alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.wire.model_manifest import Label
from models.reference.measure import best_threshold
from models.standin.recipe import LABELS, LabelRule

_TEMPERATURES = np.geomspace(0.5, 5.0, 25)
_LOWEST, _HIGHEST = 0.15, 0.9
_OFF_SHARE = 0.7


@dataclass(frozen=True)
class HeldOut:
    """Logits float32 [n, labels], truth int8 [n, labels] and pts [n] of one held-out block."""

    logits: NDArray[np.float32]
    truth: NDArray[np.int8]
    pts_ns: NDArray[np.int64]


def calibrated_labels(blocks: list[HeldOut]) -> tuple[Label, ...]:
    """The manifest's labels. A label without both kinds of frame keeps temperature 1 and 0.5."""
    return tuple(_calibrated(rule, index, blocks) for index, rule in enumerate(LABELS))


def _calibrated(rule: LabelRule, index: int, blocks: list[HeldOut]) -> Label:
    truth = np.concatenate([block.truth[:, index] for block in blocks])
    known = truth >= 0
    temperature, threshold = 1.0, 0.5
    if (truth == 1).any() and (truth == 0).any():
        logits = np.concatenate([block.logits[:, index] for block in blocks])
        temperature = _best_temperature(logits[known], truth[known] == 1)
        smoothed = np.concatenate([_smoothed(block, index, rule, temperature) for block in blocks])
        threshold = best_threshold(truth, smoothed) or 0.5
    threshold = round(min(max(threshold, _LOWEST), _HIGHEST), 3)
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
        temperature=round(temperature, 3),
    )


def _best_temperature(logits: NDArray[np.float32], positive: NDArray[np.bool_]) -> float:
    signed = np.where(positive, logits, -logits).astype(np.float64)
    losses = [np.logaddexp(0.0, -signed / t).mean() for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(losses))])


def _smoothed(
    block: HeldOut, index: int, rule: LabelRule, temperature: float
) -> NDArray[np.float32]:
    logits = block.logits[:, index].astype(np.float64)
    scores: NDArray[np.float32] = (1.0 / (1.0 + np.exp(-logits / temperature))).astype(np.float32)
    if rule.smoothing_ms == 0:
        return scores
    out = np.empty(len(scores), np.float32)
    mean = float(scores[0])
    for i, score in enumerate(scores):
        step_ms = (block.pts_ns[i] - block.pts_ns[i - 1]) / 1e6 if i else 0.0
        mean = float(score) + (mean - float(score)) * float(np.exp(-step_ms / rule.smoothing_ms))
        out[i] = mean
    return out
