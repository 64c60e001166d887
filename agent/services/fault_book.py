"""What is wrong now, one line a part; a new line is logged and told once."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger("recorder")


class FaultBook:
    """`tell(text)` hears of each new line. Used from the service's thread."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._lines: dict[str, str] = {}

    def __contains__(self, part: str) -> bool:
        return part in self._lines

    def __getitem__(self, part: str) -> str:
        return self._lines[part]

    def parts(self) -> tuple[str, ...]:
        return tuple(self._lines)

    def lines(self) -> list[str]:
        return list(self._lines.values())

    def any_but(self, *parts: str) -> bool:
        """Another part than these is at fault."""
        return bool(self._lines.keys() - set(parts))

    def judge(self, part: str, text: str) -> None:
        """`part` is at fault with this line; an empty one: it is not."""
        if not text:
            self._lines.pop(part, None)
        elif self._lines.get(part) != text:
            self._lines[part] = text
            log.error("%s", text)
            self._tell(text)

    def clear(self, part: str) -> None:
        self.judge(part, "")
