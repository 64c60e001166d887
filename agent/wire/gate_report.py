"""What the gate of a camera, or of the packer, found out about a model bundle."""

from __future__ import annotations

from typing import Annotated

import msgspec

from agent.wire.codec import Message

Text = Annotated[str, msgspec.Meta(max_length=500)]


class GateReport(Message, frozen=True, kw_only=True):
    """`refused` is "" when the bundle passed, else one line. Times in ms a frame, memory in MiB;
    `latency_limit_ms` and `resident_limit_mib` (0: none) are what was allowed. `golden_difference`:
    the largest score difference on the golden pictures."""

    refused: Text = ""
    accelerator: Text = ""
    golden_difference: float = 0.0
    latency_ms: float = 0.0
    latency_limit_ms: float = 0.0
    resident_mib: float = 0.0
    resident_limit_mib: float = 0.0

    @property
    def line(self) -> str:
        """One line for status, log and label sheet."""
        if self.refused:
            return f"refused: {self.refused}"
        memory = f"{self.resident_mib:.0f} MiB"
        if self.resident_limit_mib:
            memory += f" of {self.resident_limit_mib:.0f}"
        return (
            f"passed: golden scores within {self.golden_difference:.4f},"
            f" {self.latency_ms:.2f} of {self.latency_limit_ms:.1f} ms, {memory}"
        )
