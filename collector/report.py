"""What the collector says: JSON lines on stdout for programs, plain ones on stderr for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TextIO

_REPEAT_S = 10.0
_MAX_REMEMBERED = 1000


class Report:
    """Both streams. `now_s` is a monotonic clock; it only spaces out repeated complaints."""

    def __init__(self, events: TextIO, log: TextIO, now_s: Callable[[], float]) -> None:
        self._events = events
        self._log = log
        self._now_s = now_s
        self._said: dict[str, float] = {}

    def event(self, name: str, **fields: object) -> None:
        """One JSON object on one line, flushed."""
        self._write(self._events, json.dumps({"event": name, **fields}))

    def line(self, text: str) -> None:
        """One plain line."""
        self._write(self._log, " ".join(text.split()))

    def complain(self, about: str, text: str) -> None:
        """A line about something a sender can repeat at will: said at most once in 10 s for each
        `about`."""
        now_s = self._now_s()
        if now_s - self._said.get(about, -_REPEAT_S) < _REPEAT_S:
            return
        if len(self._said) >= _MAX_REMEMBERED:
            self._said.clear()
        self._said[about] = now_s
        self.line(text)

    def _write(self, stream: TextIO, text: str) -> None:
        try:
            stream.write(text + "\n")
            stream.flush()
        except (OSError, ValueError):
            return  # a reader that went away must not stop the collection
