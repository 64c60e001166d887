"""What a look at one part found."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["good", "warn", "bad"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. `remedy` is empty when the part is good."""

    part: str
    state: State
    fact: str
    remedy: str = ""
