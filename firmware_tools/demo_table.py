"""What arrived at a collector, as a table for people."""

from __future__ import annotations

from pathlib import Path

import msgspec

from agent.errors import AgentError
from agent.wire.codec import decode
from agent.wire.label_sheet import MAX_SHEET_BYTES, LabelSheet, Tag
from agent.wire.manifest import Manifest, decode_manifest

_HEADINGS = ("session", "clip", "seconds", "pre-roll", "coverage", "bytes", "receipt", "tags")
_TAG_WIDTH = 62


class StoredReceipt(msgspec.Struct, frozen=True):
    """What the table needs of receipt.json."""

    stored_wall_ns: int


class StoredClip(msgspec.Struct, frozen=True, kw_only=True):
    """One clip as the collector stored it."""

    folder: Path
    manifest: Manifest
    sheet: LabelSheet
    stored_wall_ns: int
    mp4_bytes: int


def read_clips(store_dir: Path) -> list[StoredClip]:
    """All clips under a collector's store, in the order of their ids. Raises AgentError."""
    clips = []
    for sheet_file in sorted((store_dir / "store").glob("*/*/*/labels.json")):
        folder = sheet_file.parent
        receipt = (folder / "receipt.json").read_bytes()
        clips.append(
            StoredClip(
                folder=folder,
                manifest=decode_manifest((folder / "manifest.json").read_bytes()),
                sheet=decode(LabelSheet, sheet_file.read_bytes(), max_bytes=MAX_SHEET_BYTES),
                stored_wall_ns=msgspec.json.decode(receipt, type=StoredReceipt).stored_wall_ns,
                mp4_bytes=(folder / "clip.mp4").stat().st_size,
            )
        )
    if not clips:
        raise AgentError(f"no clip arrived in {store_dir}", remedy="see the logs beside it")
    return clips


def clip_table(clips: list[StoredClip], stopped_wall_ns: int) -> str:
    """One row a clip; `receipt`: seconds from the stop press to the receipt (before: during)."""
    rows = [list(_HEADINGS)]
    for clip in clips:
        first, *more = _tag_lines(clip.sheet)
        name = clip.manifest.name
        rows.append(
            [
                f"{name.boot}.{name.session}",
                f"{name.clip:04d}" if name.clip is not None else "record",
                f"{clip.sheet.video.duration_ns / 1e9:.2f}",
                _pre_roll(clip.sheet),
                f"{clip.sheet.coverage.share:.0%}",
                f"{clip.mp4_bytes:,}",
                _receipt(clip.stored_wall_ns, stopped_wall_ns),
                first,
            ]
        )
        rows.extend([""] * 7 + [line] for line in more)
    return _align(rows)


def _pre_roll(sheet: LabelSheet) -> str:
    return "" if sheet.pre_roll is None else f"{sheet.pre_roll.kept_s:.2f} s"


def _receipt(stored_wall_ns: int, stopped_wall_ns: int) -> str:
    after_s = (stored_wall_ns - stopped_wall_ns) / 1e9
    return f"{after_s:.1f} s" if after_s >= 0 else "during"


def _tag_lines(sheet: LabelSheet) -> list[str]:
    """Per label its spans in seconds of the clip, marks and declared labels last."""
    by_label: dict[str, list[Tag]] = {}
    for tag in sheet.tags:
        by_label.setdefault(tag.label, []).append(tag)
    lines = [
        _fit(f"{label} " + " ".join(f"{t.start_ns / 1e9:.1f}-{t.end_ns / 1e9:.1f}" for t in tags))
        for label, tags in sorted(by_label.items())
    ]
    if sheet.marks:
        lines.append("mark at " + " ".join(f"{mark.offset_ns / 1e9:.1f}" for mark in sheet.marks))
    if sheet.declared:
        words = " ".join(f"{one.key}={one.value}" for one in sheet.declared)
        lines.append(_fit(f"declared {words}"))
    return lines or ["none"]


def _fit(text: str) -> str:
    return text if len(text) <= _TAG_WIDTH else text[: _TAG_WIDTH - 1] + "…"


def _align(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    numbers = {2, 3, 4, 5, 6}
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
