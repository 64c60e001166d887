"""Is this clip what it claims to be? Everything that can be told before its parts are here.

What the Open brings is checked before a byte of it is stored: ids against the topic (the broker
binds that to the sender's certificate), the manifest against itself, each custody line against the
device's keys, and the manifest against the custody lines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.crypto.custody import fragments_kept, verify_chain
from agent.crypto.keys import load_public_key, thumbprint
from agent.errors import CustodyError, KeyFileError, WireError
from agent.wire.custody import CustodyLine, line_hash
from agent.wire.ids import parse_clip_id
from agent.wire.manifest import SESSION_FILE, SHEET_FILE, Manifest, decode_manifest, fragment_file
from agent.wire.transfer import Open
from collector.errors import NotYetError, RefusedError

KEY_MISSING_DELAY_S = 30.0
MAX_DEVICE_KEYS = 256

Keys = dict[str, Ed25519PublicKey]
KeysOf = Callable[[str], Keys]


class DeviceKeys:
    """The custody keys of all devices: `<devices_dir>/<device_id>/custody-*.pem`, old and new.

    Read anew for each clip, so that a device provisioned while we run is known at once.
    """

    def __init__(self, devices_dir: Path, warn: Callable[[str], None]) -> None:
        self._devices_dir = devices_dir
        self._warn = warn

    def __call__(self, device_id: str) -> Keys:
        """kid -> key; empty for a device that is not known. A damaged file is warned of."""
        keys: Keys = {}
        for path in sorted((self._devices_dir / device_id).glob("custody-*.pem"))[:MAX_DEVICE_KEYS]:
            try:
                key = load_public_key(path, f"custody key of {device_id}")
            except KeyFileError as error:
                self._warn(str(error))
                continue
            keys[thumbprint(key)] = key
        return keys


class VerifiedOpen(msgspec.Struct, frozen=True, kw_only=True):
    """An Open whose every claim stands. `kept`: the custody line of each fragment by its file."""

    manifest: Manifest
    manifest_sha256: str
    lines: tuple[CustodyLine, ...]
    custody_head: str
    kept: dict[str, CustodyLine]


def manifest_hash(opened: Open) -> str:
    """SHA-256 of the manifest's bytes: what custody chain and receipt sign."""
    return hashlib.sha256(opened.manifest.encode()).hexdigest()


def check_open(device_id: str, clip_id: str, opened: Open, keys_of: KeysOf) -> VerifiedOpen:
    """Check what came on the topic of `device_id` and `clip_id`.

    Raises RefusedError (it can never be stored) or NotYetError (this side lacks the key).
    """
    try:
        manifest = decode_manifest(opened.manifest.encode())
    except WireError as exc:
        raise RefusedError(f"manifest refused: {exc}") from exc
    if manifest.device_id != device_id or manifest.clip_id != clip_id:
        raise RefusedError(f"the manifest of {manifest.clip_id} came as {clip_id} of {device_id}")
    lines = _verified_lines(device_id, opened, keys_of)
    verified = VerifiedOpen(
        manifest=manifest,
        manifest_sha256=manifest_hash(opened),
        lines=lines,
        custody_head=line_hash(opened.custody[-1]),
        kept={fragment_file(index): line for index, line in fragments_kept(lines).items()},
    )
    _check_agreement(verified)
    return verified


def _verified_lines(device_id: str, opened: Open, keys_of: KeysOf) -> tuple[CustodyLine, ...]:
    keys = keys_of(device_id)
    unknown: list[str] = []

    def key_for(kid: str) -> Ed25519PublicKey | None:
        if kid not in keys:
            unknown.append(kid)
        return keys.get(kid)

    try:
        return verify_chain(opened.custody, key_for)
    except CustodyError as exc:
        if unknown:
            raise NotYetError(
                f"custody key {unknown[0][:50]} of {device_id} is not known here",
                delay_s=KEY_MISSING_DELAY_S,
                remedy=f"put the device's custody-*.pem under {device_id}/ in keys.devices_dir",
            ) from exc
        raise RefusedError(str(exc)) from exc


def _check_agreement(verified: VerifiedOpen) -> None:
    """The signed lines say the same as the manifest."""
    manifest, lines, kept = verified.manifest, verified.lines, verified.kept
    if lines[0].clip_id != manifest.clip_id:
        raise RefusedError(f"custody lines of {lines[0].clip_id[:96]}, not of {manifest.clip_id}")
    close = lines[-1]
    if close.manifest_sha256 != verified.manifest_sha256:
        raise RefusedError("custody: the close line signs another manifest")
    entries = {entry.name: entry for entry in manifest.files}
    words = entries.get(SHEET_FILE) or entries.get(SESSION_FILE)
    if close.sheet_sha256 != (words.sha256 if words else None):
        raise RefusedError("custody: the close line signs another label sheet")
    if sorted(kept) != [fragment_file(index) for index in range(manifest.fragments)]:
        raise RefusedError("custody: the signed fragments are not those of the manifest")
    for name, line in kept.items():
        if (line.ct_sha256, line.ct_bytes) != (entries[name].sha256, entries[name].bytes):
            raise RefusedError(f"custody: the line of {name} signs another file")
    if sum(line.frames or 0 for line in kept.values()) != manifest.frames:
        raise RefusedError("custody: the frames signed are not those of the manifest")
    for line in lines:
        if line.thinned is not None and not _is_own_clip(line.thinned, manifest):
            raise RefusedError(f"custody: clip {line.thinned[:96]} is not this device's to give up")
    if (SESSION_FILE in entries) != (manifest.name.clip is None):
        raise RefusedError("manifest: a session record where none belongs, or none where one does")


def _is_own_clip(clip_id: str, manifest: Manifest) -> bool:
    try:
        name = parse_clip_id(clip_id)
    except WireError:
        return False
    return name.device_id == manifest.device_id and name.clip is not None
