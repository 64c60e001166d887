"""Power cuts: at each call that changes the disk, and on both sides of each commit.

The cut is an exception that no code of ours catches, raised in place of the call; the next
collector finds the disk as the calls before left it. (What a disk loses of writes that were never
synced is `atomic`'s and `assembly`'s affair, and tested there.)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from agent.storage import atomic
from collector.catalogue import Catalogue
from tests.collector_rig import PART_BYTES, Camera, Rig, stored
from tests.sample_clip import SampleClip

CALLS = ("rename", "fsync", "fdatasync", "pwrite", "write", "unlink", "mkdir", "rmdir")


class PowerCut(BaseException):
    """The machine is off."""


class Countdown:
    """Cuts at call number `at`; counts all calls when `at` is 0."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.calls = 0

    def tick(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise PowerCut

    def before(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.tick()
            return real(*arguments, **options)

        return call

    def around(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.tick()
            result = real(*arguments, **options)
            self.tick()
            return result

        return call


def _send_until_the_cut(
    rig: Rig, camera: Camera, clip: SampleClip, at: int, patch: pytest.MonkeyPatch
) -> int:
    """Start, deliver, stop; 0 when the cut came, else how many calls there were."""
    countdown = Countdown(at)
    with patch.context() as cutting:
        for name in CALLS:
            cutting.setattr(os, name, countdown.before(getattr(os, name)))
        cutting.setattr(Catalogue, "add", countdown.around(Catalogue.add))
        try:
            rig.start()
            stored(camera.deliver(clip))
            rig.settle()
        except PowerCut:
            return 0
        finally:
            if rig.ingest is not None:
                rig.ingest.close()
                rig.ingest = None
    return countdown.calls


def _check(rig: Rig, camera: Camera, clip: SampleClip) -> None:
    """After a restart: the clip is there once, whole, and its receipt is one and the same."""
    rig.start()
    receipt = stored(camera.deliver(clip))
    rig.stop()
    rig.start()
    assert stored(camera.open(clip)) == receipt
    folder = rig.folder(clip)
    assert (folder / "clip.mp4").read_bytes() == clip.plain
    assert (folder / "labels.json").read_bytes() == clip.sheet
    assert [path.name for path in folder.parent.iterdir()] == [clip.clip_id]
    assert rig.rows("SELECT clip_id, receipt FROM clips") == [(clip.clip_id, receipt.receipt)]
    assert rig.rows("SELECT count(*) FROM tags") == [(1,)]
    assert not list(folder.parents[3].joinpath("incoming").glob("*/*"))
    rig.stop()


def _fresh_store(rig: Rig, root: Path) -> None:
    rig.settings = structs.replace(
        rig.settings, collector=structs.replace(rig.settings.collector, store_dir=root)
    )


def test_cut_at_any_call_changes_nothing_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path)
    clip = rig.device().clip(count=1, fragment_bytes=PART_BYTES)
    camera = Camera(rig)
    _fresh_store(rig, tmp_path / "whole")
    calls = _send_until_the_cut(rig, camera, clip, 0, monkeypatch)
    assert calls > 30

    for at in range(1, calls + 1):
        _fresh_store(rig, tmp_path / f"cut{at}")
        assert _send_until_the_cut(rig, camera, clip, at, monkeypatch) == 0
        _check(rig, camera, clip)


def test_lost_catalogue_is_rebuilt_from_the_store(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    device, camera = rig.device(), Camera(rig)
    rig.start()
    clips = [device.clip(), device.clip(), device.record()]
    receipts = [stored(camera.deliver(clip)) for clip in clips]
    before = rig.rows("SELECT * FROM clips ORDER BY clip_key")
    rig.stop()
    for path in (tmp_path / "store").glob("catalogue.sqlite*"):
        path.unlink()
    rig.start()

    assert rig.rows("SELECT * FROM clips ORDER BY clip_key") == before
    assert [stored(camera.open(clip)) for clip in clips] == receipts
    rig.stop()


def test_place_of_a_clip_that_a_killed_collector_left_is_synced_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path)
    clip, camera = rig.device().clip(), Camera(rig)
    rig.start()
    stored(camera.deliver(clip))
    rig.stop()
    for path in (tmp_path / "store").glob("catalogue.sqlite*"):
        path.unlink()
    synced: list[Path] = []
    monkeypatch.setattr(atomic, "fsync_directory", synced.append)
    add = Catalogue.add
    monkeypatch.setattr(
        Catalogue, "add", lambda self, *paths: (synced.append(Path("row")), add(self, *paths))[1]
    )
    rig.start()
    rig.stop()

    before = synced[: synced.index(Path("row"))]
    session = rig.folder(clip).parent
    assert {session, session.parent, session.parent.parent} <= set(before)
