"""A button that a test presses."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from agent.core.gestures import Edge
from agent.errors import ButtonError
from agent.ports.button import Button


class FakeButton(Button):
    """`edge` may come from any thread. `lose` makes it fail until `restore`."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._edges: list[Edge] = []
        self._lost = ""
        self.opened = 0

    def edge(self, pressed: bool, at_ns: int) -> None:
        with self._changed:
            self._edges.append(Edge(pressed, at_ns))
            self._changed.notify_all()

    def lose(self, cause: str) -> None:
        with self._changed:
            self._lost = cause
            self._changed.notify_all()

    def restore(self) -> None:
        with self._changed:
            self._lost = ""

    def _open(self) -> str:
        with self._changed:
            if self._lost:
                raise ButtonError(f"no button ({self._lost})", remedy="connect it")
            self._edges.clear()
        self.opened += 1
        return "a button of the test's"

    def _read(self, timeout_s: float) -> Sequence[Edge]:
        with self._changed:
            self._changed.wait_for(lambda: self._edges or self._lost, timeout_s)
            if self._lost:
                raise OSError(self._lost)
            taken, self._edges = self._edges, []
        return taken

    def _close(self) -> None:
        pass
