"""The indicator's thread: plays what the pure rules say; lamps that fail are opened again."""

from __future__ import annotations

import logging
import threading

from agent.core.indication import Facts, Indication, fold
from agent.core.indication_table import Base, Confirmation, Lit
from agent.errors import AgentError
from agent.ports.clock import Clock
from agent.ports.indicator import Indicator

log = logging.getLogger("indicator")

_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 30.0
_LONGEST_WAIT_S = 1.0


class IndicatorLoop:
    """`show` and `confirm` from the service's thread; they only leave word. Without an `indicator`
    it keeps the state, for the status. `fault` is the one line while the lamps cannot be set."""

    def __init__(self, indicator: Indicator | None, clock: Clock) -> None:
        self._indicator, self._clock = indicator, clock
        self._indication = Indication(clock.boot_ns())
        self._facts: Facts | None = None
        self._changed = threading.Condition()
        self._has: Lit | None = None
        self._retry_s = _FIRST_RETRY_S
        self._news = self._closed = False
        self._thread: threading.Thread | None = None
        self.fault = ""

    @property
    def base(self) -> Base | None:
        """The state that is shown."""
        return self._indication.base

    def start(self) -> None:
        if self._indicator is not None:
            self._thread = threading.Thread(
                target=self._run, args=(self._indicator,), name="indicator", daemon=True
            )
            self._thread.start()

    def show(self, facts: Facts) -> None:
        if facts == self._facts:
            return
        with self._changed:
            self._facts = facts
            self._indication.show(facts, self._clock.boot_ns())
            self._tell()

    def confirm(self, what: Confirmation) -> None:
        with self._changed:
            self._indication.confirm(what, self._clock.boot_ns())
            self._tell()

    def close(self) -> None:
        """Everything off. Does not wait for a driver that hangs."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_LONGEST_WAIT_S)

    def turn(self, indicator: Indicator) -> float:
        """Show what is due now; returns the seconds until something else is."""
        with self._changed:
            self._news = False
            now_ns = self._clock.boot_ns()
            lit, until_ns = self._indication.look(now_ns)
        try:
            if self._has is None:
                self._has = indicator.open()
                log.info("indicator: %s", ", ".join(sorted(self._has)))
                self.fault, self._retry_s = "", _FIRST_RETRY_S
            indicator.show(fold(lit, self._has))
        except AgentError as exc:
            self._has, self.fault = None, str(exc)
            wait_s, self._retry_s = self._retry_s, min(2 * self._retry_s, _LONGEST_RETRY_S)
            return wait_s
        return min((until_ns - now_ns) / 1e9, _LONGEST_WAIT_S)

    def _tell(self) -> None:
        self._news = True
        self._changed.notify_all()

    def _run(self, indicator: Indicator) -> None:
        while not self._closed:
            wait_s = self.turn(indicator)
            with self._changed:
                # A word that came during the turn shows at once; lamps that fail have their pause.
                self._changed.wait_for(
                    lambda: self._closed or (self._news and self._has is not None), wait_s
                )
        indicator.close()
