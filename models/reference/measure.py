"""Figures: average precision, onsets found, the best threshold. Plain numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BEFORE_NS, AFTER_NS = 100_000_000, 500_000_000


def average_precision(truth: NDArray[np.int8], scores: NDArray[np.float32]) -> float | None:
    """Area under precision over recall, ties taken together; truth -1 is left out.

    None when the truth holds no positive or no negative: there is nothing to rank.
    """
    known = truth >= 0
    positive, score = truth[known] == 1, scores[known]
    if not positive.any() or positive.all():
        return None
    order = np.argsort(-score, kind="stable")
    score, hits = score[order], np.cumsum(positive[order])
    last_of_tie = np.append(score[1:] != score[:-1], True)
    ranks = np.flatnonzero(last_of_tie) + 1
    found = hits[last_of_tie]
    precision, recall = found / ranks, found / hits[-1]
    return float(np.sum(np.diff(np.concatenate([[0.0], recall])) * precision))


def best_threshold(truth: NDArray[np.int8], scores: NDArray[np.float32]) -> float | None:
    """The score that parts best by F1, midway to the next lower one; None as above."""
    known = truth >= 0
    positive, score = truth[known] == 1, scores[known]
    if not positive.any() or positive.all():
        return None
    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], np.cumsum(positive[order])
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + positive.sum())
    f1[:-1][ranked[1:] == ranked[:-1]] = -1.0
    best = int(np.argmax(f1))
    below = ranked[best + 1] if best + 1 < len(ranked) else ranked[best]
    return float((ranked[best] + below) / 2)


def onsets(truth: NDArray[np.int8], pts_ns: NDArray[np.int64]) -> list[int]:
    """pts of each frame where the truth turns from not 1 to 1."""
    on = truth == 1
    starts = on & ~np.concatenate([[False], on[:-1]])
    return [int(p) for p in pts_ns[starts]]


def onsets_found(true_ns: Sequence[int], tag_starts_ns: Sequence[int]) -> list[int]:
    """Delay in ns (tag start minus onset) of each onset that a tag start of its own answers.

    A tag start counts from -100 ms to +500 ms of the onset and answers one onset only.
    """
    free = sorted(tag_starts_ns)
    delays: list[int] = []
    for onset in sorted(true_ns):
        match = next((t for t in free if -BEFORE_NS <= t - onset <= AFTER_NS), None)
        if match is not None:
            free.remove(match)
            delays.append(match - onset)
    return delays
