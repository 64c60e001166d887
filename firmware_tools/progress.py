"""A progress line for people: rewritten in place at a terminal, quiet in a log."""

from __future__ import annotations

import shutil
import time
from typing import TextIO

_LOG_EVERY_S = 10.0


class Progress:
    """`say` replaces the current line (in a log: at most one line in ten seconds, or when the first
    word changes); `note` writes a line that stays; `end` leaves a clean line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._began_s = self._logged_s = time.monotonic()
        self._shown = ""
        self._topic = ""

    def say(self, text: str) -> None:
        if self._live:
            columns = shutil.get_terminal_size().columns - 1
            line = f"{self._clock()}  {text}"[:columns]
            if line != self._shown:
                self._stream.write(f"\r\x1b[K{line}")
                self._stream.flush()
                self._shown = line
            return
        topic, now_s = text.split()[0], time.monotonic()
        if topic != self._topic or now_s - self._logged_s >= _LOG_EVERY_S:
            self._topic, self._logged_s = topic, now_s
            self._write(text)

    def note(self, text: str) -> None:
        self.end()
        self._write(text)

    def end(self) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = ""

    def _write(self, text: str) -> None:
        self._stream.write(f"{self._clock()}  {text}\n")
        self._stream.flush()

    def _clock(self) -> str:
        return f"{time.monotonic() - self._began_s:6.1f} s"
