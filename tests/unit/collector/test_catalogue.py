"""The index: what it says comes from the stored files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.crypto.custody import ChainHead, CustodyChain
from collector.catalogue import Catalogue
from collector.errors import StoreError
from tests.collector_rig import Camera, Rig, stored


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    rig.start()
    yield rig
    rig.stop()


def test_rows_of_a_clip_say_what_its_sheet_says(rig: Rig) -> None:
    stored(Camera(rig).deliver(rig.device().clip()))

    assert rig.rows(
        "SELECT frames, fragments, pre_roll_kept_s, coverage_due, coverage_scored, clock_trust,"
        " mp4_bytes, priority, boot, session, clip FROM clips"
    ) == [(90, 3, 29.0, 15, 14, "trusted", 90_000, "plain", 1, 1, 0)]
    assert rig.rows("SELECT label, start_ns, end_ns, peak FROM tags") == [
        ("muzzle", 0, 1_000_000_000, 0.9)
    ]
    assert rig.rows("SELECT key, value, source FROM declared") == [("exercise", "drill", "control")]
    assert rig.rows("SELECT offset_ns, source FROM marks") == [(500_000_000, "control")]
    assert rig.rows("SELECT cause FROM gaps") == [("camera stalled",)]
    assert rig.rows("SELECT cause, frames FROM lost") == [("queue full", 1)]


def test_folder_is_taken_up_once(rig: Rig) -> None:
    clip = rig.device().clip()
    stored(Camera(rig).deliver(clip))
    catalogue = Catalogue(rig.root / "store" / "catalogue.sqlite")

    assert catalogue.add(rig.folder(clip), rig.root / "store") == ()
    catalogue.close()
    assert rig.rows("SELECT count(*) FROM clips") == [(1,)]
    assert rig.rows("SELECT count(*) FROM tags") == [(1,)]


def test_broken_custody_chain_is_noted_and_the_clip_is_kept(rig: Rig) -> None:
    device, camera = rig.device(), Camera(rig)
    stored(camera.deliver(device.clip()))
    device.chain = CustodyChain(device.signer, ChainHead(n=40, line_sha256="ab" * 32))
    second = device.clip()
    stored(camera.deliver(second))

    assert rig.rows("SELECT clip_key, problem FROM chain_breaks") == [
        (second.clip_id, "does not follow the clip before it")
    ]
    assert "custody chain of cam01 broken" in rig.log.getvalue()
    assert rig.rows("SELECT count(*) FROM clips") == [(2,)]


def test_every_commit_is_on_disk_before_it_counts(rig: Rig) -> None:
    catalogue = Catalogue(rig.root / "store" / "catalogue.sqlite")
    connection = catalogue._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    catalogue.close()


def test_catalogue_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.sqlite"
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="schema 99"):
        Catalogue(file)


def test_file_that_is_no_database_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.sqlite"
    file.write_bytes(b"rubbish" * 1000)
    with pytest.raises(StoreError, match=r"catalogue\.sqlite: file is not a database"):
        Catalogue(file)
