"""Archives that a kernel unpacks as its first root: cpio in the "newc" form (Documentation/
driver-api/early-userspace/buffer-format.rst). Several of them one after the other are one root."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"070701"
_END = "TRAILER!!!"


class Archive:
    """Written as it grows; `close` ends it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._number = 0

    def directory(self, name: str) -> None:
        self._entry(name, stat.S_IFDIR | 0o755, b"")

    def parents(self, name: str, made: set[str]) -> None:
        """The directories above `name` that are not in `made` yet."""
        for parent in reversed(Path(name).parents[:-1]):
            if str(parent) not in made:
                made.add(str(parent))
                self.directory(str(parent))

    def file(self, name: str, content: bytes, *, executable: bool = False) -> None:
        self._entry(name, stat.S_IFREG | (0o755 if executable else 0o644), content)

    def link(self, name: str, target: str) -> None:
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def tree(self, folder: Path, under: str, leave_out: Iterable[str] = ()) -> None:
        """All of `folder` as `under`, without directories called as in `leave_out`."""
        out = set(leave_out)
        for path, directories, files in os.walk(folder):
            directories[:] = sorted(set(directories) - out)
            place = Path(under, os.path.relpath(path, folder))
            links = [name for name in directories if Path(path, name).is_symlink()]
            self.directory(str(place))
            for name in [*links, *sorted(files)]:
                source = Path(path, name)
                if source.is_symlink():
                    self.link(str(place / name), str(source.readlink()))
                elif source.is_file():
                    executable = bool(source.stat().st_mode & 0o100)
                    self.file(str(place / name), source.read_bytes(), executable=executable)

    def close(self) -> None:
        self._entry(_END, 0, b"")
        self._file.close()

    def _entry(self, name: str, mode: int, content: bytes) -> None:
        self._number += 1
        path = name.encode() + b"\0"
        # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        numbers = (self._number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        head = _MAGIC + b"".join(b"%08x" % number for number in numbers)
        self._padded(head + path)
        self._padded(content)

    def _padded(self, content: bytes) -> None:
        self._file.write(content + b"\0" * (-len(content) % 4))
