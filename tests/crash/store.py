"""The collector's disk after a cut: the real collector started on it, and whether it kept its word.

What is stored is compared with what the collector had stored at the end of the exercise, without
any cut, and that with the camera's own sealed files.
"""

from __future__ import annotations

import io
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pyrage

from agent.drivers.broker_fake import FakeExchange
from agent.wire.manifest import CUSTODY_FILE, MANIFEST_FILE, decode_manifest
from agent.wire.transfer import Stored
from collector.building import VIDEO_FILE
from collector.config import load_collector_settings
from collector.store import RECEIPT_FILE, StoredReceipt
from tests.collector_rig import Camera, Rig
from tests.crash.account import Account
from tests.crash.card import DEVICE, CardKeys
from tests.crash.disk import State, read_state
from tests.sample_clip import SampleClip

PART_BYTES = 16 * 1024
# What the collector says when its bits named parts as durable that were not, or cannot go on.
_BAD_SIGNS = ("asking for it again", "cut short", "cannot be taken", "unexpected failure", "waits:")

Clips = dict[str, dict[str, bytes]]
"""Clip id -> the files in its folder."""


class StoreCheck:
    """Starts the collector on disks as cuts left them. One after another: it has one rig."""

    def __init__(self, scratch: Path, collector_config: Path, keys: CardKeys, final: State) -> None:
        self._rig = Rig(scratch)
        self._settings = load_collector_settings(collector_config)
        self._keys = keys
        self.final = stored_clips(final)

    def restart(self, store_dir: Path) -> None:
        """What the collector does at its start, until it is quiet. It runs until `violations`."""
        own = msgspec.structs.replace(self._settings.collector, store_dir=store_dir)
        self._rig.settings = msgspec.structs.replace(self._settings, collector=own)
        self._rig.exchange = FakeExchange()
        self._rig.log, self._rig.events = io.StringIO(), io.StringIO()
        self._rig.start()

    def stop(self) -> None:
        self._rig.stop()

    def violations(self, store_dir: Path, account: Account, *, deliver: bool) -> Iterator[str]:
        """What is wrong, a line each; ends the collector. With `deliver` the camera sends all its
        clips again, from the first to the last."""
        if deliver:
            yield from self._delivered(account)
        self.stop()
        state = read_state(store_dir)
        clips = stored_clips(state)
        for clip_id, files in clips.items():
            yield from (f"store/{clip_id}: {text}" for text in self._clip(clip_id, files, account))
        for clip_id in sorted(account.receipted - clips.keys()):
            yield f"LOST: the camera has a receipt for {clip_id}, and it is not stored"
        with closing(sqlite3.connect(store_dir / "catalogue.sqlite")) as catalogue:
            rows = dict(catalogue.execute("SELECT clip_key, receipt FROM clips"))
        receipts = {clip_id: receipt_of(files).receipt for clip_id, files in clips.items()}
        if rows != receipts:
            yield f"the catalogue names {sorted(rows)}, stored are {sorted(receipts)}"
        folders = [path for path in state if path.count("/") == 2 and path.startswith("incoming/")]
        ours = account.exported.keys()
        waiting = [path for path in folders if path.split("/")[2].rsplit(".", 1)[0] in ours]
        if deliver and waiting:
            yield f"all is delivered, and {waiting} still wait"
        for line in self._rig.log.getvalue().splitlines():
            if any(sign in line for sign in _BAD_SIGNS):
                yield f"the collector says: {line}"

    def final_is_true(self, account: Account) -> Iterator[str]:
        """What was stored without any cut is what the camera sealed."""
        for clip_id, files in account.exported.items():
            stored = self.final.get(clip_id)
            if stored is None:
                yield f"{clip_id} never reached the store"
                continue
            names = [entry.name for entry in decode_manifest(files[MANIFEST_FILE]).files]
            footage = [files[name] for name in names if name[:4].isdigit() and name[4:] == ".age"]
            plain = b"".join(pyrage.decrypt(sealed, [self._keys.identity]) for sealed in footage)
            if stored.get(VIDEO_FILE, b"") != plain:
                yield f"{clip_id}: the stored footage is not what the camera sealed"

    def _delivered(self, account: Account) -> Iterator[str]:
        camera = Camera(self._rig, DEVICE)
        for clip_id, files in account.exported.items():
            answer = camera.deliver(_clip(files), PART_BYTES)
            if not isinstance(answer, Stored):
                yield f"{clip_id} sent again is answered with {type(answer).__name__}"
            elif clip_id in account.receipted and answer.receipt != self._receipt(clip_id):
                yield f"{clip_id} sent again gets another receipt than before"

    def _clip(self, clip_id: str, files: dict[str, bytes], account: Account) -> Iterator[str]:
        """A clip in the store is whole, and what it would have been without the cut."""
        final = self.final.get(clip_id)
        if final is None:
            yield "is stored, and should not be"
            return
        for name in sorted(final.keys() | files.keys()):
            may_differ = name == RECEIPT_FILE and clip_id not in account.receipted
            if name not in files or name not in final:
                yield f"half visible, or too much of it ({name})"
            elif files[name] != final[name] and not may_differ:
                yield f"{name} is not what it was"

    def _receipt(self, clip_id: str) -> str:
        return receipt_of(self.final[clip_id]).receipt


def stored_clips(state: State) -> Clips:
    """The clips below store/<device>/<session>/, also such as lack files."""
    clips: Clips = defaultdict(dict)
    for path, content in state.items():
        steps = path.split("/")
        if steps[0] == "store" and len(steps) == 4:
            clips[steps[3]].update({})
        if steps[0] == "store" and len(steps) == 5 and content is not None and steps[4][0] != ".":
            clips[steps[3]][steps[4]] = content
    return dict(clips)


def receipt_of(files: dict[str, bytes]) -> StoredReceipt:
    return msgspec.json.decode(files[RECEIPT_FILE], type=StoredReceipt)


def _clip(files: dict[str, bytes]) -> SampleClip:
    manifest = decode_manifest(files[MANIFEST_FILE])
    return SampleClip(
        manifest=manifest,
        custody=tuple(files[CUSTODY_FILE].decode("ascii").split()),
        files=files,
        plain=None,
        sheet=None,
    )
