"""The loop every service runs: `step()` decides and works, the loop waits, feeds the watchdog."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Protocol

from agent.ipc.notify import Notifier


class Service(Protocol):
    """`step` does what is due and says whether anything happened; `wait` sleeps until something may
    have happened, `timeout_s` at most; `close` ends cleanly."""

    def step(self) -> bool: ...

    def wait(self, timeout_s: float) -> None: ...

    def close(self) -> None: ...


class StopFlag:
    """Set by SIGTERM or SIGINT: the service closes cleanly."""

    def __init__(self) -> None:
        self.is_set = False

    def install(self) -> None:
        signal.signal(signal.SIGTERM, self._set)
        signal.signal(signal.SIGINT, self._set)

    def _set(self, _signal: int, _frame: FrameType | None) -> None:
        self.is_set = True


def run_service(
    service: Service, notifier: Notifier, stop: StopFlag, *, status: str, idle_wait_s: float = 0.05
) -> None:
    """Step until `stop` is set, then close. The watchdog is fed once per turn and never elsewhere,
    so that a stalled step is noticed."""
    notifier.ready(status)
    try:
        while not stop.is_set:
            happened = service.step()
            notifier.alive()
            if not happened:
                service.wait(idle_wait_s)
    finally:
        service.close()
