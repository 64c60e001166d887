"""A disk that remembers what was made durable and what was only asked for.

Rules, the weakest that the file systems of cameras and servers keep (ext4, XFS, btrfs, F2FS):

- what is written to a file is durable once `fsync` or `fdatasync` of it, begun later, came back;
- a name made, changed or removed is durable once the directory was synced; syncing a file does
  nothing for its name, syncing a directory nothing for the contents of its files;
- a rename happens whole or not at all, also from one directory into another;
- of changes to one and the same name a later one is never on the disk without the earlier ones;
- everything else may reach the disk in any order, or not at all.

`Disk.state` builds the disk as a power cut at this moment may leave it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

# A mapped file is written without calls, so nothing is known of it. SQLite's shared-memory file is
# the one such; SQLite empties it itself when nobody else has it open.
UNKNOWABLE_SUFFIX = "-shm"

State = dict[str, bytes | str | None]
"""Path below the disk's root -> content; None for a folder, text for where a symlink points."""


class Kind(Enum):
    """What of the unsynced a cut leaves."""

    ALL = "all written so far"
    TORN = "last write torn"
    SYNCED = "only what was synced"
    EMPTY = "names without contents"
    HALVED = "names, half of each content"
    ZEROED = "names, contents of zeros"
    UNNAMED = "contents without names"
    ALONE = "one unsynced name alone"
    ALL_BUT = "all but one unsynced name"
    SUBSET = "a random part"


# How many disks a cut leaves, of the kinds of which there are several.
MOST_NAMES = 8
SUBSETS = 2


@dataclass(eq=False)
class File:
    live: bytes = b""
    durable: bytes = b""
    pending: list[Write] = field(default_factory=list)


@dataclass(eq=False)
class Folder:
    live: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)


@dataclass(eq=False)
class Link:
    """A symlink. It is made with its name, whole or not at all."""

    target: str


Node = File | Folder | Link


@dataclass(frozen=True)
class Write:
    """`content` at `offset`, or, without content, the file's new size `offset`."""

    at: int
    offset: int
    content: bytes | None

    def over(self, before: bytes) -> bytes:
        if self.content is None:
            return before[: self.offset] + bytes(max(0, self.offset - len(before)))
        start = before[: self.offset] + bytes(max(0, self.offset - len(before)))
        return start + self.content + before[self.offset + len(self.content) :]

    def half(self) -> Write:
        content = self.content
        return (
            self if content is None else Write(self.at, self.offset, content[: len(content) // 2])
        )

    def zeros(self) -> Write:
        content = self.content
        return self if content is None else Write(self.at, self.offset, bytes(len(content)))


@dataclass(frozen=True, eq=False)
class Naming:
    """Names that change together: (folder, name) -> what it names from now on."""

    at: int
    changes: tuple[tuple[Folder, str, Node | None], ...]

    def touches(self, folder: Folder) -> bool:
        return any(where is folder for where, _name, _node in self.changes)

    @property
    def keys(self) -> set[tuple[int, str]]:
        return {(id(where), name) for where, name, _node in self.changes}


class Disk:
    """`at` in all methods: when, as a number that never goes back."""

    def __init__(self, initial: State) -> None:
        """`initial` is durable."""
        self.root = Folder()
        self.changes = 0
        self._pending: list[Naming] = []
        self._last: tuple[File, Write] | None = None
        for path in sorted(initial):
            *parents, name = path.split("/")
            folder = self.folder(parents)
            content = initial[path]
            node: Node = Folder()
            if isinstance(content, str):
                node = Link(content)
            elif content is not None:
                node = File(content, content)
            folder.live[name] = folder.durable[name] = node

    def folder(self, names: list[str]) -> Folder:
        """The folder at the path of `names`. Raises KeyError when there is none."""
        node: Node = self.root
        for name in names:
            if not isinstance(node, Folder):
                raise KeyError(name)
            node = node.live[name]
        if not isinstance(node, Folder):
            raise KeyError(names[-1])
        return node

    def write(self, file: File, offset: int, content: bytes, at: int) -> None:
        self._put(file, Write(at, offset, content))

    def truncate(self, file: File, size: int, at: int) -> None:
        if len(file.live) != size:
            self._put(file, Write(at, size, None))

    def name(self, folder: Folder, name: str, node: Node | None, at: int) -> None:
        """`name` in `folder` is `node` from now on, or nothing any more."""
        self._rename(Naming(at, ((folder, name, node),)))

    def move(self, source: Folder, name: str, target: Folder, new_name: str, at: int) -> None:
        node = source.live[name]
        self._rename(Naming(at, ((source, name, None), (target, new_name, node))))

    def sync(self, node: Node, began: int) -> None:
        """What was asked of `node` before `began` is durable."""
        self.changes += 1
        self._last = None
        if isinstance(node, File):
            self._sync_file(node, began)
        elif isinstance(node, Folder):
            asked = [n.at < began and n.touches(node) for n in self._pending]
            self._make_durable(self._with_earlier(asked))

    def sync_all(self, began: int) -> None:
        self._make_durable([naming.at < began for naming in self._pending])
        for file in _files(self.root):
            self.sync(file, began)

    def carried_over(self) -> Disk:
        """A copy for a trace of its own: all that is unsynced was asked for before it began."""
        copied = copy.deepcopy(self)
        copied._pending = [replace(naming, at=0) for naming in copied._pending]
        for file in _files(copied.root):
            file.pending = [replace(write, at=0) for write in file.pending]
        copied._last = None
        return copied

    def variants(self, kind: Kind) -> int:
        """How many different disks of this kind a cut may leave now."""
        if kind is Kind.TORN:
            return int(self._last is not None)
        if kind in (Kind.ALONE, Kind.ALL_BUT):
            return min(len(self._pending), MOST_NAMES)
        return SUBSETS if kind is Kind.SUBSET else 1

    def state(self, kind: Kind, variant: int = 0, seed: int = 1) -> State:
        """The disk after a cut now. `seed` decides what of the unsynced is in a random part."""
        chance = random.Random(f"{seed} {variant} {self.changes}")
        content = self._contents(kind, chance)
        names = self._names(kind, variant, chance)
        return dict(_listed(self.root, "", names, content))

    def _put(self, file: File, write: Write) -> None:
        self.changes += 1
        file.live = write.over(file.live)
        file.pending.append(write)
        self._last = file, write

    def _rename(self, naming: Naming) -> None:
        self.changes += 1
        self._last = None
        self._pending.append(naming)
        for folder, name, node in naming.changes:
            _set(folder.live, name, node)

    def _sync_file(self, file: File, began: int) -> None:
        for write in file.pending:
            if write.at < began:
                file.durable = write.over(file.durable)
        file.pending = [write for write in file.pending if write.at >= began]

    def _with_earlier(self, chosen: list[bool]) -> list[bool]:
        """`chosen`, and all earlier changes of the names that those change."""
        keys: set[tuple[int, str]] = set()
        for index in reversed(range(len(chosen))):
            chosen[index] = chosen[index] or not keys.isdisjoint(self._pending[index].keys)
            if chosen[index]:
                keys |= self._pending[index].keys
        return chosen

    def _make_durable(self, chosen: list[bool]) -> None:
        for naming, is_chosen in zip(self._pending, chosen, strict=True):
            if is_chosen:
                for folder, name, node in naming.changes:
                    _set(folder.durable, name, node)
        self._pending = [
            n for n, is_chosen in zip(self._pending, chosen, strict=True) if not is_chosen
        ]

    def _names(
        self, kind: Kind, variant: int, chance: random.Random
    ) -> Callable[[Folder], dict[str, Node]]:
        if kind in (Kind.SYNCED, Kind.UNNAMED):
            return lambda folder: folder.durable
        one = len(self._pending) - 1 - variant
        match kind:
            case Kind.ALONE:
                chosen = [index == one for index in range(len(self._pending))]
            case Kind.ALL_BUT:
                chosen = [index != one for index in range(len(self._pending))]
            case Kind.SUBSET:
                chosen = [chance.random() < 0.5 for _ in self._pending]
            case _:
                return lambda folder: folder.live
        chosen = self._with_earlier(chosen)
        changed: dict[int, dict[str, Node]] = {}
        for naming, is_chosen in zip(self._pending, chosen, strict=True):
            for folder, name, node in naming.changes if is_chosen else ():
                _set(changed.setdefault(id(folder), dict(folder.durable)), name, node)
        return lambda folder: changed.get(id(folder), folder.durable)

    def _contents(self, kind: Kind, chance: random.Random) -> Callable[[File], bytes]:
        if kind in (Kind.SYNCED, Kind.EMPTY):
            return lambda file: file.durable
        if kind in (Kind.ALL, Kind.UNNAMED, Kind.ALONE, Kind.ALL_BUT):
            return lambda file: file.live
        last = None if self._last is None else self._last[1]
        made: dict[Kind, Callable[[Write], Write | None]] = {
            Kind.TORN: lambda write: write.half() if write is last else write,
            Kind.HALVED: Write.half,
            Kind.ZEROED: Write.zeros,
            Kind.SUBSET: lambda write: write if chance.random() < 0.5 else None,
        }
        as_left = made[kind]

        def content(file: File) -> bytes:
            found = file.durable
            for write in file.pending:
                left = as_left(write)
                found = found if left is None else left.over(found)
            return found

        return content


def read_state(root: Path) -> State:
    """What lies below `root` now."""
    state: State = {}
    for path in sorted(root.rglob("*")):
        unknowable = path.name.endswith(UNKNOWABLE_SUFFIX)
        content: bytes | str | None
        if path.is_symlink():
            content = str(path.readlink())
        else:
            content = b"" if unknowable else None if path.is_dir() else path.read_bytes()
        state[path.relative_to(root).as_posix()] = content
    return state


def write_state(root: Path, state: State) -> None:
    """Make `root` hold just `state`."""
    root.mkdir(mode=0o700)
    for path, content in state.items():
        if content is None:
            (root / path).mkdir(mode=0o700)
        elif isinstance(content, str):
            (root / path).symlink_to(content)
        else:
            (root / path).write_bytes(content)


def _listed(
    folder: Folder,
    prefix: str,
    names: Callable[[Folder], dict[str, Node]],
    content: Callable[[File], bytes],
) -> Iterator[tuple[str, bytes | str | None]]:
    for name, node in sorted(names(folder).items()):
        path = prefix + name
        if isinstance(node, Link):
            yield path, node.target
        elif isinstance(node, Folder):
            yield path, None
            yield from _listed(node, f"{path}/", names, content)
        else:
            yield path, b"" if name.endswith(UNKNOWABLE_SUFFIX) else content(node)


def _files(folder: Folder) -> Iterator[File]:
    for node in folder.live.values():
        if isinstance(node, Folder):
            yield from _files(node)
        elif isinstance(node, File):
            yield node


def _set(names: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node
