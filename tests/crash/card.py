"""The camera's card after a cut: the real recovery on it, and whether it kept its promises."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.crypto import jws
from agent.crypto.custody import fragments_kept, intact_prefix, verify_chain
from agent.crypto.jws import Signer
from agent.crypto.keys import load_private_key, load_public_key, load_recipients, thumbprint
from agent.crypto.seal import Sealer
from agent.crypto.trust import pinned
from agent.drivers.clock_system import SystemClock
from agent.errors import AgentError
from agent.services.recovery import recover_all
from agent.services.resuming import session_to_resume, session_under_way
from agent.services.uplink_outbox import Outbox
from agent.services.vault import Vault
from agent.storage.atomic import Fsync
from agent.storage.identity import next_boot
from agent.storage.recorder_state import RecorderState
from agent.storage.spool import REASON_FILE, RECEIPT_FILE, SHELVES, Shelf, Spool
from agent.wire.codec import decode
from agent.wire.custody import CustodyLine, line_hash
from agent.wire.ids import parse_clip_id
from agent.wire.manifest import (
    CUSTODY_FILE,
    MANIFEST_FILE,
    Manifest,
    decode_manifest,
    fragment_file,
)
from agent.wire.transfer import Receipt
from collector.chain import ClipLinks, find_breaks
from collector.unsealing import load_identities
from firmware_tools.dev_fleet import Fleet
from tests.crash.account import Account

DEVICE = "cam01"
OPEN_SHELVES: tuple[Shelf, ...] = ("outbox", "sent", "rejected")


@dataclass(frozen=True)
class CardKeys:
    """The camera's keys, and those with which the other side reads what it wrote."""

    signer: Signer
    sealer: Sealer
    receipt_key: Ed25519PublicKey
    identity: pyrage.x25519.Identity

    @classmethod
    def of(cls, fleet: Fleet) -> CardKeys:
        device, collector = fleet.device(DEVICE), fleet.collector
        return cls(
            Signer(load_private_key(device.custody_key_file, "custody key")),
            Sealer(load_recipients(device.recipients_file)),
            load_public_key(collector.receipt_public_key_file, "receipt key"),
            load_identities([collector.age_identity_file])[0],
        )


def recover(
    state_dir: Path, keys: CardKeys, *, uplink_first: bool = False, fsync: Fsync = os.fsync
) -> Vault:
    """What recorder and uplink do at their start, in either order."""
    clock = SystemClock()
    spool = Spool(state_dir, fsync=fsync)
    outbox = Outbox(spool, lambda: pinned([keys.receipt_key]), lambda line: None)
    spool.prepare()
    if uplink_first:
        outbox.scan(clock.boot_ns())
    identity = next_boot(state_dir, random_bytes=os.urandom)
    vault = Vault(
        spool=spool,
        state=RecorderState(state_dir, fsync=fsync),
        sealer=keys.sealer,
        signer=keys.signer,
        clock=clock,
        boot_counter=identity.boot,
        device_id=DEVICE,
        agent_version="0",
        fsync=fsync,
    )
    under_way = session_under_way(vault.state, identity.os_boot)
    recover_all(vault)
    session_to_resume(vault, under_way)
    outbox.scan(clock.boot_ns())
    return vault


@dataclass(frozen=True)
class Entry:
    """One clip on a shelf, read whole. Without a manifest it is `wrong` what is there."""

    shelf: Shelf
    files: dict[str, bytes]
    manifest: Manifest | None
    lines: tuple[CustodyLine, ...]
    wrong: tuple[str, ...]


class CardCheck:
    """Holds a recovered card against what was promised. Remembers what it verified once."""

    def __init__(self, keys: CardKeys) -> None:
        self._keys = keys
        self._plain_sha256 = cache(self._open)
        self._verified = cache(self._verify)
        self._links = cache(self._link)

    def violations(self, vault: Vault, account: Account) -> Iterator[str]:
        """What is wrong, a line each. Opens a new clip on the card."""
        entries: dict[str, Entry] = {}
        for shelf in SHELVES:
            for clip_id in vault.spool.clips(shelf):
                if shelf not in OPEN_SHELVES:
                    yield f"{clip_id} is on the shelf {shelf} after recovery"
                elif clip_id in entries:
                    yield f"{clip_id} is on two shelves"
                else:
                    entries[clip_id] = self._read(vault.spool.path(shelf, clip_id), shelf)
        for clip_id, entry in entries.items():
            for text in (*entry.wrong, *self._word_of_the_collector(clip_id, entry)):
                yield f"{entry.shelf}/{clip_id}: {text}"
        yield from self._acknowledged(entries, account)
        yield from self._exported(entries, account)
        yield from self._going_on(vault, entries, account)

    def _read(self, folder: Path, shelf: Shelf) -> Entry:
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != "."}
        manifest, lines, wrong = self._verified(folder.name, frozenset(files.items()))
        return Entry(shelf, files, manifest, lines, wrong)

    def _verify(
        self, clip_id: str, files: frozenset[tuple[str, bytes]]
    ) -> tuple[Manifest | None, tuple[CustodyLine, ...], tuple[str, ...]]:
        """A clip is whole, and its hashes and signatures agree."""
        found = dict(files)
        try:
            body = found[MANIFEST_FILE]
            manifest = decode_manifest(body)
            texts = found[CUSTODY_FILE].decode("ascii").split()
            lines = verify_chain(texts, self._custody_key)
        except (KeyError, AgentError, UnicodeDecodeError) as exc:
            return None, (), (f"half visible ({exc!r})",)
        wrong = []
        if manifest.clip_id != clip_id or lines[0].clip_id != clip_id:
            wrong.append("manifest or custody of another clip")
        if lines[-1].manifest_sha256 != hashlib.sha256(body).hexdigest():
            wrong.append("the close line signs another manifest")
        hashes = {entry.name: entry.sha256 for entry in manifest.files}
        for name, digest in hashes.items():
            if name not in found or hashlib.sha256(found[name]).hexdigest() != digest:
                wrong.append(f"{name} is not as the manifest says")
        kept = {fragment_file(i): line.ct_sha256 for i, line in fragments_kept(lines).items()}
        footage = {n: digest for n, digest in hashes.items() if n[:4].isdigit() and n[4:] == ".age"}
        if kept != footage:
            wrong.append("custody and manifest name different fragments")
        beside = {MANIFEST_FILE, CUSTODY_FILE, RECEIPT_FILE, REASON_FILE}
        wrong += [f"{name} is nobody's" for name in sorted(found.keys() - hashes.keys() - beside)]
        return manifest, lines, tuple(wrong)

    def _word_of_the_collector(self, clip_id: str, entry: Entry) -> Iterator[str]:
        """On `sent` lies a receipt for just this clip, on `rejected` a signed refusal."""
        try:
            if entry.shelf == "sent":
                token = entry.files[RECEIPT_FILE].decode("ascii")
                receipt = decode(Receipt, jws.verify(token, self._receipt_key))
                digest = hashlib.sha256(entry.files[MANIFEST_FILE]).hexdigest()
                head = line_hash(entry.files[CUSTODY_FILE].decode("ascii").split()[-1])
                said = receipt.clip_id, receipt.manifest_sha256, receipt.custody_head
                if said != (clip_id, digest, head):
                    yield "its receipt is for something else"
            elif entry.shelf == "rejected":
                jws.verify(
                    msgspec.json.decode(entry.files[REASON_FILE])["signed"], self._receipt_key
                )
        except (KeyError, IndexError, AgentError, ValueError, msgspec.DecodeError) as exc:
            yield f"no good word of the collector ({exc!r})"

    def _acknowledged(self, entries: dict[str, Entry], account: Account) -> Iterator[str]:
        """Every fragment that was called safe is there, signed for, and opens."""
        for (clip_id, index), digest in account.acknowledged.items():
            entry, name = entries.get(clip_id), fragment_file(index)
            if entry is None or entry.shelf == "rejected":
                if clip_id not in account.deleted or clip_id not in account.receipted:
                    yield f"LOST: {clip_id}/{name} was safe and is gone without a receipt"
                continue
            content = entry.files.get(name)
            line = fragments_kept(entry.lines).get(index)
            if content is None or hashlib.sha256(content).hexdigest() != digest:
                yield f"LOST: {clip_id}/{name} was safe and is not what it was"
            elif line is None or line.pt_sha256 != self._plain_sha256(content):
                yield f"LOST: {clip_id}/{name} does not open to what its custody line signs"
        sessions = {parse_clip_id(clip_id).session_id for clip_id, _index in account.acknowledged}
        for record_id in sorted(f"{session}-record" for session in sessions):
            if record_id not in entries and record_id not in account.deleted:
                yield f"{record_id} is missing"

    def _open(self, content: bytes) -> str | None:
        try:
            return hashlib.sha256(pyrage.decrypt(content, [self._keys.identity])).hexdigest()
        except pyrage.DecryptError:
            return None

    def _exported(self, entries: dict[str, Entry], account: Account) -> Iterator[str]:
        """What the uplink may have sent before the cut says the same after it."""
        for clip_id, files in account.exported.items():
            entry = entries.get(clip_id)
            for name in (MANIFEST_FILE, CUSTODY_FILE):
                if entry is not None and entry.files.get(name) != files[name]:
                    yield f"{clip_id}/{name} was seen by the uplink and changed since"
            if entry is None and clip_id not in account.deleted:
                yield f"LOST: {clip_id} was in the outbox and is gone"

    def _going_on(self, vault: Vault, entries: dict[str, Entry], account: Account) -> Iterator[str]:
        """The next clip gets an id that was never used, and a place in the chain of its own."""
        taken = [parse_clip_id(clip_id) for clip_id in account.begun]
        if vault.boot_counter <= max((name.boot for name in taken), default=0):
            yield f"boot {vault.boot_counter} was used before"
        epoch = min((name.epoch for name in taken), default="0" * 16)
        clip_id = f"{DEVICE}-{epoch}-{vault.boot_counter:06d}-0001-0000"
        vault.open_clip(clip_id, ())
        new = (vault.spool.path("recording", clip_id) / CUSTODY_FILE).read_bytes()
        known = {name: files[CUSTODY_FILE] for name, files in account.exported.items()}
        known |= {name: entry.files.get(CUSTODY_FILE, b"") for name, entry in entries.items()}
        links = [self._links(name, custody) for name, custody in {**known, clip_id: new}.items()]
        ours = [link for link in links if link is not None and link.epoch == epoch]
        for number, one in enumerate(ours):
            for found in find_breaks(one, ours[:number]):
                yield f"custody: {found.clip_key} {found.problem} ({found.other_clip_key})"

    def _link(self, clip_key: str, custody: bytes) -> ClipLinks | None:
        texts, lines = intact_prefix(custody.splitlines(), self._custody_key)
        if not lines:
            return None
        hashes = [line_hash(text) for text in texts]
        return ClipLinks(
            clip_key=clip_key,
            device_id=DEVICE,
            epoch=parse_clip_id(clip_key).epoch,
            first_n=lines[0].n,
            last_n=lines[-1].n,
            first_prev=lines[0].prev,
            head=hashes[-1],
            line_hashes=b"".join(bytes.fromhex(text) for text in hashes),
        )

    def _custody_key(self, kid: str) -> Ed25519PublicKey | None:
        signer = self._keys.signer
        return signer.public_key if kid == signer.kid else None

    def _receipt_key(self, kid: str) -> Ed25519PublicKey | None:
        return self._keys.receipt_key if kid == thumbprint(self._keys.receipt_key) else None
