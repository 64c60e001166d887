"""Temperatures and thresholds from validation clips."""

from __future__ import annotations

import numpy as np

from models.reference import recipe
from models.reference.calibrate import HeldOut, calibrated_labels

COUNT = len(recipe.LABELS)
IDS = [rule.id for rule in recipe.LABELS]


def held(logits: np.ndarray, truth: np.ndarray) -> HeldOut:
    pts_ns = np.arange(len(truth), dtype=np.int64) * 66_666_667
    return HeldOut(logits.astype(np.float32), truth.astype(np.int8), pts_ns)


def test_a_label_without_both_kinds_keeps_plain_thresholds() -> None:
    clip = held(np.zeros((4, COUNT)), np.zeros((4, COUNT)))
    assert {(x.threshold_on, x.temperature) for x in calibrated_labels([clip])} == {(0.5, 1.0)}


def test_an_overconfident_label_is_cooled() -> None:
    logits = np.tile(np.array([[9.0], [9.0], [9.0], [-9.0]]), (1, COUNT))
    truth = np.tile(np.array([[1], [1], [0], [0]]), (1, COUNT))
    assert all(x.temperature > 2 for x in calibrated_labels([held(logits, truth)]))


def test_an_events_threshold_finds_its_onsets_and_no_others() -> None:
    logits, truth = np.full((60, COUNT), -5.0), np.zeros((60, COUNT))
    shots, doubts = [5, 25, 45], [15, 35, 55]
    truth[shots] = 1
    logits[shots], logits[doubts] = 2.0, 0.0
    label = calibrated_labels([held(logits, truth)])[IDS.index("shot_fired")]
    cooled = 1 / (1 + np.exp(-np.array([0.0, 2.0]) / label.temperature))
    assert cooled[0] < label.threshold_on <= cooled[1]


def test_the_threshold_to_leave_lies_below_the_one_to_enter() -> None:
    draw = np.random.default_rng(3)
    truth = draw.integers(0, 2, (50, COUNT))
    clip = held(truth * 3.0 + draw.normal(0, 1, truth.shape), truth)
    for label in calibrated_labels([clip]):
        assert label.threshold_off < label.threshold_on
