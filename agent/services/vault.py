"""Puts clips and session records on the card: sealed, signed, in the order that survives a cut.

A fragment: seal -> custody line (append, fsync) -> file (write, fsync, rename, directory fsync).
A close: sealed sheet -> manifest.json -> close line -> sidecars removed -> head of the chain kept
-> one rename from `recording` to `outbox`. After a cut anywhere, `recovery` goes on from there.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.crypto.custody import ChainHead, ClipChain, CustodyChain, SigningTime
from agent.crypto.jws import Signer
from agent.crypto.seal import Sealer
from agent.errors import SpoolError
from agent.ports.clock import Clock
from agent.services.keyring import KeyNote, Keyring
from agent.services.plan_book import PlanBook
from agent.storage.atomic import Fsync
from agent.storage.clip_files import ClipFiles
from agent.storage.recorder_state import RecorderState
from agent.storage.spool import Spool
from agent.wire.codec import encode
from agent.wire.custody import line_hash
from agent.wire.ids import parse_clip_id
from agent.wire.label_sheet import (
    ClockReading,
    FragmentLabels,
    Gap,
    LabelSheet,
    SessionRecord,
)
from agent.wire.manifest import (
    MANIFEST_FILE,
    SESSION_FILE,
    SHEET_FILE,
    FileEntry,
    Manifest,
    Priority,
    fragment_file,
    fragment_labels_file,
)

log = logging.getLogger("vault")

# A line has some 1,200 bytes, and the message that opens a transfer 2 MiB at most.
_THINNED_A_RECORD = 500


class SessionStub(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a session under way, for its record if the recorder is cut off, and for going
    on with it. `over`: it was stopped by a press, or ended. `clocks` as in the session record."""

    session_id: str
    start_pts_ns: int
    boot_counter: int
    mono_ns: int
    wall_ns: int
    clock_trust: Literal["trusted", "untrusted"]
    os_boot: str = ""
    over: bool = False
    clocks: tuple[ClockReading, ...] = ()


class ThinnedClip(msgspec.Struct, frozen=True, kw_only=True):
    """A clip that was given up unsent, as it is noted until a session record names it."""

    clip_id: str
    manifest_sha256: str
    start_pts_ns: int
    end_pts_ns: int
    frames: int
    cause: str


class Vault:
    """The spool's writing side with its keys. Used from one thread. `sealer` and `signer` hold for
    good, unless there is a `keyring`: then they are those of its newest order."""

    def __init__(
        self,
        *,
        spool: Spool,
        state: RecorderState,
        sealer: Sealer,
        signer: Signer,
        clock: Clock,
        boot_counter: int,
        device_id: str,
        agent_version: str,
        fsync: Fsync,
        keyring: Keyring | None = None,
        plans: PlanBook | None = None,
    ) -> None:
        self.spool, self.state = spool, state
        self.sealer, self.signer, self.clock = sealer, signer, clock
        self.boot_counter = boot_counter
        self.device_id, self.agent_version = device_id, agent_version
        self.fsync = fsync
        self.chain = CustodyChain(signer, ChainHead())
        self._keyring, self._plans = keyring, plans

    def signing_time(self) -> SigningTime:
        return SigningTime(
            boot_counter=self.boot_counter,
            mono_ns=self.clock.boot_ns(),
            wall_ns=self.clock.wall_ns(),
            clock_trust=self.clock.trust(),
        )

    def files(self, clip_id: str) -> ClipFiles:
        return ClipFiles(self.spool.path("recording", clip_id), fsync=self.fsync)

    def keep_head(self, head: ChainHead) -> None:
        self.state.put_custody_head(encode(head))

    def to_outbox(self, clip_id: str) -> None:
        if not self.spool.move(clip_id, "recording", "outbox"):
            raise SpoolError(f"clip {clip_id} vanished from the recording shelf")

    def renew_keys(self) -> None:
        """Take up new keys, if an order brought some: they count for what is opened from now on."""
        if self._keyring is not None:
            self._keyring.renew()
            self.sealer, self.signer = self._keyring.sealer, self._keyring.signer
            self.chain.sign_with(self.signer)
        if self._plans is not None:
            self._plans.renew()

    def key_notes(self) -> list[KeyNote]:
        """What happened to keys and plan since the last call."""
        books = (self._keyring, self._plans)
        return [note for book in books if book is not None for note in book.take_notes()]

    @property
    def keys_order(self) -> int:
        """Number of the newest order about keys that is obeyed."""
        return 0 if self._keyring is None else self._keyring.order

    def custody_key(self, kid: str) -> Ed25519PublicKey | None:
        """Lines of this card were signed by a key that this camera has, or once had."""
        if self._keyring is not None:
            return self._keyring.key_for(kid)
        return self.signer.public_key if kid == self.signer.kid else None

    def open_clip(self, clip_id: str, gaps: Sequence[Gap]) -> SealedClip:
        """Make the directory and the first custody lines; `gaps` are those just before the clip."""
        self.renew_keys()
        return SealedClip(self, clip_id, gaps)

    def put_record(self, record: SessionRecord) -> str:
        """Write the session record as an item of its own and drop the session's stub; returns the
        head of its custody lines, which name the clips that were given up since the last record."""
        clip_id = f"{record.session_id}-record"
        noted = self.state.thinned()
        named, later = noted[:_THINNED_A_RECORD], noted[_THINNED_A_RECORD:]
        self.renew_keys()
        item = SealedClip(self, clip_id, ())
        for line in named:
            self._name_thinned(item, line)
        head = item.close_record(record)
        # A cut before this names them again in the next record, which says nothing new.
        if noted:
            self.state.put_thinned(later)
        self.state.drop_session(record.session_id)
        return head

    def _name_thinned(self, item: SealedClip, line: bytes) -> None:
        try:
            clip = msgspec.json.decode(line, type=ThinnedClip)
        except (msgspec.DecodeError, UnicodeDecodeError):
            log.warning("a note of a clip given up is damaged: it is left out")
            return
        # A cut after the note and before the deletion: the clip is there after all.
        if not any(self.spool.path(shelf, clip.clip_id).exists() for shelf in ("outbox", "sent")):
            item.name_thinned(clip)


class SealedClip:
    """One clip (or session record) being written. After an OSError it must not be used again."""

    def __init__(self, vault: Vault, clip_id: str, gaps: Sequence[Gap]) -> None:
        self.clip_id = clip_id
        self.frames = 0
        self.start_pts_ns: int | None = None
        self.end_pts_ns = 0
        self._vault = vault
        # One clip is sealed to one set of keys, whatever order comes meanwhile.
        self._sealer = vault.sealer
        self._files = vault.files(clip_id)
        self._entries: list[FileEntry] = []
        self._sidecars: set[str] = set()
        self._files.create()
        when = vault.signing_time()
        self._chain: ClipChain = vault.chain.open_clip(clip_id, when.boot_counter, when.mono_ns)
        self._append(self._chain.sign("open", when))
        vault.chain.opened(self._chain, vault.boot_counter)
        for gap in gaps:
            self._append(
                self._chain.sign(
                    "gap",
                    vault.signing_time(),
                    start_pts_ns=gap.start_pts_ns,
                    end_pts_ns=gap.end_pts_ns,
                    cause=gap.cause,
                )
            )

    @property
    def fragments(self) -> int:
        return len(self._entries)

    def name_thinned(self, clip: ThinnedClip) -> None:
        """Say, signed, that `clip` was given up unsent; in the item of a session record alone."""
        fields = {**msgspec.structs.asdict(clip), "thinned": clip.clip_id}
        del fields["clip_id"]
        self._append(self._chain.sign("thinned", self._vault.signing_time(), **fields))

    def put_fragment(self, content: bytes, start_pts_ns: int, end_pts_ns: int, frames: int) -> None:
        """Seal and keep the next fragment: on return it is safe on the card."""
        index = len(self._entries)
        sealed = self._sealer.seal(content)
        self._append(
            self._chain.sign(
                "fragment",
                self._vault.signing_time(),
                index=index,
                ct_sha256=sealed.ct_sha256,
                ct_bytes=len(sealed.content),
                pt_sha256=sealed.pt_sha256,
                start_pts_ns=start_pts_ns,
                end_pts_ns=end_pts_ns,
                frames=frames,
            )
        )
        name = fragment_file(index)
        self._files.put(name, sealed.content)
        self._entries.append(
            FileEntry(name=name, bytes=len(sealed.content), sha256=sealed.ct_sha256)
        )
        self.frames += frames
        if self.start_pts_ns is None:
            self.start_pts_ns = start_pts_ns
        self.end_pts_ns = end_pts_ns

    def put_labels(self, labels: FragmentLabels) -> None:
        """Seal and keep the labels of one fragment, for a recovery."""
        name = fragment_labels_file(labels.index)
        self._files.put(name, self._sealer.seal(encode(labels)).content)
        self._sidecars.add(name)

    def close(self, sheet: LabelSheet, priority: Priority) -> str:
        """Sheet, manifest, close line, move to the outbox. Returns the head of the clip's lines."""
        sealed = self._sealer.seal(encode(sheet))
        self._files.put(SHEET_FILE, sealed.content)
        first = FileEntry(name=SHEET_FILE, bytes=len(sealed.content), sha256=sealed.ct_sha256)
        manifest = self._manifest((first, *self._entries), priority)
        return self._finish(manifest, sealed.ct_sha256)

    def close_record(self, record: SessionRecord) -> str:
        """The same for a session record, whose only file is the record."""
        sealed = self._sealer.seal(encode(record))
        self._files.put(SESSION_FILE, sealed.content)
        self.start_pts_ns = record.start_pts_ns
        self.end_pts_ns = max(record.start_pts_ns, record.stop_pts_ns or 0)
        only = FileEntry(name=SESSION_FILE, bytes=len(sealed.content), sha256=sealed.ct_sha256)
        return self._finish(self._manifest((only,), "record"), sealed.ct_sha256)

    def _manifest(self, files: tuple[FileEntry, ...], priority: Priority) -> Manifest:
        return Manifest(
            clip_id=self.clip_id,
            device_id=self._vault.device_id,
            session_id=parse_clip_id(self.clip_id).session_id,
            start_pts_ns=self.start_pts_ns or 0,
            end_pts_ns=self.end_pts_ns,
            frames=self.frames,
            fragments=len(self._entries),
            priority=priority,
            files=files,
        )

    def _finish(self, manifest: Manifest, sheet_sha256: str) -> str:
        body = encode(manifest)
        self._files.put(MANIFEST_FILE, body)
        line = self._chain.sign(
            "close",
            self._vault.signing_time(),
            sheet_sha256=sheet_sha256,
            manifest_sha256=hashlib.sha256(body).hexdigest(),
        )
        self._append(line)
        self._files.remove(self._sidecars)
        self._vault.keep_head(self._vault.chain.head)
        self._vault.to_outbox(self.clip_id)
        return line_hash(line)

    def _append(self, line: str) -> None:
        self._files.append_line(line)
        self._chain.accepted(line)
