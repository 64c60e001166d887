"""The admins' repository of signed metadata (The Update Framework), a plain folder.

    DIR/metadata/   N.root.json N.targets.json N.halts.json N.snapshot.json timestamp.json
    DIR/staged/     root.json targets.json: what waits for more signatures
    DIR/bundles/    NAME-VERSION.tar
    DIR/keys/       private keys, unless they are kept elsewhere
    DIR/root.json   the first root: it goes into the image of every camera

Roles: root (2 of 3, offline) names the others; targets (2 of 3 admins) says which bundle goes to
which cameras; snapshot and timestamp (online) say what is current; halts (online, delegated by the
targets) can stop a roll-out and do nothing else.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

from securesystemslib.signer import Key
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError

from agent.errors import AgentError
from agent.storage import atomic
from agent.wire.depot import metadata_name
from agent.wire.rollout import HALTS_ROLE, ISSUED_FIELD
from firmware_tools.update_keys import Signers

DAYS = {"root": 365, "targets": 180, HALTS_ROLE: 30, "snapshot": 30, "timestamp": 7}
AnySigned = TypeVar("AnySigned", Root, Snapshot, Targets, Timestamp)


class RepositoryProblem(AgentError):  # noqa: N818 - the tree's names say what is wrong
    """The update repository is missing, damaged, or lacks a signature."""


class UpdateRepository:
    """Opened by its folder. What was released is never changed; a new version is made."""

    def __init__(self, folder: Path, now: Callable[[], datetime]) -> None:
        self.folder = folder
        self.metadata_dir = folder / "metadata"
        self.staged_dir = folder / "staged"
        self.bundles_dir = folder / "bundles"
        self._now = now

    @property
    def exists(self) -> bool:
        return (self.metadata_dir / "1.root.json").is_file()

    def root(self) -> Metadata[Root]:
        return self._newest("root", Root)

    def targets(self) -> Metadata[Targets]:
        return self._newest("targets", Targets)

    def halts(self) -> Metadata[Targets]:
        return self._newest(HALTS_ROLE, Targets)

    def staged(self, role: str) -> Metadata[Any] | None:
        """What waits for signatures, or None."""
        file = self.staged_dir / f"{role}.json"
        return self._read(file) if file.exists() else None

    def stage(self, role: str, signed: Signed) -> Metadata[Any]:
        """Put forward the next version of root or targets, unsigned. What was staged before with
        other content loses its signatures."""
        envelope: Metadata[Any] = Metadata(signed)
        self.write(self.staged_dir / f"{role}.json", envelope)
        return envelope

    def next_of(self, metadata: Metadata[AnySigned], role: str) -> AnySigned:
        """A copy of the signed part with the next version and a fresh expiry."""
        signed = copy.deepcopy(metadata.signed)
        signed.version += 1
        signed.expires = self.expiry(role)
        return signed

    def expiry(self, role: str) -> datetime:
        return self._now().astimezone(UTC).replace(microsecond=0) + timedelta(days=DAYS[role])

    def sign_staged(self, signers: Signers) -> dict[str, tuple[int, int]]:
        """Add what signatures `signers` may give; (signatures, threshold) of each staged role. What
        is complete is released. Raises RepositoryProblem."""
        found = {}
        for role in ("root", "targets"):
            staged = self.staged(role)
            if staged is None:
                continue
            for keyid in self._keys_of(role, staged):
                if keyid in signers and keyid not in staged.signatures:
                    staged.sign(signers[keyid], append=True)
            self.write(self.staged_dir / f"{role}.json", staged)
            found[role] = self._count(role, staged)
            if found[role][0] >= found[role][1]:
                self._release(role, staged)
        return found

    def make_current(self, signers: Signers, *, changed: bool) -> None:
        """Snapshot and timestamp over what is released; the halts are renewed before they expire.
        Raises RepositoryProblem when an online key is missing or the targets are not valid."""
        root, targets = self.root().signed, self.targets()
        self.verify("targets", targets)
        halts = self.halts()
        if self._is_ageing(halts.signed, HALTS_ROLE) or not self._is_signed(HALTS_ROLE, halts):
            halts = self.sign_online(HALTS_ROLE, self.next_of(halts, HALTS_ROLE), signers)
            changed = True
        snapshot = self._newest("snapshot", Snapshot)
        stale = self._is_ageing(snapshot.signed, "snapshot")
        if changed or stale or not self._is_signed("snapshot", snapshot):
            body = self.next_of(snapshot, "snapshot")
            body.meta = {
                "targets.json": MetaFile(targets.signed.version),
                f"{HALTS_ROLE}.json": MetaFile(halts.signed.version),
            }
            snapshot = self.sign_online("snapshot", body, signers)
        self._sign_timestamp(snapshot, root, signers)

    def sign_online(self, role: str, signed: Signed, signers: Signers) -> Metadata[Any]:
        """Release a version of a role whose key is at hand. Raises RepositoryProblem."""
        envelope: Metadata[Any] = Metadata(signed)
        usable = [signers[keyid] for keyid in self._keys_of(role, envelope) if keyid in signers]
        if not usable:
            raise RepositoryProblem(
                f"no key of role {role} is at hand", remedy="give its folder with --keys DIR"
            )
        for signer in usable:
            envelope.sign(signer, append=True)
        name = "timestamp.json" if role == "timestamp" else f"{signed.version}.{role}.json"
        self.write(self.metadata_dir / name, envelope)
        return envelope

    def verify(self, role: str, metadata: Metadata[Any]) -> None:
        """Raises RepositoryProblem unless the role's threshold of valid signatures is there."""
        if not self._is_signed(role, metadata):
            have, need = self._count(role, metadata)
            raise RepositoryProblem(
                f"{role} version {metadata.signed.version} has {have} of {need} signatures that"
                " count",
                remedy="let another admin run `sightline model sign`",
            )

    def publication(self) -> list[tuple[str, bytes]]:
        """(metadata name, bytes) of all that cameras may need, in the order to publish: what is
        pointed to before what points to it."""
        current = [
            *sorted(self.metadata_dir.glob("*.root.json"), key=_version),
            self._file("targets"),
            self._file(HALTS_ROLE),
            self._file("snapshot"),
            self.metadata_dir / "timestamp.json",
        ]
        return [(metadata_name(file.name), file.read_bytes()) for file in current]

    def write(self, file: Path, metadata: Metadata[Any]) -> None:
        try:
            atomic.make_directory(file.parent, mode=0o755)
            atomic.write_file(file, metadata.to_bytes(), mode=0o644)
        except OSError as exc:
            raise RepositoryProblem(f"{file} cannot be written ({exc.strerror})") from exc

    def _release(self, role: str, staged: Metadata[Any]) -> None:
        self.verify(role, staged)
        self.write(self.metadata_dir / f"{staged.signed.version}.{role}.json", staged)
        (self.staged_dir / f"{role}.json").unlink()

    def _sign_timestamp(self, snapshot: Metadata[Snapshot], root: Root, signers: Signers) -> None:
        file = self.metadata_dir / "timestamp.json"
        version = self._read(file).signed.version + 1 if file.exists() else 1
        issued_ns = int(self._now().timestamp()) * 10**9
        body = Timestamp(
            version=version,
            expires=self.expiry("timestamp"),
            snapshot_meta=MetaFile(snapshot.signed.version),
            unrecognized_fields={ISSUED_FIELD: issued_ns},
        )
        self.sign_online("timestamp", body, signers)

    def _count(self, role: str, metadata: Metadata[Any]) -> tuple[int, int]:
        """(valid signatures, threshold); for a new root, of whichever of old and new lacks more."""
        if role == HALTS_ROLE:
            judges: list[Any] = [self.targets().signed]
        elif role == "root":
            judges = [self.root().signed, metadata.signed]
        else:
            judges = [self.root().signed]
        results = [
            judge.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
            for judge in judges
        ]
        worst = min(results, key=lambda each: len(each.signed) - each.threshold)
        return len(worst.signed), worst.threshold

    def _is_signed(self, role: str, metadata: Metadata[Any]) -> bool:
        have, need = self._count(role, metadata)
        return have >= need

    def _keys_of(self, role: str, metadata: Metadata[Any]) -> list[str]:
        if role == HALTS_ROLE:
            return list(self.targets().signed.get_delegated_role(role).keyids)
        keys = list(self.root().signed.roles[role].keyids)
        if role == "root":
            keys += cast("Root", metadata.signed).roles["root"].keyids
        return list(dict.fromkeys(keys))

    def _is_ageing(self, signed: Signed, role: str) -> bool:
        """True in the second half of its life."""
        return signed.is_expired(self._now() + timedelta(days=DAYS[role] / 2))

    def _newest(self, role: str, kind: type[AnySigned]) -> Metadata[AnySigned]:
        return cast("Metadata[AnySigned]", self._read(self._file(role)))

    def _file(self, role: str) -> Path:
        files = sorted(self.metadata_dir.glob(f"*.{role}.json"), key=_version)
        if not files:
            raise RepositoryProblem(
                f"{self.folder} is no update repository (no {role} metadata)",
                remedy="make one with `sightline keys init`, or give --repository DIR",
            )
        return files[-1]

    def _read(self, file: Path) -> Metadata[Any]:
        try:
            return Metadata.from_bytes(file.read_bytes())
        except (OSError, DeserializationError, RepositoryError, UnsignedMetadataError) as exc:
            raise RepositoryProblem(f"{file} cannot be read ({exc})", remedy="restore it") from exc


def target_of(path: str, content: bytes, custom: Mapping[str, Any]) -> TargetFile:
    """The entry of a bundle: length, SHA-256, and what is signed beside them."""
    target = TargetFile.from_data(path, content, ["sha256"])
    target.unrecognized_fields["custom"] = dict(custom)
    return target


def key_named(signed: Root | Targets, role: str, keyid: str) -> Key:
    """Raises RepositoryProblem when `role` has no such key."""
    if keyid not in signed.get_delegated_role(role).keyids:
        raise RepositoryProblem(f"role {role} has no key {keyid[:16]}")
    return signed.get_key(keyid)


def _version(file: Path) -> int:
    return int(file.name.partition(".")[0])
