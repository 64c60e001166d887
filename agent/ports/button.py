"""The button seam: the edges of one button, at the times the kernel stamped."""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from agent.core.gestures import Edge
from agent.errors import AgentError, ButtonError


class Button(ABC):
    """One button that a person presses.

    - `open()` takes the button and says what it is, in one line. Before it, after `close` and
      after an error nothing is read. Raises ButtonError with the remedy.
    - `read(timeout_s)` waits at most `timeout_s` and gives the edges since the last read, oldest
      first; at once when there are any, none when the time is over. Times are CLOCK_BOOTTIME ns of
      the moment the kernel saw the edge (late by the debounce time at most), not of the read;
      drivers convert. Presses before `open` are not told. The first edge may be a release: of a
      button that was down at `open`, or one that the hardware remembered. It means nothing.
    - A button that has gone raises ButtonError from `read`, within a second; it can be opened
      again when it is back.
    - `close()` lets the button go. Idempotent.
    - All from one thread.

    The public methods check and wrap; a driver implements the hooks `_open`, `_read`, `_close`.
    """

    def __init__(self) -> None:
        self._is_open = False
        self._newest_ns = 0

    def open(self) -> str:
        self.close()
        try:
            text = self._open()
        except AgentError:
            self._drop()
            raise
        except Exception as exc:
            self._drop()
            raise ButtonError(f"button cannot be opened ({_one_line(exc)})") from exc
        self._is_open = True
        return text

    def read(self, timeout_s: float) -> list[Edge]:
        if not self._is_open:
            raise ButtonError("button is not open")
        if not math.isfinite(timeout_s) or timeout_s < 0:
            raise ButtonError(f"a button cannot be waited for {timeout_s} s")
        try:
            edges = self._read(timeout_s)
        except AgentError:
            self.close()
            raise
        except Exception as exc:
            self.close()
            raise ButtonError(
                f"button lost ({_one_line(exc)})", remedy="it is opened again when it is back"
            ) from exc
        return [self._in_order(edge) for edge in edges]

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._drop()

    def _in_order(self, edge: Edge) -> Edge:
        self._newest_ns = max(self._newest_ns, edge.at_ns)
        return Edge(edge.pressed, self._newest_ns)

    def _drop(self) -> None:
        """What cannot be let go has gone already."""
        with contextlib.suppress(Exception):
            self._close()

    @abstractmethod
    def _open(self) -> str: ...

    @abstractmethod
    def _read(self, timeout_s: float) -> Sequence[Edge]: ...

    @abstractmethod
    def _close(self) -> None: ...


def _one_line(exc: Exception) -> str:
    return " ".join((getattr(exc, "strerror", None) or str(exc) or type(exc).__name__).split())
