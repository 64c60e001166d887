"""The causal head: its formula, its window, its resets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.core.temporal_head import TemporalHead
from agent.errors import ModelError

F, W, H, L = 5, 3, 4, 2
STEP = 66_666_667
GAP = 200_000_000


def weights(seed: int = 0, window: int = W) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(seed)
    return {
        "hidden_weight": random.normal(size=(H, window * F)).astype(np.float32),
        "hidden_bias": random.normal(size=H).astype(np.float32),
        "out_weight": random.normal(size=(L, H)).astype(np.float32),
        "out_bias": random.normal(size=L).astype(np.float32),
        "direct_weight": random.normal(size=(L, F)).astype(np.float32),
    }


def head(stride: int = 1, temperatures: tuple[float, ...] = (1.0, 2.0)) -> TemporalHead:
    return TemporalHead(
        weights(), features=F, window=W, stride=stride, temperatures=temperatures, max_gap_ns=GAP
    )


def by_hand(window: list[NDArray[np.float32]], temperatures: tuple[float, ...]) -> Any:
    w = weights()
    hidden = np.maximum(w["hidden_weight"] @ np.concatenate(window) + w["hidden_bias"], 0)
    logits = w["out_weight"] @ hidden + w["out_bias"] + w["direct_weight"] @ window[-1]
    return 1 / (1 + np.exp(-logits / np.array(temperatures)))


def features(count: int) -> list[NDArray[np.float32]]:
    return list(np.random.default_rng(9).normal(size=(count, F)).astype(np.float32))


def test_scores_follow_the_formula_over_a_sliding_window() -> None:
    tested, seen = head(), features(9)
    for i, vector in enumerate(seen):
        found = tested.push(i * STEP, vector)
        window = [seen[max(0, i - 2)], seen[max(0, i - 1)], vector]
        assert np.allclose(found, by_hand(window, (1.0, 2.0)), atol=1e-5)
        assert found.dtype == np.float32


def test_stride_takes_every_other_frame() -> None:
    tested, seen = head(stride=2), features(8)
    for i, vector in enumerate(seen):
        found = tested.push(i * STEP, vector)
    assert np.allclose(found, by_hand([seen[3], seen[5], seen[7]], (1.0, 2.0)), atol=1e-5)


def test_a_gap_longer_than_allowed_starts_anew() -> None:
    tested, seen = head(), features(4)
    for i in range(3):
        tested.push(i * STEP, seen[i])
    found = tested.push(2 * STEP + GAP + 1, seen[3])
    assert np.allclose(found, by_hand([seen[3]] * 3, (1.0, 2.0)), atol=1e-5)


def test_a_gap_as_long_as_allowed_goes_on() -> None:
    tested, seen = head(), features(3)
    tested.push(0, seen[0])
    tested.push(STEP, seen[1])
    found = tested.push(STEP + GAP, seen[2])
    assert np.allclose(found, by_hand(seen, (1.0, 2.0)), atol=1e-5)


def test_reset_starts_anew_and_accepts_earlier_times() -> None:
    tested, seen = head(), features(2)
    first = tested.push(10 * STEP, seen[0])
    tested.push(11 * STEP, seen[1])
    tested.reset()
    assert np.array_equal(tested.push(0, seen[0]), first)


def test_scores_returned_before_are_not_overwritten() -> None:
    tested, seen = head(), features(2)
    first = tested.push(0, seen[0])
    kept = first.copy()
    tested.push(STEP, seen[1])
    assert np.array_equal(first, kept)


def test_enormous_logits_stay_within_0_and_1_without_warnings() -> None:
    found = head().push(0, np.full(F, 1e30, np.float32))
    assert ((found >= 0) & (found <= 1)).all()


def test_a_frame_that_is_not_later_is_refused() -> None:
    tested, seen = head(), features(1)
    tested.push(5, seen[0])
    with pytest.raises(ValueError, match="not after"):
        tested.push(5, seen[0])


def test_features_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        head().push(0, np.zeros(F + 1, np.float32))


@pytest.mark.parametrize("name", sorted(weights()))
def test_a_missing_array_is_refused_by_name(name: str) -> None:
    arrays = weights()
    del arrays[name]
    with pytest.raises(ModelError, match=name):
        TemporalHead(
            arrays, features=F, window=W, stride=1, temperatures=(1.0, 1.0), max_gap_ns=GAP
        )


def test_an_array_of_another_shape_is_refused() -> None:
    with pytest.raises(ModelError, match="hidden_weight has shape"):
        TemporalHead(
            weights(window=4),
            features=F,
            window=W,
            stride=1,
            temperatures=(1.0, 1.0),
            max_gap_ns=GAP,
        )


def test_weights_that_are_not_finite_are_refused() -> None:
    arrays = weights()
    arrays["out_bias"][0] = np.nan
    with pytest.raises(ModelError, match="finite"):
        TemporalHead(
            arrays, features=F, window=W, stride=1, temperatures=(1.0, 1.0), max_gap_ns=GAP
        )
