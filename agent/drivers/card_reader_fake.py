"""A reader that a test tells what it reads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.ports.card_reader import CardReader


class FakeCardReader(CardReader):
    """Reads `texts` in every picture that is not black; with `error` set, fails with it."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.error: Exception | None = None
        self.reads = 0

    def _read(self, luma: NDArray[np.uint8]) -> list[str]:
        self.reads += 1
        if self.error is not None:
            raise self.error
        return list(self.texts) if luma.max() > 32 else []
