"""Makes a clip ready while its parts still arrive: hash, open, hash again, write.

Each sealed file is taken once all of it is in the assembly, in the manifest's order, so that little
is left to do when the last part comes. The label sheet is the first of them: it can be read while
the footage is still on its way. The result is a folder that lacks only its receipt:

    clip.mp4 labels.json manifest.json custody.jsonl            a clip of footage
    session.json manifest.json custody.jsonl                    a session record
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from agent.errors import WireError
from agent.storage import atomic
from agent.wire.codec import decode, encode
from agent.wire.label_sheet import (
    MAX_SHEET_BYTES,
    FragmentLabels,
    LabelSheet,
    SessionRecord,
)
from agent.wire.manifest import (
    CUSTODY_FILE,
    MANIFEST_FILE,
    SESSION_FILE,
    SHEET_FILE,
    FileEntry,
    fragment_labels_file,
)
from collector.assembly import Assembly
from collector.errors import DamagedFileError, RefusedError, StoreError
from collector.sheets import build_sheet
from collector.unsealing import Unsealer
from collector.verification import VerifiedOpen

VIDEO_FILE = "clip.mp4"
LABELS_FILE = "labels.json"
RECORD_FILE = "session.json"
# The last sync of a clip must be short, so the disk is kept busy while parts arrive.
_SYNC_EVERY_BYTES = 8 * 1024 * 1024


class ClipBuilder:
    """Builds one clip; used from one thread. After an error it is of no more use."""

    def __init__(self, assembly: Assembly, verified: VerifiedOpen, unsealer: Unsealer) -> None:
        self._assembly = assembly
        self._verified = verified
        self._unsealer = unsealer
        self.folder = assembly.built_folder
        self.failed = False
        self._begun = False
        self._files = verified.manifest.files
        self._next = 0
        self._offset = 0
        self._video: int | None = None
        self._unsynced_bytes = 0
        self._sheet: bytes | None = None
        self._record: bytes | None = None
        self._fragment_labels: list[FragmentLabels] = []

    def advance(self, written_bytes: int) -> None:
        """Take every whole file below `written_bytes` (bytes in the assembly without a hole).

        Raises DamagedFileError, RefusedError, NotYetError or StoreError.
        """
        while self._next < len(self._files):
            entry = self._files[self._next]
            if self._offset + entry.bytes > written_bytes:
                return
            self._take(entry)
            self._next += 1
            self._offset += entry.bytes

    def finish(self) -> Path:
        """Write what is left; all is durable on return. `advance` took every file before."""
        if self._next < len(self._files):
            raise StoreError(f"{self._assembly.folder}: {self._files[self._next].name} is not here")
        with self._disk():
            if self._record is not None:
                self._place(RECORD_FILE, self._record)
            else:
                os.fsync(self._video_descriptor())
                self._close_video()
                if self._sheet is None:
                    self._place(LABELS_FILE, self._built_sheet())
            opened = self._assembly.opened
            self._place(MANIFEST_FILE, opened.manifest.encode())
            self._place(CUSTODY_FILE, ("\n".join(opened.custody) + "\n").encode("ascii"))
            return self.folder

    def __del__(self) -> None:
        self._close_video()  # a parked transfer's

    def close(self) -> None:
        """Let go of the video file."""
        self._close_video()

    def _take(self, entry: FileEntry) -> None:
        sealed = self._assembly.read(self._offset, entry.bytes)
        if hashlib.sha256(sealed).hexdigest() != entry.sha256:
            raise DamagedFileError(
                f"{entry.name} is not the file that the manifest names (its hash differs)",
                offset=self._offset,
                length=entry.bytes,
            )
        plain = self._unsealer.unseal(entry.name, sealed)
        if entry.name == SHEET_FILE:
            self._sheet = self._checked_sheet(bytes(plain))
            with self._disk():  # readable from now on, long before the clip is whole
                self._place(LABELS_FILE, self._sheet)
        elif entry.name == SESSION_FILE:
            self._record = self._checked_record(bytes(plain))
        elif entry.name in self._verified.kept:
            self._append_video(entry.name, plain)
        else:
            self._fragment_labels.append(self._checked_labels(entry.name, bytes(plain)))

    def _append_video(self, name: str, plain: bytes | bytearray) -> None:
        if hashlib.sha256(plain).hexdigest() != self._verified.kept[name].pt_sha256:
            raise RefusedError(f"{name}: what was sealed is not what the custody line signs")
        with self._disk():
            view = memoryview(plain)
            while view:
                view = view[os.write(self._video_descriptor(), view) :]
            self._unsynced_bytes += len(plain)
            if self._unsynced_bytes >= _SYNC_EVERY_BYTES:
                os.fdatasync(self._video_descriptor())
                self._unsynced_bytes = 0

    def _checked_sheet(self, plain: bytes) -> bytes:
        try:
            sheet = decode(LabelSheet, plain, max_bytes=MAX_SHEET_BYTES)
        except WireError as exc:
            raise RefusedError(f"{SHEET_FILE}: {exc}") from exc
        self._check_ids(SHEET_FILE, sheet.clip_id, self._verified.manifest.clip_id)
        return plain

    def _checked_record(self, plain: bytes) -> bytes:
        try:
            record = decode(SessionRecord, plain, max_bytes=MAX_SHEET_BYTES)
        except WireError as exc:
            raise RefusedError(f"{SESSION_FILE}: {exc}") from exc
        self._check_ids(SESSION_FILE, record.session_id, self._verified.manifest.session_id)
        return plain

    def _checked_labels(self, name: str, plain: bytes) -> FragmentLabels:
        try:
            labels = decode(FragmentLabels, plain, max_bytes=MAX_SHEET_BYTES)
        except WireError as exc:
            raise RefusedError(f"{name}: {exc}") from exc
        self._check_ids(name, labels.clip_id, self._verified.manifest.clip_id)
        self._check_ids(name, fragment_labels_file(labels.index), name)
        return labels

    def _check_ids(self, name: str, found: str, expected: str) -> None:
        if found != expected:
            raise RefusedError(f"{name} is of {found[:96]}, not of {expected}")

    def _built_sheet(self) -> bytes:
        verified = self._verified
        self._fragment_labels.sort(key=lambda labels: labels.index)
        return encode(build_sheet(verified.manifest, verified.lines, self._fragment_labels))

    def _place(self, name: str, content: bytes) -> None:
        self._ready_folder()
        atomic.write_file(self.folder / name, content)

    def _video_descriptor(self) -> int:
        if self._video is None:
            self._ready_folder()
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._video = os.open(self.folder / VIDEO_FILE, flags, 0o600)
        return self._video

    def _ready_folder(self) -> None:
        """An empty folder at first: what an earlier builder left is made anew."""
        if not self._begun:
            if self.folder.exists():
                shutil.rmtree(self.folder)
            self.folder.mkdir(mode=0o700)
            self._begun = True

    def _close_video(self) -> None:
        if self._video is not None:
            os.close(self._video)
            self._video = None

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise StoreError(
                f"{self.folder}: {exc.strerror or exc}", remedy="free space or mend the disk"
            ) from exc
