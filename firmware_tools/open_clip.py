"""Opens sealed clips: `clip.mp4` and `labels.json`, and one line on what is proven about each.

    python -m firmware_tools.open_clip --identity age-identity.txt --devices devices/ \\
        --out opened/ CARD/spool/outbox

The input is a clip's folder, a shelf of the spool or a whole spool; clips that a power cut left
open are opened as far as they go. The input is never changed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.crypto.custody import fragments_kept
from agent.crypto.keys import load_public_key, thumbprint
from agent.errors import AgentError, SpoolError, WireError
from agent.wire.codec import decode, encode
from agent.wire.ids import parse_clip_id
from agent.wire.label_sheet import MAX_SHEET_BYTES, FragmentLabels, LabelSheet, SessionRecord
from agent.wire.manifest import (
    CUSTODY_FILE,
    MANIFEST_FILE,
    SESSION_FILE,
    SHEET_FILE,
    Manifest,
    fragment_file,
)
from collector.errors import NotYetError, RefusedError
from collector.sheets import build_sheet
from collector.unsealing import Unsealer, load_identities
from collector.verification import DeviceKeys
from firmware_tools.clip_verdict import Opened, SheetOrigin, Verdict, custody_before, verdict
from firmware_tools.sealed_clip import SealedClip

VIDEO_FILE = "clip.mp4"
LABELS_FILE = "labels.json"
RECORD_FILE = "session.json"
_SEALED = re.compile(r"[0-9]{4}(\.labels)?\.age|labels\.json\.age|session\.json\.age")
_SIDECAR = re.compile(r"[0-9]{4}\.labels\.age")
_DEPTH = 4

Keys = Mapping[str, Ed25519PublicKey]


class Opener:
    """Opens clips with one set of keys. `devices`: folder of `<device_id>/custody-*.pem`; `keys`:
    custody keys given one by one. `everything`: also what no custody line stands for."""

    def __init__(
        self,
        unsealer: Unsealer,
        *,
        keys: Keys,
        devices: Path | None = None,
        everything: bool = False,
    ) -> None:
        self._unsealer = unsealer
        self._keys = keys
        self._devices = None if devices is None else DeviceKeys(devices, _warn)
        self._everything = everything

    def read(self, folder: Path) -> SealedClip:
        """Raises SpoolError when the folder cannot be listed."""
        keys = self._keys_of(folder.name)
        return SealedClip(folder, keys.get)

    def open(self, clip: SealedClip, out: Path, holders: Mapping[str, str]) -> Verdict:
        """Write what `clip` holds into the folder `out`; `holders`: line hash -> clip id of all
        clips at hand. Raises SpoolError: `out` cannot be written."""
        try:
            out.mkdir(parents=True, exist_ok=True)
            faults = self._faults(clip)
            if SESSION_FILE in clip.names:
                words = self._write_words(clip, SESSION_FILE, out / RECORD_FILE)
            else:
                self._write_video(clip, out / VIDEO_FILE)
                words = self._write_words(clip, SHEET_FILE, out / LABELS_FILE)
        except OSError as exc:
            raise SpoolError(
                f"{out} cannot be written ({exc.strerror})", remedy="give another --out"
            ) from exc
        return verdict(
            Opened(
                clip_id=clip.clip_id,
                chain=clip.chain,
                footage=clip.footage,
                words=words,
                before=custody_before(clip.chain, holders),
                keys_given=bool(self._keys) or self._devices is not None,
                faults=tuple(faults),
            )
        )

    def _keys_of(self, clip_id: str) -> dict[str, Ed25519PublicKey]:
        keys = dict(self._keys)
        if self._devices is not None:
            with contextlib.suppress(WireError):
                keys |= self._devices(parse_clip_id(clip_id).device_id)
        return keys

    def _unseal(self, name: str, content: bytes) -> bytes:
        try:
            return bytes(self._unsealer.unseal(name, content))
        except NotYetError as exc:
            raise RefusedError("is sealed to another key than those given") from exc
        except RefusedError as exc:
            raise RefusedError("cannot be opened, it is damaged") from exc

    def _faults(self, clip: SealedClip) -> list[str]:
        found = [clip.manifest_problem] if clip.manifest_problem else []
        if clip.clip_id != clip.folder.name:
            found.append(f"its folder is named {clip.folder.name}")
        return found

    def _write_video(self, clip: SealedClip, target: Path) -> None:
        temporary = target.with_name(f".{target.name}.tmp")
        with _private(temporary) as descriptor:
            for plain in clip.fragments(self._unseal, also_unproven=self._everything):
                view = memoryview(plain)
                while view:
                    view = view[os.write(descriptor, view) :]
        if clip.footage.unchanged or clip.footage.unproven:
            temporary.replace(target)
        else:
            temporary.unlink()

    def _write_words(self, clip: SealedClip, name: str, target: Path) -> SheetOrigin:
        content = clip.read(name) if name in clip.names else None
        if content is not None:
            with contextlib.suppress(AgentError):
                plain = self._unseal(name, content)
                _check_words(name, plain)
                _write(target, plain)
                close = clip.chain.close
                right = close is not None and close.sheet_sha256 == _sha256(content)
                return "signed" if right else "unsigned"
        if name == SESSION_FILE or content is not None or not clip.footage.unchanged:
            return "none"
        return self._build_sheet(clip, target)

    def _build_sheet(self, clip: SealedClip, target: Path) -> SheetOrigin:
        """From the labels beside the fragments: what a recovered clip has, or one never closed."""
        manifest = clip.manifest or _manifest_of(clip)
        if manifest is None or not clip.chain.lines:
            return "none"
        listed = {} if clip.manifest is None else {e.name: e.sha256 for e in clip.manifest.files}
        labels, is_signed = [], clip.chain.close is not None
        for name in sorted(filter(_SIDECAR.fullmatch, clip.names)):
            content = clip.read(name)
            if content is None:
                continue
            if clip.manifest is not None and listed.get(name) != _sha256(content):
                continue  # not what the signed manifest lists
            with contextlib.suppress(AgentError):
                each = decode(
                    FragmentLabels, self._unseal(name, content), max_bytes=MAX_SHEET_BYTES
                )
                if (each.clip_id, each.index) == (clip.clip_id, int(name[:4])):
                    labels.append(each)
        sheet = build_sheet(manifest, clip.chain.lines, labels, built_by="open-clip")
        _write(target, encode(sheet))
        return "built" if is_signed else "built_unsigned"


def find_clips(paths: Sequence[Path]) -> list[Path]:
    """The clip folders among and below `paths`, in order. Raises SpoolError: a path that is no
    folder, or no clip anywhere."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            raise SpoolError(f"{path} is no folder", remedy="give a clip, a shelf or a spool")
        found += _below(path, _DEPTH)
    if not found:
        where = ", ".join(map(str, paths))
        raise SpoolError(f"no clip in {where}", remedy="give a clip, a shelf or a spool")
    return found


def _below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    if any(_SEALED.fullmatch(n) or n in (CUSTODY_FILE, MANIFEST_FILE) for n in names):
        yield folder
    elif depth:
        for name in names:
            child = folder / name
            if child.is_dir() and not child.is_symlink():
                yield from _below(child, depth - 1)


def _manifest_of(clip: SealedClip) -> Manifest | None:
    """What a manifest would say of a clip that has none, by its custody lines."""
    kept = fragments_kept(clip.chain.lines)
    unchanged = [kept[i] for i in sorted(kept) if fragment_file(i) in clip.footage.unchanged]
    if not unchanged:
        return None
    try:
        name = parse_clip_id(clip.clip_id)
    except WireError:
        return None
    return Manifest(
        clip_id=name.clip_id,
        device_id=name.device_id,
        session_id=name.session_id,
        start_pts_ns=unchanged[0].start_pts_ns or 0,
        end_pts_ns=unchanged[-1].end_pts_ns or 0,
        frames=sum(line.frames or 0 for line in unchanged),
        fragments=len(unchanged),
        recovered=True,
        files=(),
    )


def _check_words(name: str, plain: bytes) -> None:
    kind: type[msgspec.Struct] = SessionRecord if name == SESSION_FILE else LabelSheet
    decode(kind, plain, max_bytes=MAX_SHEET_BYTES)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def _private(path: Path) -> Iterator[int]:
    """An empty file that only its owner can read: what goes in is no longer sealed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(target: Path, content: bytes) -> None:
    temporary = target.with_name(f".{target.name}.tmp")
    with _private(temporary) as descriptor, os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(content)
    temporary.replace(target)


def _warn(text: str) -> None:
    print(text, file=sys.stderr)


def _out_names(clips: Sequence[SealedClip]) -> Iterator[tuple[SealedClip, str]]:
    """A folder name for each clip: its id where it is one, never a path, never twice."""
    used: set[str] = set()
    for clip in clips:
        name = clip.clip_id
        with contextlib.suppress(WireError):
            name = parse_clip_id(clip.clip_id).clip_id
        if name != clip.clip_id or "/" in name or name.startswith("."):
            name = clip.folder.name
        number, wanted = 2, name
        while name in used:
            name, number = f"{wanted}.{number}", number + 1
        used.add(name)
        yield clip, name


def open_all(opener: Opener, folders: Sequence[Path], out: Path) -> bool:
    """Open each clip and print its line; True when all of them are sound."""
    clips, sound = [], True
    for folder in folders:
        try:
            clips.append(opener.read(folder))
        except AgentError as exc:
            print(f"{folder.name}: {exc}")
            sound = False
    holders = {sha256: clip.clip_id for clip in clips for sha256 in clip.chain.hashes}
    for clip, name in _out_names(clips):
        found = opener.open(clip, out / name, holders)
        print(f"{name}: {found.line}")
        sound = sound and found.is_sound
    return sound


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 nothing contradicts anything, 1 something is wrong (its line says what), 2 the
    command cannot be carried out."""
    options = _parser().parse_args(arguments)
    try:
        keys = [load_public_key(path, "custody key") for path in options.custody_key]
        if options.devices is not None and not options.devices.is_dir():
            raise SpoolError(f"{options.devices} is no folder", remedy="correct --devices")
        opener = Opener(
            Unsealer(load_identities(options.identity)),
            keys={thumbprint(key): key for key in keys},
            devices=options.devices,
            everything=options.everything,
        )
        return 0 if open_all(opener, find_clips(options.clips), options.out) else 1
    except AgentError as error:
        print(f"sightline-open-clip: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sightline-open-clip",
        description="Open sealed clips and say in one line each what is proven and what is not.",
    )
    parser.add_argument("clips", type=Path, nargs="+", help="a clip's folder, a shelf or a spool")
    parser.add_argument(
        "--identity",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="age private keys (age-keygen's format); repeat for old keys",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where it goes")
    parser.add_argument(
        "--devices",
        type=Path,
        metavar="DIR",
        help="the collection server's devices_dir: <device_id>/custody-*.pem",
    )
    parser.add_argument(
        "--custody-key",
        type=Path,
        action="append",
        default=[],
        metavar="PEM",
        help="a device's custody key (public); repeat for more",
    )
    parser.add_argument(
        "--everything",
        action="store_true",
        help="put also into clip.mp4 what no custody line stands for",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
