"""The depot: what admins push is kept here, and cameras pull it at their own pace.

    <store_dir>/depot/targets/<sha256>           whole bundles, each proven by its hash
    <store_dir>/depot/metadata/<name>            what is published, retained, as it came
    <store_dir>/depot/incoming/<sha256>          what is coming, appended in order

Any collector of a group takes what comes: the lock on the incoming file says which one. Metadata is
not judged here beyond that a version never goes back; cameras check the signatures.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import google_crc32c

from agent.errors import WireError
from agent.ports.broker import Arrived, Broker
from agent.storage import atomic
from agent.wire.codec import decode, encode
from agent.wire.depot import (
    CHUNK_BYTES,
    MAX_METADATA_BYTES,
    DepotOpen,
    DepotState,
    check_metadata_name,
    role_of,
)
from agent.wire.topics import DEPOT_ALL, down_depot, parse_depot, update_metadata
from agent.wire.transfer import CRC_PROPERTY
from collector.locking import try_lock
from collector.report import Report
from collector.store import Store

DEPOT_DIR = "depot"
_LOOK_EVERY_S = 2.0
_IDLE_S = 30.0
_COPY_BYTES = 1024 * 1024
# Cameras may be reading the one before while the next is published.
_KEPT_VERSIONS = 2


class _Incoming:
    """A file that is coming, locked by this collector."""

    def __init__(self, descriptor: int, path: Path, opened: DepotOpen) -> None:
        self.descriptor, self.path, self.opened = descriptor, path, opened
        self.size = os.fstat(descriptor).st_size // CHUNK_BYTES * CHUNK_BYTES
        os.ftruncate(descriptor, self.size)
        self.heard_s = 0.0

    def append(self, content: bytes) -> None:
        os.pwrite(self.descriptor, content, self.size)
        self.size += len(content)

    def digest(self) -> str:
        found, offset = hashlib.sha256(), 0
        while part := os.pread(self.descriptor, _COPY_BYTES, offset):
            found.update(part)
            offset += len(part)
        return found.hexdigest()

    def close(self) -> None:
        os.close(self.descriptor)


class Depot:
    """Used from the main thread, beside the clips. Every collector of a group gets what admins
    send, and the one that has the lock acts on it."""

    subscriptions = (DEPOT_ALL,)

    def __init__(self, broker: Broker, store: Store, min_free_bytes: int, report: Report) -> None:
        self._broker, self._store, self._report = broker, store, report
        self._min_free_bytes = min_free_bytes
        self._root = store.root / DEPOT_DIR
        self._coming: dict[tuple[str, str], _Incoming] = {}
        self._published: dict[str, tuple[int, int]] = {}
        self._look_due_s = 0.0
        self._is_connected = False

    def target(self, sha256: str) -> Path:
        return self._root / "targets" / sha256

    def take(self, item: Arrived, now_s: float) -> bool:
        """True when `item` was for the depot. Raises WireError when it cannot be read."""
        place = parse_depot(item.topic)
        if place is None:
            return False
        admin, sha256, number = place
        try:
            if number is None:
                self._open(admin, sha256, decode(DepotOpen, item.payload), now_s)
            else:
                self._chunk(admin, sha256, number, item, now_s)
        except OSError as exc:
            self._drop(admin, sha256)
            self._answer(admin, sha256, DepotState(refused=f"the depot's disk: {exc.strerror}"))
        return True

    def connected(self) -> None:
        """Another connection, perhaps to a broker that forgot: all metadata goes again."""
        self._is_connected = True
        self._published.clear()
        self._look_due_s = 0.0

    def disconnected(self) -> None:
        self._is_connected = False

    def step(self, now_s: float) -> bool:
        """Publish metadata that is new; let go of what nobody sends any more."""
        if now_s < self._look_due_s:
            return False
        self._look_due_s = now_s + _LOOK_EVERY_S
        for key, coming in list(self._coming.items()):
            if now_s - coming.heard_s > _IDLE_S:
                self._drop(*key)
        return self._is_connected and self._publish()

    def close(self) -> None:
        for key in list(self._coming):
            self._drop(*key)

    def _open(self, admin: str, sha256: str, opened: DepotOpen, now_s: float) -> None:
        if opened.metadata:
            check_metadata_name(opened.metadata)
        if self._has(sha256, opened):
            self._answer(admin, sha256, DepotState(is_kept=True))
            return
        refused = self._why_not(opened)
        if refused:
            self._answer(admin, sha256, DepotState(refused=refused))
            return
        coming = self._coming.get((admin, sha256)) or self._begin(sha256, opened)
        if coming is None:
            return  # another collector has it, and answers
        coming.heard_s = now_s
        self._coming[admin, sha256] = coming
        self._tell(admin, sha256, coming)

    def _chunk(self, admin: str, sha256: str, number: int, item: Arrived, now_s: float) -> None:
        coming = self._coming.get((admin, sha256))
        if coming is None:
            return  # another collector's, or of before a restart: the admin opens again
        coming.heard_s = now_s
        if number * CHUNK_BYTES == coming.size:
            left = coming.opened.bytes - coming.size
            if len(item.payload) != min(CHUNK_BYTES, left):
                raise WireError(f"{len(item.payload)} bytes where {min(CHUNK_BYTES, left)} are due")
            crc = f"{google_crc32c.value(item.payload):08x}"
            if crc != item.properties.get(CRC_PROPERTY):
                raise WireError("damaged on its way")
            coming.append(item.payload)
        if coming.size >= coming.opened.bytes:
            self._complete(admin, sha256, coming)
        else:
            self._tell(admin, sha256, coming)

    def _complete(self, admin: str, sha256: str, coming: _Incoming) -> None:
        if coming.digest() != sha256:
            coming.path.unlink()
            self._drop(admin, sha256)
            self._answer(admin, sha256, DepotState(refused="its bytes have another SHA-256"))
            return
        name = coming.opened.metadata
        os.fsync(coming.descriptor)
        folder = self._root / ("metadata" if name else "targets")
        atomic.make_directory(folder)
        if name:
            refused = self._keep_metadata(name, coming.path.read_bytes())
            coming.path.unlink()
        else:
            refused = ""
            atomic.fsync_directory(coming.path.parent)
            coming.path.rename(folder / sha256)
            atomic.fsync_directory(folder)
            self._report.event("target", sha256=sha256, bytes=coming.opened.bytes, admin=admin)
        self._drop(admin, sha256)
        self._answer(admin, sha256, DepotState(is_kept=not refused, refused=refused))
        self._look_due_s = 0.0

    def _keep_metadata(self, name: str, content: bytes) -> str:
        """Why it is not kept, or ""."""
        version = _signed_version(content)
        if version is None:
            return "it is no TUF metadata"
        folder = self._root / "metadata"
        if name == "timestamp":
            known = _signed_version(_bytes(folder / name))
            if known is not None and known > version:
                return f"timestamp {version} is older than {known}"
        elif role_of(name)[1] != version:
            return f"{name} says it is version {version}"
        atomic.write_file(folder / name, content)
        self._report.event("metadata", file=name)
        return ""

    def _publish(self) -> bool:
        """What is new goes out, the timestamp last; then what is too old is taken back."""
        folder = self._root / "metadata"
        names = sorted(_names(folder), key=lambda name: (name == "timestamp", name))
        kept = _current(names)
        sent = False
        for name in names:
            facts = (folder / name).stat()
            stamp = (facts.st_ino, facts.st_mtime_ns)
            if name not in kept or self._published.get(name) == stamp:
                continue
            content = _bytes(folder / name)
            if self._broker.publish(update_metadata(name), content, retain=True) is None:
                self._look_due_s = 0.0
                return sent
            self._published[name] = stamp
            sent = True
        for name in set(names) - kept:
            if self._broker.publish(update_metadata(name), b"", retain=True) is None:
                return sent
            with contextlib.suppress(FileNotFoundError):
                (folder / name).unlink()
            self._published.pop(name, None)
        return sent

    def _has(self, sha256: str, opened: DepotOpen) -> bool:
        if not opened.metadata:
            return self.target(sha256).is_file()
        content = _bytes(self._root / "metadata" / opened.metadata)
        return hashlib.sha256(content).hexdigest() == sha256

    def _why_not(self, opened: DepotOpen) -> str:
        if opened.metadata and opened.bytes > MAX_METADATA_BYTES:
            return f"metadata of {opened.bytes} bytes is larger than {MAX_METADATA_BYTES}"
        free = self._store.free_bytes()
        if free - opened.bytes < self._min_free_bytes:
            return f"the collector's disk has only {free} bytes free"
        return ""

    def _begin(self, sha256: str, opened: DepotOpen) -> _Incoming | None:
        folder = self._root / "incoming"
        atomic.make_directory(folder)
        path = folder / sha256
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not try_lock(descriptor):
            os.close(descriptor)
            return None
        return _Incoming(descriptor, path, opened)

    def _tell(self, admin: str, sha256: str, coming: _Incoming) -> None:
        self._answer(admin, sha256, DepotState(chunks=coming.size // CHUNK_BYTES))

    def _answer(self, admin: str, sha256: str, state: DepotState) -> None:
        self._broker.publish(down_depot(admin, sha256), encode(state), qos=0)

    def _drop(self, admin: str, sha256: str) -> None:
        coming = self._coming.pop((admin, sha256), None)
        if coming is not None:
            coming.close()


def _current(names: list[str]) -> set[str]:
    """Of these, what cameras may need: every root, and the newest of each other role."""
    kept = {name for name in names if name == "timestamp" or name.startswith("root-")}
    by_role: dict[str, list[int]] = {}
    for name in names:
        role, version = role_of(name)
        by_role.setdefault(role, []).append(version)
    for role, versions in by_role.items():
        kept |= {f"{role}-{v}" for v in sorted(versions)[-_KEPT_VERSIONS:] if v}
    return kept


def _names(folder: Path) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            with contextlib.suppress(WireError):
                check_metadata_name(entry.name)
                yield entry.name


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def _signed_version(content: bytes) -> int | None:
    try:
        version = json.loads(content)["signed"]["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return version if isinstance(version, int) else None
