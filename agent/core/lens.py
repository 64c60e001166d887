"""Is something over the lens, or is it smeared? From how bright and how sharp pictures are. Pure.

The thresholds come from rendered footage (see ARCHITECTURE.md): over its pictures, sharp ones have
a sharpness of 0.24 and more (median 0.46 to 0.50), the same pictures blurred by 5 pixels at 640x360
0.21 and less (median 0.12 to 0.16). One picture proves nothing, so the median of several is judged.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Lens: TypeAlias = Literal["clear", "covered", "blurred", "unknown"]

_COVERED_SPREAD = 20.0
_BLURRED_SHARPNESS = 0.2
_EDGE_PERCENTILE = 99.5
_LOOKS = 9
_LEAST_LOOKS = 3


@dataclass(frozen=True, slots=True)
class LensLook:
    """One picture. `spread`: between its dark and its bright parts (2nd and 98th percentile of
    luma, 0..255). `sharpness`: height of its steepest edges over 2 pixels, as a share of that."""

    spread: float
    sharpness: float


def look_at(luma: NDArray[np.uint8]) -> LensLook:
    """`luma` is height x width, both at least 4. Halved first, which takes noise away."""
    even = luma[: luma.shape[0] // 2 * 2, : luma.shape[1] // 2 * 2].astype(np.int16)
    half = (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) // 4
    edge = max(
        float(np.percentile(np.abs(np.diff(half, axis=axis)), _EDGE_PERCENTILE)) for axis in (0, 1)
    )
    low, high = np.percentile(half[::2, ::2], (2, 98))
    spread = float(high - low)
    return LensLook(spread=spread, sharpness=edge / max(spread, 1.0))


class LensWatch:
    """Judges the last looks, taken two or three times a second."""

    def __init__(self) -> None:
        self._looks: deque[LensLook] = deque(maxlen=_LOOKS)

    def add(self, look: LensLook) -> None:
        self._looks.append(look)

    def forget(self) -> None:
        """What was seen says nothing about now."""
        self._looks.clear()

    @property
    def lens(self) -> Lens:
        """ "covered" also in a place without any light; "unknown" before three looks."""
        if len(self._looks) < _LEAST_LOOKS:
            return "unknown"
        if median(look.spread for look in self._looks) < _COVERED_SPREAD:
            return "covered"
        if median(look.sharpness for look in self._looks) < _BLURRED_SHARPNESS:
            return "blurred"
        return "clear"
