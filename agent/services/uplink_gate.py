"""Watches whether clips may be sent: asks the surroundings twice a second, and says why not."""

from __future__ import annotations

import logging
import time

from agent.config import Network
from agent.core.network_gate import rules_of, why_wait
from agent.ports.clock import Clock
from agent.ports.surroundings import SurroundingsSensor

log = logging.getLogger("sightline.uplink")

_LOOK_EVERY_NS = 500_000_000


class Gate:
    """`waits_for` is why nothing may be sent, "" when it may. Clips wait until the first look."""

    def __init__(self, sensor: SurroundingsSensor, clock: Clock, settings: Network) -> None:
        self._sensor = sensor
        self._clock = clock
        self._rules = rules_of(settings)
        self._due_ns = 0
        self.waits_for = "the first look at the network"

    def look(self, now_ns: int) -> bool:
        """Look again when it is time. True when it has just closed, or closes for another cause."""
        if now_ns < self._due_ns:
            return False
        self._due_ns = now_ns + _LOOK_EVERY_NS
        why = why_wait(self._rules, self._sensor.read(), local_minute(self._clock))
        changed, self.waits_for = why != self.waits_for, why
        if changed:
            log.info("clips wait: %s" if why else "clips may be sent%s", why)
        return changed and why != ""


def local_minute(clock: Clock) -> int | None:
    """The minute of the local day; None while the clock is not trusted."""
    if clock.trust() != "trusted":
        return None
    now = time.localtime(clock.wall_ns() / 1e9)
    return now.tm_hour * 60 + now.tm_min
