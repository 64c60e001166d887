"""The figures themselves: average precision, thresholds, onsets."""

from __future__ import annotations

import numpy as np
import pytest

from models.reference.measure import average_precision, best_threshold, onsets, onsets_found

MS = 1_000_000


def truth(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    return np.array(values, np.int8)


def scores(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array(values, np.float32)


def test_a_perfect_ranking_has_ap_1() -> None:
    assert average_precision(truth(0, 1, 0, 1), scores(0.1, 0.9, 0.2, 0.8)) == 1.0


def test_ap_is_the_mean_precision_at_each_positive() -> None:
    found = average_precision(truth(1, 0, 1, 0), scores(0.9, 0.8, 0.7, 0.6))
    assert found == pytest.approx((1 + 2 / 3) / 2)


def test_a_constant_score_has_the_prevalence_as_ap_in_any_order() -> None:
    constant = scores(0.5, 0.5, 0.5, 0.5)
    assert average_precision(truth(1, 0, 0, 0), constant) == pytest.approx(0.25)
    assert average_precision(truth(0, 0, 0, 1), constant) == pytest.approx(0.25)


def test_frames_whose_truth_is_not_known_are_left_out() -> None:
    assert average_precision(truth(1, -1, 0), scores(0.5, 0.9, 0.1)) == 1.0


@pytest.mark.parametrize("values", [(0, 0), (1, 1), (-1, 1), (-1, -1)])
def test_without_both_kinds_there_is_no_ap_and_no_threshold(values: tuple[int, int]) -> None:
    assert average_precision(truth(*values), scores(0.1, 0.2)) is None
    assert best_threshold(truth(*values), scores(0.1, 0.2)) is None


def test_the_best_threshold_lies_midway_between_the_kinds() -> None:
    found = best_threshold(truth(0, 0, 1, 1), scores(0.1, 0.2, 0.6, 0.9))
    assert found == pytest.approx(0.4)


def test_onsets_are_where_the_truth_turns_on() -> None:
    pts = np.arange(7, dtype=np.int64) * MS
    assert onsets(truth(1, 1, 0, 1, -1, 1, 0), pts) == [0, 3 * MS, 5 * MS]


def test_an_onset_is_found_from_100_ms_before_to_500_ms_after() -> None:
    expected = [1000 * MS]
    for delay, found in [(-101, []), (-100, [-100]), (0, [0]), (500, [500]), (501, [])]:
        assert onsets_found(expected, [(1000 + delay) * MS]) == [d * MS for d in found]


def test_one_tag_answers_one_onset_only() -> None:
    assert onsets_found([0, 100 * MS], [50 * MS]) == [50 * MS]
