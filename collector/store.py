"""The collection: a plain folder tree. A clip appears in it whole, by one rename.

    <store_dir>/store/<device_id>/<session_id>/<clip_id>/       stored clips and session records
    <store_dir>/incoming/<device_id>/<clip_id>.<hash>/          transfers under way (`assembly`)
    <store_dir>/refused/<device_id>/<clip_id>.<hash>.json       evidence of what was refused
    <store_dir>/catalogue.sqlite                                the index (`catalogue`)
    <store_dir>/group                                           see `Store.group_word`

All names are ids that `agent.wire` checked, so no name leads out of the tree.
"""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from agent.storage import atomic
from agent.wire.custody import CustodyLine
from agent.wire.manifest import CUSTODY_FILE, MANIFEST_FILE, Manifest, decode_manifest
from collector.errors import StoreError
from collector.locking import locked_file

RECEIPT_FILE = "receipt.json"
_CONFLICT = ".conflict-"
_HASH_CHARS = 12
_EVIDENCE_PER_DEVICE = 64
_OPENING_LOCK = ".opening"
_STORING_LOCK = ".storing"


class StoredReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """`receipt.json`: the signed receipt as it was sent, and what it says, for people.

    `conflict`: another clip with this id and another manifest was stored before."""

    receipt: str
    clip_id: str
    manifest_sha256: str
    custody_head: str
    stored_wall_ns: int
    collector: str
    conflict: bool


class Store:
    """The folder tree under `store_dir`."""

    def __init__(self, store_dir: Path) -> None:
        self.root = store_dir
        self.incoming = store_dir / "incoming"
        self.catalogue_file = store_dir / "catalogue.sqlite"
        self.group_file = store_dir / "group"
        self._last_sessions: dict[Path, Path] = {}

    def prepare(self) -> None:
        """Make the folders. Raises StoreError when the disk refuses."""
        try:
            for name in ("store", "incoming", "refused"):
                atomic.make_directory(self.root / name)
            # A folder that is there may have been made by a process killed before its sync.
            atomic.fsync_directory(self.root)
            atomic.fsync_directory(self.root.parent)
        except OSError as exc:
            raise StoreError(
                f"store {self.root} cannot be made ({exc.strerror})",
                remedy="check collector.store_dir, its owner and its disk",
            ) from exc

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """Hold off the other collectors of this store from beginning and dropping transfers.
        Raises StoreError."""
        with locked_file(self.root / _OPENING_LOCK):
            yield

    @contextlib.contextmanager
    def storing(self) -> Iterator[None]:
        """One collector at a time decides whether a clip is new. Raises StoreError."""
        with locked_file(self.root / _STORING_LOCK):
            yield

    def group_word(self, make: Callable[[], str]) -> str:
        """A word that the collectors of this store share and nobody else knows; `make` gives it
        when there is none yet. Raises StoreError."""
        try:
            with self.opening():
                if not self.group_file.exists():
                    atomic.write_file(self.group_file, make().encode("ascii"))
                return self.group_file.read_text("ascii")
        except (OSError, UnicodeDecodeError) as exc:
            raise StoreError(f"{self.group_file}: {exc}") from exc

    def free_bytes(self) -> int:
        """What an ordinary process may still write."""
        try:
            space = os.statvfs(self.root)
        except OSError as exc:
            raise StoreError(f"store {self.root}: {exc.strerror}") from exc
        return space.f_bavail * space.f_frsize

    def incoming_folder(self, device_id: str, clip_id: str, manifest_sha256: str) -> Path:
        return self.incoming / device_id / f"{clip_id}.{manifest_sha256[:_HASH_CHARS]}"

    def transfers(self, device_id: str = "*") -> list[Path]:
        """Folders of transfers under way, of one device or of all."""
        return sorted(path for path in self.incoming.glob(f"{device_id}/*") if path.is_dir())

    def folder_of(self, manifest: Manifest, manifest_sha256: str) -> tuple[Path, bool]:
        """Where this clip is or is to be stored; True when another one has its name."""
        session = self.root / "store" / manifest.device_id / manifest.session_id
        plain = session / manifest.clip_id
        try:
            other = read_receipt(plain).manifest_sha256 != manifest_sha256
        except FileNotFoundError:
            other = False
        conflict = f"{manifest.clip_id}{_CONFLICT}{manifest_sha256[:_HASH_CHARS]}"
        return (session / conflict, True) if other else (plain, False)

    def place(self, built: Path, folder: Path) -> None:
        """Move a finished clip to its place, durably. Raises StoreError."""
        session, device = folder.parent, folder.parent.parent
        try:
            atomic.make_directory(session)
            if self._last_sessions.get(device) != session:
                self._sync_names_above(session)
                self._last_sessions[device] = session
            atomic.move(built, folder)
        except OSError as exc:
            raise StoreError(f"{folder} cannot be stored ({exc.strerror})") from exc

    def settle(self, folder: Path) -> None:
        """Make the place of a stored clip durable, before anybody is told that it is stored: the
        collector that put it there may have been killed between the rename and its sync. Its files
        were synced before. Raises StoreError."""
        try:
            atomic.fsync_directory(folder.parent)
            self._sync_names_above(folder.parent)
        except OSError as exc:
            raise StoreError(f"{folder} cannot be synced ({exc.strerror})") from exc

    def _sync_names_above(self, session: Path) -> None:
        """The session's folder and the device's may be there and not be durable."""
        atomic.fsync_directory(session.parent)
        atomic.fsync_directory(session.parent.parent)

    def clips(self) -> Iterator[Path]:
        """Folders of all stored clips and records."""
        for path in sorted(self.root.glob("store/*/*/*")):
            if (path / RECEIPT_FILE).is_file():
                yield path

    def keep_evidence(self, device_id: str, name: str, content: bytes) -> None:
        """Keep what was refused, the newest few of each device. Raises StoreError."""
        folder = self.root / "refused" / device_id
        try:
            atomic.make_directory(folder)
            atomic.write_file(folder / name, content)
            kept = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
            for path in kept[:-_EVIDENCE_PER_DEVICE]:
                path.unlink()
        except OSError as exc:
            raise StoreError(f"{folder}: {exc.strerror}") from exc


def read_receipt(folder: Path) -> StoredReceipt:
    """The receipt of the clip in `folder`. Raises FileNotFoundError: no clip there, StoreError."""
    try:
        return msgspec.json.decode((folder / RECEIPT_FILE).read_bytes(), type=StoredReceipt)
    except msgspec.DecodeError as exc:
        raise StoreError(
            f"{folder / RECEIPT_FILE} is damaged ({exc})", remedy="restore the folder from a backup"
        ) from exc


def read_manifest(folder: Path) -> Manifest:
    return decode_manifest((folder / MANIFEST_FILE).read_bytes())


def read_custody(folder: Path) -> list[tuple[str, CustodyLine]]:
    """The lines of a stored clip with what they say. They were verified before it was stored."""
    return [(text, _payload(text)) for text in (folder / CUSTODY_FILE).read_text("ascii").split()]


def _payload(line: str) -> CustodyLine:
    part = line.split(".")[1]
    body = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    return msgspec.json.decode(body, type=CustodyLine)
