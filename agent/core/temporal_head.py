"""The causal head: scores of an instant from the last few feature vectors. numpy only.

    window = the last `window` features, every `stride`-th, oldest first, flattened
    logits = out_weight @ relu(hidden_weight @ window + hidden_bias) + out_bias
             + direct_weight @ newest features
    scores = 1 / (1 + exp(-logits / temperature))

At a start and after a gap the first feature vector fills the window, as in training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError

Floats: TypeAlias = NDArray[np.float32]
_ARRAYS = ("hidden_weight", "hidden_bias", "out_weight", "out_bias", "direct_weight")
_LARGEST_LOGIT = 80.0
_ONE = np.float32(1.0)


class TemporalHead:
    """Holds the weights and the ring of features. Buffers are allocated once."""

    def __init__(
        self,
        weights: Mapping[str, NDArray[Any]],
        *,
        features: int,
        window: int,
        stride: int,
        temperatures: Sequence[float],
        max_gap_ns: int,
    ) -> None:
        """`weights`: the five arrays named in this module's formula, of any float type.

        Shapes with H hidden units and L labels: hidden_weight [H, window * features],
        hidden_bias [H], out_weight [L, H], out_bias [L], direct_weight [L, features];
        L = len(temperatures). Raises ModelError when one is missing, misshapen or not finite.
        """
        arrays = {name: _float_array(weights, name) for name in _ARRAYS}
        hidden, labels = arrays["hidden_bias"].size, len(temperatures)
        expected = {
            "hidden_weight": (hidden, window * features),
            "hidden_bias": (hidden,),
            "out_weight": (labels, hidden),
            "out_bias": (labels,),
            "direct_weight": (labels, features),
        }
        for name, shape in expected.items():
            if arrays[name].shape != shape:
                raise _head_error(f"{name} has shape {arrays[name].shape}, {shape} is needed")
        if min(temperatures, default=1.0) <= 0.0:
            raise _head_error("a temperature is not above zero")
        self._weights = arrays
        self._temperature = np.asarray(temperatures, np.float32)
        self._max_gap_ns = max_gap_ns
        self._stride = stride
        self._features = features
        # Doubled, so that the last `span` vectors always lie in one piece, oldest first.
        self._span = (window - 1) * stride + 1
        self._ring: Floats = np.zeros((2 * self._span, features), np.float32)
        self._next = 0
        self._hidden: Floats = np.zeros(hidden, np.float32)
        self._logits: Floats = np.zeros(labels, np.float32)
        self._last_pts_ns: int | None = None

    def reset(self) -> None:
        """Forget all features: the next push starts anew."""
        self._last_pts_ns = None

    def push(self, pts_ns: int, features: Floats) -> Floats:
        """Scores float32 [labels] in 0..1 of the frame at `pts_ns`; a new array each time.

        `features`: float32 [features]. A gap longer than max_gap_ns since the push before starts
        anew. Raises ValueError when the shape is wrong or `pts_ns` is not after the one before.
        """
        if features.shape != (self._features,):
            raise ValueError(f"features of shape {features.shape}, ({self._features},) is needed")
        last = self._last_pts_ns
        if last is not None and pts_ns <= last:
            raise ValueError(f"frame at {pts_ns} ns is not after the one before ({last} ns)")
        if last is None or pts_ns - last > self._max_gap_ns:
            self._ring[:] = features
            self._next = 0
        self._last_pts_ns = pts_ns
        self._ring[self._next] = features
        self._ring[self._next + self._span] = features
        self._next = (self._next + 1) % self._span
        window = self._ring[self._next : self._next + self._span : self._stride]
        return self._score(np.ascontiguousarray(window).reshape(-1), features)

    def _score(self, window: Floats, newest: Floats) -> Floats:
        weights = self._weights
        # einsum and not dot: the threads of a BLAS library go on spinning between two frames
        # (30 % of a core at 15 frames/s, where all the rest takes 2 %).
        np.einsum("hw,w->h", weights["hidden_weight"], window, out=self._hidden)
        np.add(self._hidden, weights["hidden_bias"], out=self._hidden)
        np.maximum(self._hidden, 0.0, out=self._hidden)
        np.einsum("lh,h->l", weights["out_weight"], self._hidden, out=self._logits)
        np.add(self._logits, weights["out_bias"], out=self._logits)
        np.add(
            self._logits, np.einsum("lf,f->l", weights["direct_weight"], newest), out=self._logits
        )
        np.divide(self._logits, self._temperature, out=self._logits)
        np.clip(self._logits, -_LARGEST_LOGIT, _LARGEST_LOGIT, out=self._logits)
        scores: Floats = _ONE / (_ONE + np.exp(-self._logits))
        return scores


def _float_array(weights: Mapping[str, NDArray[Any]], name: str) -> Floats:
    if name not in weights:
        raise _head_error(f"array {name} is missing")
    array = np.ascontiguousarray(weights[name], np.float32)
    if not np.isfinite(array).all():
        raise _head_error(f"array {name} holds a number that is not finite")
    return array


def _head_error(problem: str) -> ModelError:
    return ModelError(
        f"temporal head of the model: {problem}", remedy="install the bundle again as released"
    )
