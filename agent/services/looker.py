"""Looks at frames for scenario cards and the lens's state, on a thread of its own.

A look takes tens of milliseconds on a small board; the model must not wait for it. So only the
newest frame is looked at, and one that comes meanwhile takes the place of the one before.
"""

from __future__ import annotations

import threading
from collections import deque

import numpy as np
from numpy.typing import NDArray

from agent.core.lens import look_at
from agent.core.picture import Rect
from agent.ipc.messages import CodeSeen, LensSeen
from agent.ports.card_reader import CardReader

_KEPT = 100


class Looker:
    """`look` and `take` from the service's thread. Without `reader` only the lens is looked at."""

    def __init__(self, reader: CardReader | None) -> None:
        self._reader = reader
        self._changed = threading.Condition()
        self._next: tuple[int, NDArray[np.uint8]] | None = None
        self._closed = self._busy = False
        self._seen: deque[CodeSeen | LensSeen] = deque(maxlen=_KEPT)
        self._thread = threading.Thread(target=self._run, name="looker", daemon=True)
        self._thread.start()

    def look(self, pts_ns: int, i420: bytes, width: int, active: Rect) -> None:
        """Have the picture looked at; `active` lies inside it. Returns at once."""
        rows = np.frombuffer(i420, np.uint8, count=width * (active.y + active.height))
        luma = rows.reshape(-1, width)[active.y :, active.x : active.x + active.width]
        with self._changed:
            self._next = (pts_ns, luma)
            self._changed.notify()

    def take(self) -> list[CodeSeen | LensSeen]:
        """What was seen since the last call."""
        taken = []
        while self._seen:
            taken.append(self._seen.popleft())
        return taken

    @property
    def is_idle(self) -> bool:
        with self._changed:
            return self._next is None and not self._busy

    def close(self) -> None:
        """Idempotent. Waits for a look under way."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                while self._next is None and not self._closed:
                    self._changed.wait()
                if self._closed or self._next is None:
                    return
                (pts_ns, luma), self._next = self._next, None
                self._busy = True
            self._look(pts_ns, luma)

    def _look(self, pts_ns: int, luma: NDArray[np.uint8]) -> None:
        if min(luma.shape) >= 4:
            seen = look_at(luma)
            self._seen.append(LensSeen(pts_ns, seen.spread, seen.sharpness))
        if self._reader is not None and luma.size:
            for text in self._reader.read(luma):
                self._seen.append(CodeSeen(pts_ns, text))
