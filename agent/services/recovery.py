"""Closes what a cut left on the `recording` shelf. Cut itself at any step, it goes on from there.

Nothing acknowledged is lost: a fragment whose custody line and file agree is sent. A line without
its file becomes a gap; a file that disagrees with its line is kept beside as `NNNN.age.damaged` and
never sent; a clip without its first fragment cannot be played and is kept on the `rejected` shelf.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from typing import Literal

import msgspec

from agent.crypto.custody import (
    ChainHead,
    ClipChain,
    CustodyChain,
    fragments_kept,
    intact_prefix,
)
from agent.errors import SpoolError, WireError
from agent.services.record_recovery import POWER_CUT, recover_record
from agent.services.vault import Vault
from agent.storage.clip_files import DAMAGED_SUFFIX, ClipFiles
from agent.storage.spool import REASON_FILE, Shelf
from agent.wire.codec import encode
from agent.wire.custody import CustodyLine, LineKind, line_hash
from agent.wire.ids import parse_clip_id
from agent.wire.manifest import (
    MANIFEST_FILE,
    SESSION_FILE,
    SHEET_FILE,
    FileEntry,
    Manifest,
    decode_manifest,
    fragment_file,
    fragment_labels_file,
)

log = logging.getLogger("recovery")

NOT_ON_CARD = "cut off before the fragment was on the card"
DAMAGED = "the card damaged the fragment"
_AGE_HEADER = b"age-encryption.org/v1\n"
_SHELVES: tuple[Shelf, ...] = ("recording", "outbox", "sent", "rejected")

Outcome = Literal["closed", "removed", "set_aside"]
KeepHead = Callable[[ChainHead], None]


class Recovered(msgspec.Struct, frozen=True):
    """What became of one item; `head` is its last line's, None when it was removed."""

    clip_id: str
    outcome: Outcome
    head: ChainHead | None = None


def recover_all(vault: Vault, *, os_boot: str = "") -> list[Recovered]:
    """At start: close everything on the recording shelf, then write the records of sessions that
    were cut off, and hang the chain on the newest clip. `os_boot`: this boot of the machine.
    Raises SpoolError when the card refuses."""
    try:
        vault.state.prepare()
        vault.spool.empty_trash()
        newest = _kept_head(vault)

        def keep(head: ChainHead) -> None:
            nonlocal newest
            if head.order >= newest.order:
                newest = head
                vault.keep_head(head)

        done = [
            recover_item(vault, clip_id, POWER_CUT, keep_head=keep)
            for clip_id in vault.spool.clips("recording")
        ]
        vault.chain = CustodyChain(vault.signer, newest)
        for session_id, content in vault.state.sessions().items():
            recover_record(vault, session_id, content, os_boot=os_boot)
    except OSError as exc:
        raise SpoolError(
            f"spool {vault.spool.root} cannot be recovered ({exc.strerror})",
            remedy="check that the card is not full or read-only",
        ) from exc
    return done


def recover_item(
    vault: Vault, clip_id: str, cause: str, *, keep_head: KeepHead | None = None
) -> Recovered:
    """Close one item of the recording shelf that nobody writes any more. `cause`: why it was left.

    Raises OSError when the card refuses; calling again goes on."""
    files = vault.files(clip_id)
    if not files.folder.exists():
        return Recovered(clip_id, "removed")
    files.drop_temporaries()
    # After a kill, what lies here may not be on the card yet. It must be before the clip moves on:
    # a power cut would leave it on a shelf where nobody looks whether it is whole.
    files.settle()
    item = _Item(vault, files, clip_id, keep_head or (lambda head: None))
    if item.was_closed() or item.finish_close():
        return item.ship()
    files.remove({MANIFEST_FILE, SHEET_FILE})
    if parse_clip_id(clip_id).clip is None:
        return item.close_record()
    return item.close_clip(cause)


class _Item:
    """One item under recovery: its intact lines, and the chain that goes on from them."""

    def __init__(self, vault: Vault, files: ClipFiles, clip_id: str, keep_head: KeepHead) -> None:
        self._vault, self._files, self._clip_id = vault, files, clip_id
        self._keep_head = keep_head
        self._texts, self._lines = intact_prefix(files.lines(), vault.custody_key)

    def was_closed(self) -> bool:
        """True when the last line closes the clip and the manifest is the one it binds."""
        if not self._lines or self._lines[-1].kind != "close":
            return False
        body = self._files.read(MANIFEST_FILE)
        if body and hashlib.sha256(body).hexdigest() == self._lines[-1].manifest_sha256:
            return True
        self._texts.pop()
        self._lines.pop()
        return False

    def finish_close(self) -> bool:
        """True when the manifest and all it lists are there: then only the close line was missing
        and is written now."""
        body = self._files.read(MANIFEST_FILE)
        if not body or not self._lines:
            return False
        try:
            manifest = decode_manifest(body)
        except WireError:
            return False
        if manifest.clip_id != self._clip_id or not all(map(self._is_there, manifest.files)):
            return False
        self._close(body, manifest)
        return True

    def close_record(self) -> Recovered:
        content = self._files.read(SESSION_FILE)
        if not self._lines or not content or not content.startswith(_AGE_HEADER):
            return self._remove()
        entry = FileEntry(
            name=SESSION_FILE, bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
        )
        at = self._lines[0].mono_ns
        manifest = Manifest(
            clip_id=self._clip_id,
            device_id=self._vault.device_id,
            session_id=parse_clip_id(self._clip_id).session_id,
            start_pts_ns=at,
            end_pts_ns=at,
            frames=0,
            fragments=0,
            recovered=True,
            priority="record",
            files=(entry,),
        )
        return self._put_manifest(manifest)

    def close_clip(self, cause: str) -> Recovered:
        good, lost = self._sort_fragments()
        if not good:
            damaged = any(name.endswith(DAMAGED_SUFFIX) for name in self._files.names())
            return self._set_aside() if damaged else self._remove()
        if 0 not in good:
            return self._set_aside()
        self._say_what_is_missing(good, lost, cause)
        lines = [good[index] for index in sorted(good)]
        entries = [entry for index in sorted(good) for entry in self._entries(index, good[index])]
        manifest = Manifest(
            clip_id=self._clip_id,
            device_id=self._vault.device_id,
            session_id=parse_clip_id(self._clip_id).session_id,
            start_pts_ns=lines[0].start_pts_ns or 0,
            end_pts_ns=lines[-1].end_pts_ns or 0,
            frames=sum(line.frames or 0 for line in lines),
            fragments=len(lines),
            recovered=True,
            files=tuple(entries),
        )
        return self._put_manifest(manifest)

    def ship(self) -> Recovered:
        """Drop what the manifest does not list, keep the head, move to the outbox."""
        body = self._files.read(MANIFEST_FILE)
        listed = {entry.name for entry in decode_manifest(body or b"").files}
        sidecars = {name for name in self._files.names() if name.endswith(".labels.age")}
        self._files.remove(sidecars - listed)
        head = self._head()
        self._keep_head(head)
        self._vault.to_outbox(self._clip_id)
        return Recovered(self._clip_id, "closed", head)

    def _sort_fragments(self) -> tuple[dict[int, CustodyLine], dict[int, str]]:
        """Fragments that are as their line says; and index -> cause of those that are not."""
        good: dict[int, CustodyLine] = {}
        lost: dict[int, str] = {}
        for index, line in fragments_kept(self._lines).items():
            content = self._files.read(fragment_file(index))
            if content is not None and hashlib.sha256(content).hexdigest() == line.ct_sha256:
                good[index] = line
                continue
            there = fragment_file(index) in self._files.names()
            lost[index] = DAMAGED if there else NOT_ON_CARD
        known = {fragment_file(index) for index in good}
        for name in self._files.names() - known:
            if name[:4].isdigit() and name[4:] == ".age":
                self._files.set_aside(name)
        return good, lost

    def _say_what_is_missing(
        self, good: dict[int, CustodyLine], lost: dict[int, str], cause: str
    ) -> None:
        self._files.keep_lines(self._texts)
        kinds = [line.kind for line in self._lines]
        if "recovered" not in kinds:
            self._append("recovered")
        for index, why in lost.items():
            line = fragments_kept(self._lines)[index]
            self._append(
                "gap",
                index=index,
                start_pts_ns=line.start_pts_ns,
                end_pts_ns=line.end_pts_ns,
                cause=why,
            )
        after = self._lines[[line.kind for line in self._lines].index("recovered") :]
        if not any(line.kind == "gap" and line.index is None for line in after):
            end = good[max(good)].end_pts_ns
            self._append("gap", start_pts_ns=end, end_pts_ns=end, cause=cause[:200])

    def _entries(self, index: int, line: CustodyLine) -> list[FileEntry]:
        name = fragment_labels_file(index)
        labels = self._files.read(name)
        entries = []
        if labels is not None and labels.startswith(_AGE_HEADER):
            entries.append(
                FileEntry(name=name, bytes=len(labels), sha256=hashlib.sha256(labels).hexdigest())
            )
        entries.append(
            FileEntry(
                name=fragment_file(index), bytes=line.ct_bytes or 0, sha256=line.ct_sha256 or ""
            )
        )
        return entries

    def _put_manifest(self, manifest: Manifest) -> Recovered:
        body = encode(manifest)
        self._files.put(MANIFEST_FILE, body)
        self._close(body, manifest)
        return self.ship()

    def _close(self, body: bytes, manifest: Manifest) -> None:
        sheets = [e.sha256 for e in manifest.files if e.name in (SHEET_FILE, SESSION_FILE)]
        self._files.keep_lines(self._texts)
        self._append(
            "close",
            sheet_sha256=sheets[0] if sheets else None,
            manifest_sha256=hashlib.sha256(body).hexdigest(),
        )

    def _is_there(self, entry: FileEntry) -> bool:
        content = self._files.read(entry.name)
        return content is not None and hashlib.sha256(content).hexdigest() == entry.sha256

    def _append(self, kind: LineKind, **fields: str | int | None) -> None:
        last = self._lines[-1]
        chain = ClipChain(
            self._vault.signer, self._clip_id, n=last.n + 1, prev=line_hash(self._texts[-1])
        )
        text = chain.sign(kind, self._vault.signing_time(), **fields)
        self._files.append_line(text)
        self._texts.append(text)
        self._lines = intact_prefix([t.encode() for t in self._texts], self._vault.custody_key)[1]

    def _head(self) -> ChainHead:
        return _head_of(self._clip_id, self._texts, self._lines)

    def _remove(self) -> Recovered:
        log.warning("clip %s had no whole fragment on the card: removed", self._clip_id)
        if not self._vault.spool.delete(self._clip_id, "recording"):
            shutil.rmtree(self._files.folder, ignore_errors=True)
        return Recovered(self._clip_id, "removed")

    def _set_aside(self) -> Recovered:
        why = "the card damaged the clip's first fragment: what is left is kept on this card only"
        log.warning("clip %s: %s", self._clip_id, why)
        self._files.put(REASON_FILE, msgspec.json.encode({"v": 1, "why": why}))
        self._vault.spool.move(self._clip_id, "recording", "rejected")
        return Recovered(self._clip_id, "set_aside")


def _head_of(clip_id: str, texts: list[str], lines: list[CustodyLine]) -> ChainHead:
    return ChainHead(
        n=lines[-1].n,
        line_sha256=line_hash(texts[-1]),
        clip_id=clip_id,
        boot_counter=lines[0].boot_counter,
        opened_mono_ns=lines[0].mono_ns,
    )


def _kept_head(vault: Vault) -> ChainHead:
    """The persisted head; found anew on the shelves when the file is missing or damaged."""
    content = vault.state.custody_head()
    if content is not None:
        try:
            return decode_head(content)
        except WireError as exc:
            log.warning("state/custody.json is damaged (%s): the chain goes on from the spool", exc)
    newest = ChainHead()
    for shelf in _SHELVES:
        for clip_id in vault.spool.clips(shelf):
            files = ClipFiles(vault.spool.path(shelf, clip_id), fsync=vault.fsync)
            texts, lines = intact_prefix(files.lines(), vault.custody_key)
            if lines:
                newest = max(newest, _head_of(clip_id, texts, lines), key=lambda head: head.order)
    return newest


def decode_head(content: bytes) -> ChainHead:
    """Raises WireError when `content` is no persisted head."""
    try:
        return msgspec.json.decode(content, type=ChainHead)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise WireError(str(exc)) from exc
