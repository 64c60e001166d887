"""What every section of the settings is made of."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

ID_PATTERN = r"^[A-Za-z0-9_-]{1,40}$"

# The key, what is wrong with it, and the remedy.
Contradiction: TypeAlias = tuple[str, str, str]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all sections: frozen, keyword only, a typo is an error."""


def bounded(ge: float, le: float) -> Any:
    """For Annotated: a number from `ge` to `le`."""
    return msgspec.Meta(ge=ge, le=le)
