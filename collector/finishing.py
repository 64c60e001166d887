"""From a built clip to its receipt: store, catalogue, sign. Exactly once, whatever breaks off.

Order: receipt written into the built folder, one rename into the store, the catalogue's row. Only
then is the receipt given out. A crash after the rename is made good by `reconcile` at the next
start; a clip that another collector of the group stored meanwhile answers with that one's receipt.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.errors import AgentError, WireError
from agent.storage import atomic
from collector.answers import Notary
from collector.building import ClipBuilder
from collector.catalogue import Catalogue
from collector.errors import StoreError
from collector.store import (
    RECEIPT_FILE,
    Store,
    StoredReceipt,
    read_manifest,
    read_receipt,
)
from collector.verification import VerifiedOpen


class StoredClip(msgspec.Struct, frozen=True, kw_only=True):
    """Where a clip lies, its receipt, and what to tell people about it."""

    folder: Path
    receipt: str
    remarks: tuple[str, ...] = ()


class Finisher:
    """Stores built clips. Used from one thread; other collectors may work on the same store."""

    def __init__(self, store: Store, catalogue: Catalogue, notary: Notary) -> None:
        self._store = store
        self._catalogue = catalogue
        self._notary = notary

    def store(self, builder: ClipBuilder, verified: VerifiedOpen) -> StoredClip:
        """Finish `builder` and store its clip. Raises StoreError: then nothing is lost, call again
        with a new builder."""
        built = builder.finish()
        manifest, sha256 = verified.manifest, verified.manifest_sha256
        with self._store.storing():
            folder, conflict = self._store.folder_of(manifest, sha256)
            if not folder.is_dir():
                self._write_receipt(built, verified, conflict)
                self._store.place(built, folder)
            else:
                self._store.settle(folder)
            remarks = self._take_up(folder)
            if conflict:
                remarks += (
                    f"conflict: another clip {manifest.clip_id} is stored; kept both, see {folder}",
                )
            thinned = sum(line.kind == "thinned" for line in verified.lines)
            if thinned:
                remarks += (
                    f"{manifest.device_id} gave up {thinned} unsent clips for want of room, see"
                    f" `thinned` in the catalogue ({manifest.clip_id})",
                )
            return StoredClip(folder=folder, receipt=read_receipt(folder).receipt, remarks=remarks)

    def _write_receipt(self, built: Path, verified: VerifiedOpen, conflict: bool) -> None:
        token, body = self._notary.receipt(verified)
        receipt = StoredReceipt(
            receipt=token,
            clip_id=body.clip_id,
            manifest_sha256=body.manifest_sha256,
            custody_head=body.custody_head,
            stored_wall_ns=body.stored_wall_ns,
            collector=body.collector,
            conflict=conflict,
        )
        try:
            atomic.write_file(built / RECEIPT_FILE, msgspec.json.encode(receipt))
        except OSError as exc:
            raise StoreError(f"{built}: {exc.strerror}") from exc

    def _take_up(self, folder: Path) -> tuple[str, ...]:
        breaks = self._catalogue.add(folder, self._store.root)
        return tuple(
            f"custody chain of {b.device_id} broken at line {b.n}: {b.clip_key} {b.problem}"
            f" ({b.other_clip_key})"
            for b in breaks
        )


def reconcile(store: Store, catalogue: Catalogue, warn: Callable[[str], None]) -> int:
    """Take into the catalogue what a crash (or a lost catalogue) left out; how many there were."""
    known = catalogue.folders()
    added = 0
    for folder in store.clips():
        if folder.relative_to(store.root).as_posix() in known:
            continue
        try:
            read_manifest(folder)
            store.settle(folder)
            catalogue.add(folder, store.root)
            added += 1
        except (AgentError, WireError, OSError, ValueError, LookupError) as error:
            warn(f"{folder} cannot be taken into the catalogue ({error})")
    return added
