"""A button for a desk without one: words into a named pipe, `echo down > .../button.fifo`."""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from agent.core.gestures import Edge
from agent.errors import ButtonError
from agent.ports.button import Button

_READ_BYTES = 4096
_LONGEST_LINE = 100
_LOOK_EVERY_S = 0.5


class PipeButton(Button):
    """Lines `down` and `up`, each with its time (CLOCK_BOOTTIME ns) after it or stamped as it
    comes. A line that is neither is passed over. The pipe is made at `open` and left there."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._descriptor: int | None = None
        self._inode = 0
        self._rest = b""

    def _open(self) -> str:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.mkfifo(self._path, 0o600)
        except FileExistsError as exc:
            if not stat.S_ISFIFO(self._path.lstat().st_mode):
                raise ButtonError(f"{self._path} is no pipe", remedy="remove it") from exc
        # Open for writing too: so the last writer's leaving is no end of file.
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._inode = os.fstat(self._descriptor).st_ino
        self._rest = b""
        return f"words into {self._path}"

    def _read(self, timeout_s: float) -> Sequence[Edge]:
        if self._descriptor is None:
            raise ButtonError("button is not open")
        if not select.select([self._descriptor], [], [], min(timeout_s, _LOOK_EVERY_S))[0]:
            if self._path.stat().st_ino != self._inode:
                raise ButtonError(f"{self._path} was replaced", remedy="it is opened again")
            return ()
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        *lines, rest = (self._rest + os.read(self._descriptor, _READ_BYTES)).split(b"\n")
        self._rest = rest[:_LONGEST_LINE]
        edges = (_edge(line.split(), now_ns) for line in lines)
        return [edge for edge in edges if edge is not None]

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _edge(words: list[bytes], now_ns: int) -> Edge | None:
    if not words or words[0] not in (b"down", b"up") or len(words) > 2:
        return None
    at_ns = now_ns
    if len(words) == 2:
        if not words[1].isdigit():
            return None
        at_ns = min(int(words[1]), now_ns)
    return Edge(words[0] == b"down", at_ns)
