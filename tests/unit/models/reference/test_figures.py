"""The figures of a label: from truth, scores and tags that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.tagging import Span
from models.reference.figures import TaggedClip, figures_of, mean_ap, metric_of, precision_recall
from tests.tiny_model import label

PERIOD_NS = 100_000_000


def clip(truth: list[int], scores: list[float], *tags: tuple[int, int]) -> TaggedClip:
    """One label "x", ten pictures a second; `tags`: (first picture, picture after the last)."""
    spans = [
        Span(i, "x", "test", "state", a * PERIOD_NS, b * PERIOD_NS, 1.0, 1.0)
        for i, (a, b) in enumerate(tags)
    ]
    return TaggedClip(
        name="c",
        pts_ns=np.arange(len(truth), dtype=np.int64) * PERIOD_NS,
        period_ns=PERIOD_NS,
        truth={"x": np.array(truth, np.int8)},
        scores=np.array(scores, np.float32)[:, None],
        spans=tuple(spans),
    )


def test_precision_and_recall_are_those_of_the_tags() -> None:
    found = figures_of(label("x"), 0, [clip([0, 1, 1, 1, 0], [0.1, 0.4, 0.9, 0.8, 0.7], (2, 5))])
    assert found.precision == pytest.approx(2 / 3, abs=1e-4)
    assert found.recall == pytest.approx(2 / 3, abs=1e-4)
    assert found.prevalence == 0.6
    assert found.average_precision == pytest.approx((1 + 1 + 3 / 4) / 3, abs=1e-4)


def test_an_onset_is_answered_by_a_tag_and_its_delay_measured() -> None:
    truth = [0] * 5 + [1] * 5 + [0] * 10
    found = figures_of(label("x"), 0, [clip(truth, [0.5] * 20, (7, 9))])
    assert (found.onsets, found.onsets_found, found.median_onset_delay_ms) == (1, 1, 200.0)
    assert found.false_alarms == 0


def test_a_tag_with_nothing_true_near_it_is_a_false_alarm_an_hour_over_known_time() -> None:
    truth = [1] * 10 + [0] * 20 + [-1] * 30
    scores = [0.5] * 60
    late = clip(truth, scores, (13, 15))
    wrong = clip(truth, scores, (18, 20), (24, 26))
    not_known = clip(truth, scores, (40, 50))
    assert figures_of(label("x"), 0, [late]).false_alarms == 0
    assert figures_of(label("x"), 0, [not_known]).false_alarms == 0
    found = figures_of(label("x"), 0, [wrong])
    assert found.false_alarms == 2
    assert found.false_alarms_per_h == pytest.approx(2 / (30 * 0.1 / 3600), abs=0.01)


def test_without_truth_there_is_nothing_to_say() -> None:
    found = figures_of(label("y"), 0, [clip([0, 1], [0.1, 0.9])])
    assert found.average_precision is None
    assert found.prevalence is None
    assert found.recall is None
    assert found.false_alarms_per_h is None
    assert mean_ap([found]) is None
    assert metric_of(found, "s").average_precision is None


def test_clips_are_ranked_as_one() -> None:
    low, high = clip([0, 1], [0.1, 0.2]), clip([0, 0], [0.5, 0.6])
    assert figures_of(label("x"), 0, [low]).average_precision == 1.0
    assert figures_of(label("x"), 0, [low, high]).average_precision == pytest.approx(
        1 / 3, abs=1e-4
    )


def test_the_curve_has_one_point_for_equal_scores() -> None:
    curve = precision_recall(np.array([1, 0, 1], np.int8), np.array([0.9, 0.5, 0.5], np.float32))
    assert curve is not None
    assert [list(axis) for axis in curve] == [[0.5, 1.0], [1.0, pytest.approx(2 / 3)]]
    assert precision_recall(np.array([1, 1], np.int8), np.array([0.9, 0.5], np.float32)) is None
