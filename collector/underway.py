"""What is known of clips whose footage is still on its way: the sheets that came ahead of it.

A sheet is shown only as the builder wrote it: its hash is the one in the manifest, which the signed
close line of the device names. Reads `incoming/` beside a running collector and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.errors import WireError
from agent.wire.codec import decode
from agent.wire.label_sheet import MAX_SHEET_BYTES, LabelSheet
from agent.wire.manifest import Manifest, decode_manifest
from agent.wire.transfer import Open
from collector.assembly import MAX_OPEN_BYTES, OPEN_FILE, read_durable_parts
from collector.building import LABELS_FILE
from collector.store import Store


class Underway(msgspec.Struct, frozen=True, kw_only=True):
    """One clip that is not stored yet. `sheet_file` is None until its label sheet is here."""

    manifest: Manifest
    here_bytes: int
    sheet_file: Path | None = None
    sheet: LabelSheet | None = None


def underway(store: Store) -> Iterator[Underway]:
    """All clips under way, by device and age; without what vanishes or is half made meanwhile."""
    for folder in store.transfers():
        try:
            opened = decode(Open, (folder / OPEN_FILE).read_bytes(), max_bytes=MAX_OPEN_BYTES)
            manifest = decode_manifest(opened.manifest.encode())
            parts = read_durable_parts(folder)
        except (OSError, WireError):
            continue
        here = min(len(parts) * opened.part_bytes, manifest.total_bytes)
        file, sheet = _sheet_in(folder)
        yield Underway(manifest=manifest, here_bytes=here, sheet_file=file, sheet=sheet)


def describe(clip: Underway) -> str:
    """One line for a person."""
    manifest = clip.manifest
    share = 100 * clip.here_bytes // manifest.total_bytes
    line = f"{manifest.clip_id}  {manifest.priority:<6}  {share:3d} % here"
    if clip.sheet is None:
        return f"{line}, no sheet yet"
    words = [f"{len(clip.sheet.marks)} marks"] if clip.sheet.marks else []
    words += [
        f"{tag.label} {tag.start_ns / 1e9:.1f}-{tag.end_ns / 1e9:.1f} s" for tag in clip.sheet.tags
    ]
    return f"{line}, sheet {clip.sheet_file}: {', '.join(words) or 'no tags'}"


def _sheet_in(folder: Path) -> tuple[Path | None, LabelSheet | None]:
    for path in sorted(folder.glob(f"*.built/{LABELS_FILE}")):
        try:
            return path, decode(LabelSheet, path.read_bytes(), max_bytes=MAX_SHEET_BYTES)
        except (OSError, WireError):
            continue
    return None, None
