"""Surroundings that a test, or a desk, decides."""

from __future__ import annotations

import msgspec

from agent.core.network_gate import Surroundings
from agent.ports.surroundings import SurroundingsSensor

HOME = Surroundings(interface="wlan0", is_metered=False, is_charging=True)


class FakeSurroundings(SurroundingsSensor):
    """Says `now`, which `change` changes."""

    def __init__(self, now: Surroundings = HOME) -> None:
        self.now = now

    def read(self) -> Surroundings:
        return self.now

    def change(self, **facts: str | bool | None) -> None:
        self.now = msgspec.structs.replace(self.now, **facts)
