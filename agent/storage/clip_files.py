"""The files of one clip while it is written on the `recording` shelf. Knows names, not contents."""

from __future__ import annotations

import os
from pathlib import Path

from agent.storage import atomic
from agent.wire.manifest import CUSTODY_FILE

DAMAGED_SUFFIX = ".damaged"


class ClipFiles:
    """One clip directory. Everything is durable when a method returns; OSError goes through."""

    def __init__(self, folder: Path, *, fsync: atomic.Fsync = os.fsync) -> None:
        self.folder = folder
        self._fsync = fsync

    def create(self) -> None:
        atomic.make_directory(self.folder, fsync=self._fsync)

    def put(self, name: str, content: bytes) -> None:
        atomic.write_file(self.folder / name, content, fsync=self._fsync)

    def append_line(self, line: str) -> None:
        atomic.append_line(self.folder / CUSTODY_FILE, line.encode("ascii"), fsync=self._fsync)

    def lines(self) -> list[bytes]:
        """The whole custody lines; a torn last one is left out."""
        return atomic.read_lines(self.folder / CUSTODY_FILE)

    def keep_lines(self, lines: list[str]) -> None:
        """Cut the custody file back to `lines`; nothing happens when it holds just these."""
        content = "".join(f"{line}\n" for line in lines).encode("ascii")
        path = self.folder / CUSTODY_FILE
        if not path.exists() or path.read_bytes() != content:
            atomic.write_file(path, content, fsync=self._fsync)

    def names(self) -> set[str]:
        """Names of the files, without temporary ones."""
        return {name for name in os.listdir(self.folder) if not name.startswith(".")}

    def read(self, name: str) -> bytes | None:
        """The content; None when there is no such file or the card cannot read it back."""
        try:
            return (self.folder / name).read_bytes()
        except OSError:
            return None

    def remove(self, names: set[str]) -> None:
        """Remove those of `names` that are there."""
        there = names & set(os.listdir(self.folder))
        for name in there:
            (self.folder / name).unlink()
        if there:
            atomic.fsync_directory(self.folder, fsync=self._fsync)

    def set_aside(self, name: str) -> None:
        """Keep a damaged file beside the clip under another name: it is never sent."""
        atomic.move(self.folder / name, self.folder / f"{name}{DAMAGED_SUFFIX}", fsync=self._fsync)

    def settle(self) -> None:
        """Make durable what a killed process left."""
        atomic.settle(self.folder, fsync=self._fsync)

    def drop_temporaries(self) -> None:
        """What a power cut left of files that never got their name."""
        self.remove({name for name in os.listdir(self.folder) if name.startswith(".")})
