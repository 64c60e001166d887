"""When a camera that gives pictures gives nothing: black ones."""

from __future__ import annotations

from agent.core.picture import LORES_WIDTH, Rect

# Limited range puts black at 16 (ITU-R BT.601, BT.709), some dead cameras give 0. A sensor that
# works leaves noise above this somewhere, in the dark too: there its gain is at its highest.
BLACK_LUMA = 20
NOTICED_AFTER_S = 1.5
# Opening a camera anew costs a second or so of footage, and a covered lens stays covered.
_LONGEST_WAIT_S = 300.0
_ROWS = 24
_COLUMN_STEP = 13


def is_black(i420: bytes, active: Rect) -> bool:
    """Whether no sampled pixel of `active` in a packed 640x360 I420 frame is brighter than
    BLACK_LUMA. 24 rows of every 13th pixel are looked at: 1,200 pixels of a whole frame."""
    rows = min(_ROWS, active.height)
    for number in range(rows):
        row = active.y + (2 * number + 1) * active.height // (2 * rows)
        start = row * LORES_WIDTH + active.x
        if max(i420[start : start + active.width : _COLUMN_STEP]) > BLACK_LUMA:
            return False
    return True


class BlackWatch:
    """Decides when a camera is opened anew because its pictures are black.

    `see` takes every picture's verdict in order. True means: open the camera anew. That is first
    after NOTICED_AFTER_S of black, and after twice as long each time while nothing but black comes,
    at most every five minutes. `is_black` stays True from the first time until a picture shows
    something: black footage is kept, because night may be what it shows, but it is told.
    """

    def __init__(self) -> None:
        self.is_black = False
        self._since_ns: int | None = None
        self._patience_s = NOTICED_AFTER_S

    def see(self, pts_ns: int, *, black: bool) -> bool:
        if not black:
            self.is_black = False
            self._since_ns, self._patience_s = None, NOTICED_AFTER_S
            return False
        if self._since_ns is None:
            self._since_ns = pts_ns
        if pts_ns - self._since_ns < self._patience_s * 1e9:
            return False
        self.is_black = True
        self._since_ns = None
        self._patience_s = min(2 * self._patience_s, _LONGEST_WAIT_S)
        return True
