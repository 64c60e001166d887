"""The spool: one rename moves a clip; the race between recorder and uplink has one winner."""

from pathlib import Path

import pytest

from agent.errors import SpoolError
from agent.storage.spool import Spool

CLIP = "cam-0123456789abcdef-000001-0001-0000"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path)
    made.prepare()
    return made


def put(spool: Spool, clip_id: str = CLIP) -> Path:
    folder = spool.path("outbox", clip_id)
    folder.mkdir()
    (folder / "0000.age").write_bytes(b"12345")
    return folder


def test_a_clip_is_on_exactly_one_shelf_after_a_move(spool: Spool) -> None:
    put(spool)
    assert spool.move(CLIP, "outbox", "sent")
    assert spool.clips("outbox") == []
    assert spool.clips("sent") == [CLIP]


def test_the_second_mover_is_told_that_it_lost(spool: Spool) -> None:
    put(spool)
    assert spool.move(CLIP, "outbox", "sent")
    assert not spool.move(CLIP, "outbox", "rejected")


def test_names_that_are_no_clips_are_passed_over(spool: Spool) -> None:
    (spool.root / "outbox" / "lost+found").mkdir()
    (spool.root / "outbox" / ".tmp").mkdir()
    put(spool)
    assert spool.clips("outbox") == [CLIP]


def test_a_deletion_that_was_cut_off_is_finished_later(spool: Spool) -> None:
    put(spool)
    spool.move(CLIP, "outbox", "trash")
    spool.empty_trash()
    assert spool.clips("trash") == []


def test_deleting_what_another_took_is_no_error(spool: Spool) -> None:
    assert not spool.delete(CLIP, "sent")


def test_a_missing_or_damaged_manifest_is_one_clear_line(spool: Spool) -> None:
    folder = put(spool)
    with pytest.raises(SpoolError, match="cannot be read"):
        spool.manifest("outbox", CLIP)
    (folder / "manifest.json").write_bytes(b"{")
    with pytest.raises(SpoolError, match="damaged"):
        spool.manifest("outbox", CLIP)


def test_the_bytes_of_a_shelf_are_counted(spool: Spool) -> None:
    put(spool)
    assert spool.total_bytes("outbox") == 5


def test_a_card_that_refuses_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "spool").write_bytes(b"a file where the folder should be")
    with pytest.raises(SpoolError, match=r"paths\.state_dir"):
        Spool(tmp_path).prepare()


def test_what_lies_in_the_trash_is_synced_there_before_its_files_go(tmp_path: Path) -> None:
    there: list[bool] = []
    trashed = tmp_path / "spool" / "trash" / CLIP
    spool = Spool(tmp_path, fsync=lambda _descriptor: there.append((trashed / "0000.age").exists()))
    spool.prepare()
    put(spool).rename(trashed)
    there.clear()
    spool.empty_trash()
    assert there == [True]
    assert not trashed.exists()
