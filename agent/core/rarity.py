"""Is what a clip shows rare? A label counts as rare while few clips before had it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

_RARE_SHARE = 0.1


class LabelRarity:
    """Counts, clip by clip, which labels came. What was never seen before is rare."""

    def __init__(self) -> None:
        self._clips = 0
        self._with: Counter[str] = Counter()

    def is_rare(self, labels: Collection[str]) -> bool:
        """True when any of the `labels` of the next clip was in at most a tenth of the clips before
        it; counts the clip."""
        limit = self._clips * _RARE_SHARE
        found = any(self._with[label] <= limit for label in set(labels))
        self._clips += 1
        self._with.update(set(labels))
        return found
