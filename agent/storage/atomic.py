"""Bytes we promise survive a battery pull. The only module that makes files durable.

Order for a file: write, fsync, rename, fsync of the directory. For a line: append, fsync.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

Fsync = Callable[[int], None]


def fsync_directory(directory: Path, *, fsync: Fsync = os.fsync) -> None:
    """Make names made, changed or removed in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, content: bytes, *, mode: int = 0o600, fsync: Fsync = os.fsync) -> None:
    """Replace `path` by `content`: after a cut the old file or the new one is there, never a part.

    On return the bytes and the name are durable. The temporary name is `.<name>.tmp` in the same
    directory: whoever lists the directory ignores names that begin with a dot.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        _write_all(descriptor, content)
        fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.rename(path)
    fsync_directory(path.parent, fsync=fsync)


def write_link(path: Path, target: str, *, fsync: Fsync = os.fsync) -> None:
    """Let the symlink `path` point to `target`: after a cut the old one or the new one is there."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.rename(path)
    fsync_directory(path.parent, fsync=fsync)


def append_line(path: Path, line: bytes, *, mode: int = 0o600, fsync: Fsync = os.fsync) -> None:
    """Append `line` (without a line break in it) and a line break; durable on return.

    The first line of a new file also makes the file's name durable. A cut may leave a torn last
    line: `read_lines` cuts it.
    """
    if b"\n" in line:
        raise ValueError("a line cannot hold a line break")
    fresh = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, mode)
    try:
        _write_all(descriptor, line + b"\n")
        fsync(descriptor)
    finally:
        os.close(descriptor)
    if fresh:
        fsync_directory(path.parent, fsync=fsync)


def read_lines(path: Path) -> list[bytes]:
    """The whole lines of `path`, without a torn last one; empty when there is no file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return content.split(b"\n")[:-1]


def move(source: Path, target: Path, *, fsync: Fsync = os.fsync) -> None:
    """Rename `source` to `target` (same file system; `target` must not exist) and make both
    directories durable. Raises FileNotFoundError when another process was first."""
    source.rename(target)
    fsync_directory(target.parent, fsync=fsync)
    if source.parent != target.parent:
        fsync_directory(source.parent, fsync=fsync)


def settle(folder: Path, *, fsync: Fsync = os.fsync) -> None:
    """Make durable what `folder` shows: its files, their names, and its own name.

    To be called before anything is built on what another process left. If that one was killed
    between a write and its sync, all of it is to be seen, and a power cut still takes it back. A
    file that the card does not open is left as it is.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    for name in names:
        descriptor = -1
        with contextlib.suppress(OSError):
            descriptor = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)
        if descriptor >= 0:
            try:
                fsync(descriptor)
            finally:
                os.close(descriptor)
    fsync_directory(folder, fsync=fsync)
    fsync_directory(folder.parent, fsync=fsync)


def make_directory(path: Path, *, mode: int = 0o700, fsync: Fsync = os.fsync) -> None:
    """Create `path` and what is missing above it; the names are durable on return."""
    if path.is_dir():
        return
    make_directory(path.parent, mode=mode, fsync=fsync)
    path.mkdir(mode=mode, exist_ok=True)
    fsync_directory(path.parent, fsync=fsync)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
