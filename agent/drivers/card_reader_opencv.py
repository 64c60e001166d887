"""OpenCV's QR reader, on the parts of a picture that may hold a card."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.core.card_gate import card_areas
from agent.ports.card_reader import CardReader

# Modules of a card at arm's length are 2 to 3 pixels wide in the model's picture; twice as large,
# the reader finds nearly all of them (measured, see ARCHITECTURE.md).
_SCALE = 2


class OpenCvCardReader(CardReader):
    """Finds codes by their corner marks as ArUco markers are found, which stands tilt and small
    modules better than OpenCV's older detector."""

    def __init__(self) -> None:
        # Its worker threads would spin beside the model's.
        cv2.setNumThreads(1)
        self._detector = cv2.QRCodeDetectorAruco()

    def _read(self, luma: NDArray[np.uint8]) -> list[str]:
        texts = []
        for area in card_areas(luma):
            part = luma[area.y : area.y + area.height, area.x : area.x + area.width]
            larger = cv2.resize(part, None, fx=_SCALE, fy=_SCALE, interpolation=cv2.INTER_CUBIC)
            try:
                text, _corners, _straight = self._detector.detectAndDecode(larger)
            except (cv2.error, UnicodeDecodeError):
                continue  # a code of bytes that are no text, or corners that are none
            texts.append(text)
        return texts
