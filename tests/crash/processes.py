"""Carries the calls of a trace out on model disks: who has which file open, and where.

Each process has its table of descriptors; threads share one. Only what lies below one of the disks'
folders is followed. A call that changes a disk in a way the model does not know raises TraceError:
a model that guesses would prove nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.crash.disk import UNKNOWABLE_SUFFIX, Disk, File, Folder, Link, Node
from tests.crash.trace import MARKS, Call, TraceError

What = Literal["write", "make", "move", "remove", "sync", "mark"]

_AT_FDCWD = "AT_FDCWD"
_MORE_COPIES = ("copy_file_range", "sendfile", "splice")


@dataclass(frozen=True)
class Operation:
    """One change of a disk (or a mark, which changes none). Paths are below the disk's root.

    `began` and `ended` are the lines of its call in the trace.
    """

    what: What
    disk: str
    path: str
    target: str
    node: Node | None
    began: int
    ended: int

    def __str__(self) -> str:
        arrow = f" -> {self.target}" if self.target else ""
        return f"{self.what} {self.path}{arrow}"


@dataclass
class Opened:
    """An open file: shared by descriptors that were duplicated."""

    disk: str
    path: str
    node: Node
    appends: bool
    reads: bool
    offset: int = 0


@dataclass
class Process:
    descriptors: dict[int, Opened]
    cwd: str


@dataclass(frozen=True)
class Place:
    """A path on one of the disks."""

    disk: str
    path: str
    folder: Folder
    name: str

    @property
    def node(self) -> Node | None:
        return self.folder.live.get(self.name)


class Machine:
    """The disks, by the folder that each is mounted at, and the processes that use them."""

    def __init__(self, disks: dict[str, Disk], cwd: str, calls: Sequence[Call]) -> None:
        """`calls` is the whole trace: a child may be seen before its parent says it has one."""
        self.disks = disks
        self._cwd = cwd
        self._born: dict[int, tuple[int, bool]] = {}
        for call in calls:
            if call.name in ("clone", "clone3", "fork", "vfork"):
                self._born[call.result] = call.pid, "CLONE_FILES" in call.arguments
        self._processes: dict[int, Process] = {}

    def carry_out(self, call: Call) -> Operation | None:
        """What `call` does; None when it changes no disk. Raises TraceError."""
        process = self._process(call.pid)
        try:
            return self._carry_out(process, call)
        except (KeyError, IndexError, ValueError) as exc:
            raise TraceError(f"line {call.ended}: {call.name} does not fit ({exc!r})") from exc

    def _carry_out(self, process: Process, call: Call) -> Operation | None:
        match call.name:
            case "open" | "openat" | "creat":
                return self._open(process, call)
            case "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2":
                return self._write(process, call)
            case "fsync" | "fdatasync":
                return self._sync(process, call)
            case "sync" | "syncfs":
                for disk in self.disks.values():
                    disk.sync_all(call.began)
                return None
            case "rename" | "renameat" | "renameat2":
                return self._rename(process, call)
            case "mkdir" | "mkdirat":
                return self._make(process, call, Folder())
            case "unlink" | "unlinkat" | "rmdir":
                return self._remove(process, call)
            case "truncate" | "ftruncate" | "fallocate":
                return self._resize(process, call)
            case "symlink" | "symlinkat":
                return self._symlink(process, call)
            case "link" | "linkat":
                self._refuse_if_ours(process, call)
            case _:
                self._follow(process, call)
        return None

    def _process(self, pid: int) -> Process:
        if pid not in self._processes:
            parent, is_thread = self._born.get(pid, (None, False))
            if parent is None:
                self._processes[pid] = Process({}, self._cwd)
            elif is_thread:
                self._processes[pid] = self._process(parent)
            else:
                before = self._process(parent)
                self._processes[pid] = Process(dict(before.descriptors), before.cwd)
        return self._processes[pid]

    def _place(self, process: Process, path: str, directory: str = _AT_FDCWD) -> Place | None:
        if not path.startswith("/") and directory != _AT_FDCWD:
            opened = process.descriptors.get(int(directory))
            if opened is None:
                return None
            path = os.path.join(opened.disk, opened.path, path)  # noqa: PTH118 - text, not files
        path = os.path.normpath(os.path.join(process.cwd, path))  # noqa: PTH118
        for root, disk in self.disks.items():
            if path.startswith(f"{root}/"):
                below = path[len(root) + 1 :]
                *parents, name = below.split("/")
                return Place(root, below, disk.folder(parents), name)
        return None

    def _open(self, process: Process, call: Call) -> Operation | None:
        arguments, (path,) = call.split(), call.paths()
        if f"/{MARKS}/" in path:
            return Operation("mark", "", Path(path).name, "", None, call.began, call.ended)
        is_at = call.name == "openat"
        flags = "O_WRONLY|O_CREAT|O_TRUNC" if call.name == "creat" else arguments[1 + is_at]
        process.descriptors.pop(call.result, None)
        if path in self.disks:
            root = self.disks[path].root
            process.descriptors[call.result] = Opened(path, "", root, False, True)
            return None
        place = self._place(process, path, arguments[0] if is_at else _AT_FDCWD)
        if place is None:
            return None
        if "O_TMPFILE" in flags:
            raise TraceError(f"line {call.ended}: O_TMPFILE")
        disk, node, operation = self.disks[place.disk], place.node, None
        if node is None:
            node = File()
            disk.name(place.folder, place.name, node, call.ended)
            operation = _operation("make", place, node, call)
        elif isinstance(node, File) and "O_TRUNC" in flags and node.live:
            disk.truncate(node, 0, call.ended)
            operation = _operation("write", place, node, call)
        process.descriptors[call.result] = Opened(
            place.disk, place.path, node, "O_APPEND" in flags, "O_RDWR" in flags
        )
        return operation

    def _write(self, process: Process, call: Call) -> Operation | None:
        opened = process.descriptors.get(int(call.arguments.partition(",")[0]))
        if opened is None or not isinstance(opened.node, File) or call.result == 0:
            return None
        content = b"".join(call.texts())[: call.result]
        file = opened.node
        if opened.appends:
            # On Linux also where `pwrite` names another place (pwrite(2), BUGS).
            offset = len(file.live)
        elif call.name.startswith("p"):
            offset = int(call.split()[-2 if call.name == "pwritev2" else -1])
        elif opened.reads:
            raise TraceError(f"line {call.ended}: a write where reads moved the offset unseen")
        else:
            offset = opened.offset
            opened.offset += len(content)
        if len(content) != call.result:
            raise TraceError(f"line {call.ended}: {len(content)} of {call.result} bytes shown")
        self.disks[opened.disk].write(file, offset, content, call.ended)
        return Operation("write", opened.disk, opened.path, "", file, call.began, call.ended)

    def _sync(self, process: Process, call: Call) -> Operation | None:
        opened = process.descriptors.get(int(call.arguments))
        if opened is None:
            return None
        self.disks[opened.disk].sync(opened.node, call.began)
        return Operation("sync", opened.disk, opened.path, "", opened.node, call.began, call.ended)

    def _rename(self, process: Process, call: Call) -> Operation | None:
        arguments, (old, new) = call.split(), call.paths()
        at = (_AT_FDCWD, _AT_FDCWD) if call.name == "rename" else (arguments[0], arguments[2])
        source, target = self._place(process, old, at[0]), self._place(process, new, at[1])
        if source is None and target is None:
            return None
        if source is None or target is None or source.disk != target.disk:
            raise TraceError(f"line {call.ended}: a rename from one disk to another")
        if "RENAME_EXCHANGE" in call.arguments:
            raise TraceError(f"line {call.ended}: RENAME_EXCHANGE")
        node = source.node
        self.disks[source.disk].move(
            source.folder, source.name, target.folder, target.name, call.ended
        )
        return Operation(
            "move", source.disk, source.path, target.path, node, call.began, call.ended
        )

    def _make(self, process: Process, call: Call, node: Node) -> Operation | None:
        directory = call.split()[0] if call.name == "mkdirat" else _AT_FDCWD
        place = self._place(process, call.paths()[0], directory)
        if place is None:
            return None
        self.disks[place.disk].name(place.folder, place.name, node, call.ended)
        return _operation("make", place, node, call)

    def _symlink(self, process: Process, call: Call) -> Operation | None:
        target, path = call.paths()
        directory = call.split()[1] if call.name == "symlinkat" else _AT_FDCWD
        place = self._place(process, path, directory)
        if place is None:
            return None
        node = Link(target)
        self.disks[place.disk].name(place.folder, place.name, node, call.ended)
        return _operation("make", place, node, call)

    def _remove(self, process: Process, call: Call) -> Operation | None:
        directory = call.split()[0] if call.name == "unlinkat" else _AT_FDCWD
        place = self._place(process, call.paths()[0], directory)
        if place is None:
            return None
        node = place.folder.live[place.name]
        self.disks[place.disk].name(place.folder, place.name, None, call.ended)
        return _operation("remove", place, node, call)

    def _resize(self, process: Process, call: Call) -> Operation | None:
        if call.name == "truncate":
            self._refuse_if_ours(process, call)
            return None
        arguments = call.split()
        opened = process.descriptors.get(int(arguments[0]))
        if opened is None or not isinstance(opened.node, File):
            return None
        size = int(arguments[1])
        if call.name == "fallocate":
            if arguments[1] != "0":
                raise TraceError(f"line {call.ended}: fallocate {arguments[1]}")
            size = max(len(opened.node.live), int(arguments[2]) + int(arguments[3]))
        self.disks[opened.disk].truncate(opened.node, size, call.ended)
        return Operation("write", opened.disk, opened.path, "", opened.node, call.began, call.ended)

    def _refuse_if_ours(self, process: Process, call: Call) -> None:
        for path in call.paths():
            if self._place(process, path) is not None or not path.startswith("/"):
                raise TraceError(f"line {call.ended}: {call.name} {path} is not in the model")

    def _follow(self, process: Process, call: Call) -> None:
        """Calls that move descriptors about, or that would change a file behind the model."""
        table = process.descriptors
        if call.name in _MORE_COPIES:
            out = int(call.split()[0 if call.name == "sendfile" else 2])
            if out in table:
                raise TraceError(f"line {call.ended}: {call.name} into a file of ours")
        elif call.name == "mmap":
            *_rest, protection, flags, number, _offset = call.split()
            opened = table.get(int(number))
            is_written = "PROT_WRITE" in protection and "MAP_SHARED" in flags
            if opened and is_written and not opened.path.endswith(UNKNOWABLE_SUFFIX):
                raise TraceError(f"line {call.ended}: {opened.path} is written through memory")
        elif call.name == "close":
            table.pop(int(call.arguments), None)
        elif call.name == "lseek":
            opened = table.get(int(call.split()[0]))
            if opened is not None:
                opened.offset = call.result
        elif call.name in ("dup", "dup2", "dup3") or "F_DUPFD" in call.arguments:
            old = table.get(int(call.split()[0]))
            table.pop(call.result, None)
            if old is not None:
                table[call.result] = old
        elif call.name == "execve":
            # All that we open is closed on exec.
            process.descriptors = {}
        elif call.name in ("chdir", "fchdir"):
            raise TraceError(f"line {call.ended}: {call.name} is not followed")


def _operation(what: What, place: Place, node: Node, call: Call) -> Operation:
    return Operation(what, place.disk, place.path, "", node, call.began, call.ended)
