"""The index of the collection: SQLite, WAL, synchronous FULL. Rebuilt from the store when lost.

Every row is derived from a stored folder (`add`), so the catalogue can say nothing that the files
do not. `corrected_wall_ns` is the Unix time of a clip's first frame by a trusted clock, NULL while
none is known (`wall_times`). `thinned` names clips that a camera gave up unsent for want of room.
`stored` clips are unique by (clip_id, manifest hash); a second clip of one id is kept
under a conflict key. The schema below is public: data sets are chosen with plain SQL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from agent.wire.custody import CustodyLine
from agent.wire.label_sheet import ClockReading, LabelSheet, SessionRecord
from agent.wire.manifest import Manifest
from collector.building import LABELS_FILE, RECORD_FILE, VIDEO_FILE
from collector.chain import ChainBreak, ClipLinks, find_breaks
from collector.errors import StoreError
from collector.store import StoredReceipt, read_custody, read_manifest, read_receipt
from collector.wall_times import SCHEMA as WALL_TIMES_SCHEMA
from collector.wall_times import date_clips, trusted_readings

SCHEMA_VERSION = 2

_SCHEMA = """
CREATE TABLE IF NOT EXISTS clips (
  clip_key TEXT PRIMARY KEY, clip_id TEXT NOT NULL, device_id TEXT NOT NULL,
  session_id TEXT NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('clip', 'record')),
  conflict INTEGER NOT NULL, epoch TEXT NOT NULL, boot INTEGER NOT NULL, session INTEGER NOT NULL,
  clip INTEGER, start_pts_ns INTEGER NOT NULL, end_pts_ns INTEGER NOT NULL,
  frames INTEGER NOT NULL, fragments INTEGER NOT NULL, recovered INTEGER NOT NULL,
  priority TEXT NOT NULL, sealed_bytes INTEGER NOT NULL, mp4_bytes INTEGER,
  manifest_sha256 TEXT NOT NULL, custody_head TEXT NOT NULL, receipt TEXT NOT NULL,
  stored_wall_ns INTEGER NOT NULL, folder TEXT NOT NULL, pre_roll_asked_s REAL,
  pre_roll_kept_s REAL, coverage_due INTEGER, coverage_scored INTEGER, coverage_share REAL,
  model_name TEXT, model_semver TEXT, accelerator TEXT, wall_ns INTEGER, clock_trust TEXT,
  sheet_built_by TEXT, corrected_wall_ns INTEGER, clock_mono_ns INTEGER,
  UNIQUE (clip_id, manifest_sha256));
CREATE UNIQUE INDEX IF NOT EXISTS one_clip_per_id ON clips (clip_id) WHERE conflict = 0;
CREATE TABLE IF NOT EXISTS tags (clip_key TEXT NOT NULL REFERENCES clips ON DELETE CASCADE,
  label TEXT NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, peak REAL NOT NULL,
  mean REAL NOT NULL, continued INTEGER NOT NULL, continues INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS tags_by_label ON tags (label);
CREATE TABLE IF NOT EXISTS declared (clip_key TEXT NOT NULL REFERENCES clips ON DELETE CASCADE,
  key TEXT NOT NULL, value TEXT NOT NULL, source TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS marks (clip_key TEXT NOT NULL REFERENCES clips ON DELETE CASCADE,
  offset_ns INTEGER NOT NULL, source TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS gaps (clip_key TEXT NOT NULL REFERENCES clips ON DELETE CASCADE,
  start_pts_ns INTEGER NOT NULL, end_pts_ns INTEGER NOT NULL, cause TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS lost (clip_key TEXT NOT NULL REFERENCES clips ON DELETE CASCADE,
  cause TEXT NOT NULL, frames INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS chain_runs (
  clip_key TEXT PRIMARY KEY REFERENCES clips ON DELETE CASCADE, device_id TEXT NOT NULL,
  epoch TEXT NOT NULL, first_n INTEGER NOT NULL, last_n INTEGER NOT NULL,
  first_prev TEXT NOT NULL, head TEXT NOT NULL, line_hashes BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS runs_by_start ON chain_runs (device_id, epoch, first_n);
CREATE TABLE IF NOT EXISTS chain_breaks (device_id TEXT NOT NULL, epoch TEXT NOT NULL,
  n INTEGER NOT NULL, clip_key TEXT NOT NULL, other_clip_key TEXT NOT NULL,
  found_wall_ns INTEGER NOT NULL, problem TEXT NOT NULL,
  UNIQUE (clip_key, other_clip_key, problem));
CREATE TABLE IF NOT EXISTS refusals (open_sha256 TEXT PRIMARY KEY, clip_id TEXT NOT NULL,
  device_id TEXT NOT NULL, manifest_sha256 TEXT NOT NULL, why TEXT NOT NULL,
  refusal TEXT NOT NULL, refused_wall_ns INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS thinned (device_id TEXT NOT NULL, clip_id TEXT NOT NULL,
  manifest_sha256 TEXT NOT NULL, start_pts_ns INTEGER NOT NULL, end_pts_ns INTEGER NOT NULL,
  frames INTEGER NOT NULL, cause TEXT NOT NULL,
  clip_key TEXT NOT NULL REFERENCES clips ON DELETE CASCADE,
  UNIQUE (device_id, clip_id, manifest_sha256));
"""


class RefusalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One clip that was refused for good; `refusal` is the signed word as it was sent.

    `open_sha256` is over the manifest and the custody lines: the verdict holds for these bytes."""

    open_sha256: str
    clip_id: str
    device_id: str
    manifest_sha256: str
    why: str
    refusal: str
    refused_wall_ns: int


class Catalogue:
    """One connection, used from one thread at a time. Raises StoreError when SQLite refuses."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._errors():
            self._connection = sqlite3.connect(
                file, timeout=30.0, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, SCHEMA_VERSION):
                raise StoreError(
                    f"{file} has schema {version}, this collector knows {SCHEMA_VERSION}",
                    remedy="update the collector, or move the file away: it is rebuilt",
                )
            self._connection.executescript(_SCHEMA + WALL_TIMES_SCHEMA)
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def close(self) -> None:
        self._connection.close()

    def receipt(self, clip_id: str, manifest_sha256: str) -> str | None:
        """The signed receipt of this very clip, or None when it is not stored."""
        with self._errors():
            row = self._connection.execute(
                "SELECT receipt FROM clips WHERE clip_id = ? AND manifest_sha256 = ?",
                (clip_id, manifest_sha256),
            ).fetchone()
        return None if row is None else str(row[0])

    def folders(self) -> set[str]:
        """Folders (relative to the store directory) of all clips in the catalogue."""
        with self._errors():
            return {row[0] for row in self._connection.execute("SELECT folder FROM clips")}

    def add(self, folder: Path, root: Path) -> tuple[ChainBreak, ...]:
        """Take up the clip stored in `folder`; nothing changes when it is known already.

        Returns the breaks of the device's custody chain that it brought to light.
        """
        with self._errors():
            receipt, manifest = read_receipt(folder), read_manifest(folder)
            custody = read_custody(folder)
            links = ClipLinks.of(folder.name, manifest, custody)
            columns = _clip_columns(folder, root, receipt, manifest)
            words = _sheet(folder) or _record(folder)
            rows = {**_sheet_rows(words), "thinned": _thinned(manifest, custody)}
            readings = trusted_readings(words, manifest.name.boot)
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                breaks = self._insert(columns, rows, readings, links)
                self._connection.execute("COMMIT")
            except Exception:
                self._connection.execute("ROLLBACK")
                raise
        return breaks

    def refused(self, open_sha256: str) -> str | None:
        """The signed refusal of these very bytes, or None."""
        with self._errors():
            row = self._connection.execute(
                "SELECT refusal FROM refusals WHERE open_sha256 = ?", (open_sha256,)
            ).fetchone()
        return None if row is None else str(row[0])

    def add_refusal(self, row: RefusalRow) -> None:
        with self._errors():
            _insert(self._connection, "refusals", msgspec.structs.asdict(row))

    def _insert(
        self,
        columns: dict[str, object],
        rows_of: dict[str, list[dict[str, object]]],
        readings: tuple[ClockReading, ...],
        links: ClipLinks,
    ) -> tuple[ChainBreak, ...]:
        connection, key = self._connection, links.clip_key
        if not _insert(connection, "clips", columns):
            return ()
        for table, rows in rows_of.items():
            for row in rows:
                _insert(connection, table, {"clip_key": key, **row})
        date_clips(connection, columns, readings)
        others = self._neighbours(links)
        _insert(connection, "chain_runs", links.as_row())
        breaks = () if columns["conflict"] else find_breaks(links, others)
        for found in breaks:
            wall = columns["stored_wall_ns"]
            row = {**msgspec.structs.asdict(found), "found_wall_ns": wall}
            _insert(connection, "chain_breaks", row)
        return breaks

    def _neighbours(self, links: ClipLinks) -> list[ClipLinks]:
        """The stored clips that this one may hang on, or that may hang on it."""
        rows = self._connection.execute(
            "SELECT clip_key, device_id, epoch, first_n, last_n, first_prev, head, line_hashes"
            " FROM chain_runs WHERE device_id = ? AND epoch = ?"
            " AND (first_n <= ? AND last_n >= ? OR clip_key IN (?, ?))",
            (links.device_id, links.epoch, links.last_n + 1, links.first_n - 1, *links.beside()),
        )
        return [ClipLinks(*row) for row in rows]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OverflowError) as exc:
            raise StoreError(
                f"catalogue {self._file}: {exc}",
                remedy="free space, or move the file away: it is rebuilt from the store",
            ) from exc
        except OSError as exc:
            raise StoreError(f"catalogue {self._file}: {exc.filename}: {exc.strerror}") from exc


def _insert(connection: sqlite3.Connection, table: str, row: dict[str, object]) -> bool:
    """Insert `row` unless its key is taken; True when it went in. Names are constants of ours."""
    names = ", ".join(row)
    marks = ", ".join("?" for _ in row)
    done = connection.execute(
        f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})",  # noqa: S608
        tuple(row.values()),
    )
    return done.rowcount == 1


def _clip_columns(
    folder: Path, root: Path, receipt: StoredReceipt, manifest: Manifest
) -> dict[str, object]:
    name = manifest.name
    video = folder / VIDEO_FILE
    columns: dict[str, object] = {
        "clip_key": folder.name,
        "clip_id": manifest.clip_id,
        "device_id": manifest.device_id,
        "session_id": manifest.session_id,
        "kind": "record" if name.clip is None else "clip",
        "conflict": int(receipt.conflict),
        "epoch": name.epoch,
        "boot": name.boot,
        "session": name.session,
        "clip": name.clip,
        "start_pts_ns": manifest.start_pts_ns,
        "end_pts_ns": manifest.end_pts_ns,
        "frames": manifest.frames,
        "fragments": manifest.fragments,
        "recovered": int(manifest.recovered),
        "priority": manifest.priority,
        "sealed_bytes": manifest.total_bytes,
        "mp4_bytes": video.stat().st_size if video.exists() else None,
        "manifest_sha256": receipt.manifest_sha256,
        "custody_head": receipt.custody_head,
        "receipt": receipt.receipt,
        "stored_wall_ns": receipt.stored_wall_ns,
        "folder": folder.relative_to(root).as_posix(),
    }
    return {**columns, **_sheet_columns(_sheet(folder))}


def _sheet(folder: Path) -> LabelSheet | None:
    path = folder / LABELS_FILE
    return msgspec.json.decode(path.read_bytes(), type=LabelSheet) if path.exists() else None


def _sheet_columns(sheet: LabelSheet | None) -> dict[str, object]:
    if sheet is None:
        return {}
    pre_roll, model = sheet.pre_roll, sheet.model
    return {
        "pre_roll_asked_s": pre_roll.asked_s if pre_roll else None,
        "pre_roll_kept_s": pre_roll.kept_s if pre_roll else None,
        "coverage_due": sheet.coverage.due,
        "coverage_scored": sheet.coverage.scored,
        "coverage_share": sheet.coverage.share,
        "model_name": model.name if model else None,
        "model_semver": model.semver if model else None,
        "accelerator": model.accelerator if model else None,
        "wall_ns": sheet.clock.wall_ns,
        "clock_trust": sheet.clock.trust,
        "sheet_built_by": sheet.built_by,
    }


def _sheet_rows(words: LabelSheet | SessionRecord) -> dict[str, list[dict[str, object]]]:
    rows: dict[str, list[dict[str, object]]] = {
        "gaps": [msgspec.structs.asdict(gap) for gap in words.gaps]
    }
    if isinstance(words, SessionRecord):
        return rows
    return {
        **rows,
        "tags": [msgspec.structs.asdict(tag) for tag in words.tags],
        "declared": [msgspec.structs.asdict(word) for word in words.declared],
        "marks": [msgspec.structs.asdict(mark) for mark in words.marks],
        "lost": [{"cause": c, "frames": n} for c, n in words.coverage.lost.items()],
    }


def _record(folder: Path) -> SessionRecord:
    return msgspec.json.decode((folder / RECORD_FILE).read_bytes(), type=SessionRecord)


def _thinned(
    manifest: Manifest, custody: Iterable[tuple[str, CustodyLine]]
) -> list[dict[str, object]]:
    return [
        {
            "device_id": manifest.device_id,
            "clip_id": line.thinned,
            "manifest_sha256": line.manifest_sha256,
            "start_pts_ns": line.start_pts_ns,
            "end_pts_ns": line.end_pts_ns,
            "frames": line.frames,
            "cause": line.cause,
        }
        for _text, line in custody
        if line.kind == "thinned"
    ]
