"""What the keeper of models sees of the gate and of the tagger."""

from __future__ import annotations

from typing import Protocol

from agent.services.tagger_model import TaggerModel
from agent.wire.gate_report import GateReport


class RunningGate(Protocol):
    def report(self) -> GateReport | None: ...

    def kill(self) -> None: ...


class Stage(Protocol):
    """The tagger, as the keeper sees it."""

    def replace(self, model: TaggerModel) -> None:
        """Score with `model` from the next frame on; the one before is closed."""

    def reload(self) -> None:
        """Load what is active, now."""
