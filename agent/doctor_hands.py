"""The doctor's look at button and indicator."""

from __future__ import annotations

import time

from agent.config import Settings
from agent.findings import Finding
from agent.ipc.messages import RecorderStatus
from agent.parts import build_button, build_indicator

_LIT_S = 0.5


def button(settings: Settings, status: RecorderStatus | None) -> Finding:
    """Opened, unless the recorder has it. Raises ButtonError."""
    built = build_button(settings)
    if built is None:
        return _none_is_set("button", "sessions start by command alone")
    if status is not None:
        return _held("button", status)
    fact = built.open()
    built.close()
    return Finding(part="button", state="good", fact=fact)


def indicator(settings: Settings, status: RecorderStatus | None) -> Finding:
    """Lit, for a person to see and feel, unless the recorder has it. Raises IndicatorError."""
    built = build_indicator(settings)
    if built is None:
        return _none_is_set("indicator", "the wearer sees and feels nothing")
    if status is not None:
        return _held("indicator", status)
    outputs = built.open()
    built.show(outputs)
    time.sleep(_LIT_S)
    built.close()
    fact = f"{', '.join(sorted(outputs))}: all were on for {_LIT_S:g} s just now"
    return Finding(part="indicator", state="good", fact=fact)


def _none_is_set(part: str, follows: str) -> Finding:
    return Finding(part=part, state="good", fact=f"none ({part}.driver): {follows}")


def _held(part: str, status: RecorderStatus) -> Finding:
    if part in status.parts_at_fault:
        return Finding(part=part, state="bad", fact="at fault", remedy="see the recorder's line")
    shown = f", shows {status.indication}" if part == "indicator" else ""
    return Finding(part=part, state="good", fact=f"in the recorder's hands{shown}")
