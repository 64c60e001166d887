"""Small durable facts of the recorder under `<state_dir>/state`: custody head, sessions under way,
clips that were given up unsent and are not named in a custody line yet.

Only ids and times, nothing about people: these files are in the clear.
"""

from __future__ import annotations

import os
from pathlib import Path

from agent.storage import atomic


class RecorderState:
    """Contents are the caller's; this class keeps them durable. OSError goes through."""

    def __init__(self, state_dir: Path, *, fsync: atomic.Fsync = os.fsync) -> None:
        self._folder = state_dir / "state"
        self._sessions = self._folder / "sessions"
        self._fsync = fsync

    def prepare(self) -> None:
        """Make the folders, and durable what a killed process left in them."""
        atomic.make_directory(self._sessions, fsync=self._fsync)
        for folder in (self._sessions, self._folder):
            atomic.settle(folder, fsync=self._fsync)

    def custody_head(self) -> bytes | None:
        try:
            return (self._folder / "custody.json").read_bytes()
        except FileNotFoundError:
            return None

    def put_custody_head(self, content: bytes) -> None:
        atomic.write_file(self._folder / "custody.json", content, fsync=self._fsync)

    def sessions(self) -> dict[str, bytes]:
        """session_id -> content, of the sessions whose record is not on its shelf yet."""
        found = {}
        for path in sorted(self._sessions.glob("*.json")):
            if not path.name.startswith("."):
                found[path.stem] = path.read_bytes()
        return found

    def put_session(self, session_id: str, content: bytes) -> None:
        atomic.write_file(self._sessions / f"{session_id}.json", content, fsync=self._fsync)

    def thinned(self) -> list[bytes]:
        """What `add_thinned` was given and `put_thinned` kept, oldest first."""
        return atomic.read_lines(self._folder / "thinned.jsonl")

    def add_thinned(self, line: bytes) -> None:
        """Note one clip that is to be given up, before it goes. Nothing is appended to a torn line
        that a cut left: `put_thinned` mends that first."""
        path = self._folder / "thinned.jsonl"
        if path.exists() and not path.read_bytes().endswith(b"\n"):
            self.put_thinned(self.thinned())
        atomic.append_line(path, line, fsync=self._fsync)

    def put_thinned(self, lines: list[bytes]) -> None:
        """Replace all notes by `lines`."""
        content = b"".join(line + b"\n" for line in lines)
        atomic.write_file(self._folder / "thinned.jsonl", content, fsync=self._fsync)

    def drop_session(self, session_id: str) -> None:
        path = self._sessions / f"{session_id}.json"
        if path.exists():
            path.unlink()
            atomic.fsync_directory(self._sessions, fsync=self._fsync)
