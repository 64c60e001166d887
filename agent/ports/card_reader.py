"""The seam to whatever finds QR codes in a picture."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

MAX_CODES = 4
MAX_CODE_CHARS = 512


class CardReader(ABC):
    """Reads the text of QR codes.

    - `read(luma)` takes a picture, height x width bytes of brightness, and gives the texts of the
      codes that could be read whole, none twice, at most MAX_CODES. It keeps nothing of the
      picture. A code of more than MAX_CODE_CHARS is no card and is left out.
    - It never raises for what a picture shows: what cannot be read is not there. ValueError: no
      picture at all (not two sides, or one of them 0).
    - It is called from one thread and may take some tens of milliseconds.

    The public method checks; a driver implements the hook `_read`.
    """

    def read(self, luma: NDArray[np.uint8]) -> tuple[str, ...]:
        if luma.ndim != 2 or 0 in luma.shape or luma.dtype != np.uint8:
            raise ValueError(f"no picture: {luma.dtype} of {luma.shape}")
        try:
            found = self._read(luma)
        except Exception:  # a picture that a library chokes on must not end the tagging
            return ()
        texts = (text for text in found if 0 < len(text) <= MAX_CODE_CHARS)
        return tuple(dict.fromkeys(texts))[:MAX_CODES]

    @abstractmethod
    def _read(self, luma: NDArray[np.uint8]) -> list[str]: ...
