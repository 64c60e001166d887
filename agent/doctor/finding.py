"""What a check gets to see, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from agent.config import Settings
from agent.ipc.messages import RecorderStatus

State = Literal["good", "warn", "bad"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. `remedy` is empty when the part is good."""

    part: str
    state: State
    fact: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Visit:
    """One examination of a camera. `status`: of its recorder, None when it does not run: then the
    devices that it holds are free to be tried. `sys_dir`: where the kernel shows the board."""

    settings: Settings
    status: RecorderStatus | None
    sys_dir: Path = Path("/sys")


def good(part: str, fact: str) -> Finding:
    return Finding(part=part, state="good", fact=fact)


def warn(part: str, fact: str, remedy: str) -> Finding:
    """It works, or recording can do without it, but somebody should know."""
    return Finding(part=part, state="warn", fact=fact, remedy=remedy)


def bad(part: str, fact: str, remedy: str) -> Finding:
    """It does not do what the settings ask of it."""
    return Finding(part=part, state="bad", fact=fact, remedy=remedy)
