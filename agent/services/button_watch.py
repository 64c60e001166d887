"""The button's thread: opens it, reads it, and opens it again when it has gone."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from agent.core.gestures import Edge
from agent.errors import AgentError
from agent.ports.button import Button
from agent.ports.clock import Clock

log = logging.getLogger("button")

_READ_TIMEOUT_S = 0.2
# After an edge a gesture may be under way: its end must not wait for a slow look.
_LIVELY_TIMEOUT_S = 0.02
_LIVELY_NS = 5_000_000_000
_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 30.0


class ButtonLost:
    """What had been pressed until here means nothing any more."""


Pressed: TypeAlias = Edge | ButtonLost


class ButtonWatch:
    """`take` from the service's thread; the rest runs on the watch's own. `fault` is the one clear
    line while the button cannot be read; it is tried again with doubling waits.

    `seen_through_ns`: every edge until then has been queued, however late this thread came to run.
    Ask it before `take`."""

    def __init__(self, button: Button, clock: Clock) -> None:
        self._button, self._clock = button, clock
        self._edge_ns = 0
        self.seen_through_ns = 0
        self._queue: deque[Pressed] = deque(maxlen=1_000)
        self._stop = threading.Event()
        self._waking = threading.Lock()
        self._wake: Callable[[], None] = _nothing
        self._is_open = False
        self._retry_s = _FIRST_RETRY_S
        self._thread = threading.Thread(target=self._run, name="button", daemon=True)
        self.fault = ""

    def start(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._thread.start()

    def take(self) -> list[Pressed]:
        """What came since the last call, in order."""
        return [self._queue.popleft() for _ in range(len(self._queue))]

    def close(self) -> None:
        """Nobody is woken afterwards. Does not wait for a driver that hangs."""
        with self._waking:
            self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * _READ_TIMEOUT_S)

    def turn(self) -> float:
        """Open or read once; returns the seconds to wait before the next turn."""
        try:
            if not self._is_open:
                log.info("button: %s", self._button.open())
                self._is_open, self.fault, self._retry_s = True, "", _FIRST_RETRY_S
            now_ns = self._clock.boot_ns()
            lively = now_ns - self._edge_ns < _LIVELY_NS
            edges = self._button.read(_LIVELY_TIMEOUT_S if lively else _READ_TIMEOUT_S)
        except AgentError as exc:
            return self._failed(str(exc))
        self._queue.extend(edges)
        self.seen_through_ns = now_ns
        if edges:
            self._edge_ns = now_ns
            self._wake_up()
        return 0.0

    def _failed(self, text: str) -> float:
        if self._is_open:
            self._is_open = False
            self._queue.append(ButtonLost())
        self.fault = text
        self._wake_up()
        wait_s, self._retry_s = self._retry_s, min(2 * self._retry_s, _LONGEST_RETRY_S)
        return wait_s

    def _wake_up(self) -> None:
        with self._waking:
            if not self._stop.is_set():
                self._wake()

    def _run(self) -> None:
        while not self._stop.is_set():
            wait_s = self.turn()
            if wait_s:
                self._stop.wait(wait_s)
        self._button.close()


def _nothing() -> None:
    return
