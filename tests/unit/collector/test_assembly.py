"""The durable store of parts, on a real disk."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from agent.wire.transfer import Open
from collector.assembly import BITS_FILE, OPEN_FILE, Assembly, discard
from collector.errors import GoneError, StoreError
from collector.locking import locked_file

OPENED = Open(manifest="{}", custody=("line",), part_bytes=16 * 1024)


def _made(tmp_path: Path) -> Assembly:
    return Assembly.create(tmp_path / "incoming" / "cam01" / "clip.0", OPENED, "c1")


def test_parts_lie_at_their_offsets_whatever_the_order(tmp_path: Path) -> None:
    assembly = _made(tmp_path)
    assembly.write(10, b"later")
    assembly.write(0, b"first")
    assert assembly.read(0, 15) == b"first" + b"\0" * 5 + b"later"


def test_reading_past_the_end_is_refused(tmp_path: Path) -> None:
    assembly = _made(tmp_path)
    assembly.write(0, b"abc")
    with pytest.raises(StoreError, match="cut short"):
        assembly.read(0, 4)


def test_recorded_parts_are_found_again(tmp_path: Path) -> None:
    assembly = _made(tmp_path)
    assembly.record({0, 2, 9})
    again = Assembly.load(assembly.folder, "c1")
    assert again.durable_parts() == {0, 2, 9}
    assert again.opened == OPENED
    assert again.record({5}, lost={0, 9}).parts() == {2, 5}
    assert Assembly.load(assembly.folder, "c1").durable_parts() == {2, 5}


def test_torn_record_counts_for_nothing(tmp_path: Path) -> None:
    assembly = _made(tmp_path)
    assembly.record(set(range(100)))
    path = assembly.folder / BITS_FILE
    whole = path.read_bytes()
    for torn in (b"", whole[:3], whole[:-1], whole[:8] + b"\0" + whole[9:], b"\xff" * 40):
        path.write_bytes(torn)
        assert Assembly.load(assembly.folder, "c1").durable_parts() == set()


def test_parts_of_all_collectors_of_a_group_count(tmp_path: Path) -> None:
    assembly = _made(tmp_path)
    assembly.record({0})
    other = Assembly.load(assembly.folder, "c2")
    assert other.record({1}).parts() == {0, 1}
    assert assembly.durable_parts() == {0, 1}


def test_collectors_that_record_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    assembly = _made(tmp_path)
    ends = [Assembly.load(assembly.folder, f"c{number}") for number in range(4)]

    def record(number: int) -> None:
        for part in range(number, 400, 4):
            ends[number].record({part})

    threads = [threading.Thread(target=record, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert assembly.durable_parts() == set(range(400))


def test_one_collector_at_a_time_has_the_claim(tmp_path: Path) -> None:
    first = _made(tmp_path)
    second = Assembly.load(first.folder, "c2")
    assert first.claim()
    assert first.claim()
    assert not second.claim()
    first.release()
    assert second.claim()
    del second  # as its process ends
    assert first.claim()


def test_transfer_that_another_collector_ended_says_so(tmp_path: Path) -> None:
    assembly = _made(tmp_path)
    discard(assembly.folder)
    with pytest.raises(GoneError):
        assembly.record({0})
    with pytest.raises(GoneError):
        assembly.durable_parts()


def test_transfer_that_was_dropped_and_begun_anew_is_not_taken_for_the_old_one(
    tmp_path: Path,
) -> None:
    old = _made(tmp_path)
    old.record({0})
    discard(old.folder)
    new = Assembly.create(old.folder, OPENED, "c2")
    with pytest.raises(GoneError):
        old.record({1})
    assert new.durable_parts() == set()


def test_lock_that_a_frozen_collector_holds_is_not_waited_for_without_end(tmp_path: Path) -> None:
    with (
        locked_file(tmp_path / "lock"),
        pytest.raises(StoreError, match="locked by another collector"),
        locked_file(tmp_path / "lock", patience_s=0.0),
    ):
        pass
    with locked_file(tmp_path / "lock", patience_s=0.0):
        pass


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]"])
def test_folder_without_a_readable_open_is_no_transfer(
    tmp_path: Path, content: bytes | None
) -> None:
    folder = _made(tmp_path).folder
    (folder / OPEN_FILE).unlink()
    if content is not None:
        (folder / OPEN_FILE).write_bytes(content)
    with pytest.raises(StoreError, match="holds no transfer"):
        Assembly.load(folder, "c1")


def test_what_the_disk_refuses_names_the_place_and_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembly = _made(tmp_path)

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fdatasync", refuse)
    with pytest.raises(StoreError, match=r"clip\.0.*No space left"):
        assembly.sync()


def test_sync_covers_data_then_open_then_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembly = _made(tmp_path)
    synced: list[str] = []

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fdatasync", note)
    monkeypatch.setattr("agent.storage.atomic.os.fsync", note)
    monkeypatch.setattr(
        "agent.storage.atomic.fsync_directory", lambda folder, **_: synced.append(folder.name)
    )
    assembly.sync()
    assembly.sync()

    assert synced == ["sealed", OPEN_FILE, "clip.0", "cam01", "incoming", "sealed"]


def test_discarded_transfer_is_gone_and_late_users_do_no_harm(tmp_path: Path) -> None:
    assembly = _made(tmp_path)
    assembly.write(0, b"abc")
    assembly.discard()
    assert not assembly.folder.exists()
    assembly.write(3, b"def")
    assert assembly.read(0, 6) == b"abcdef"
