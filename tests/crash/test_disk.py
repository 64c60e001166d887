"""What a power cut may leave, and what it may not."""

from __future__ import annotations

from tests.crash.disk import Disk, File, Folder, Kind, State


def states(disk: Disk) -> list[State]:
    return [disk.state(kind, n) for kind in Kind for n in range(disk.variants(kind))]


def file_in(disk: Disk, name: str) -> File:
    node = disk.root.live[name]
    assert isinstance(node, File)
    return node


def test_written_and_synced_bytes_under_a_synced_name_are_always_there() -> None:
    disk = Disk({})
    file = File()
    disk.name(disk.root, "a", file, 1)
    disk.write(file, 0, b"content", 2)
    disk.sync(file, 3)
    disk.sync(disk.root, 4)
    assert all(state == {"a": b"content"} for state in states(disk))


def test_syncing_a_file_does_nothing_for_its_name() -> None:
    disk = Disk({})
    file = File()
    disk.name(disk.root, "a", file, 1)
    disk.write(file, 0, b"content", 2)
    disk.sync(file, 3)
    assert disk.state(Kind.SYNCED) == {}
    assert disk.state(Kind.ALL) == {"a": b"content"}


def test_syncing_a_folder_does_nothing_for_the_contents() -> None:
    disk = Disk({"a": b"old"})
    disk.write(file_in(disk, "a"), 3, b" and new", 1)
    disk.sync(disk.root, 2)
    assert disk.state(Kind.SYNCED) == {"a": b"old"}
    assert disk.state(Kind.EMPTY) == {"a": b"old"}
    assert disk.state(Kind.HALVED) == {"a": b"old and"}
    assert disk.state(Kind.ZEROED) == {"a": b"old" + bytes(8)}


def test_only_the_last_write_is_torn() -> None:
    disk = Disk({"a": b""})
    file = file_in(disk, "a")
    disk.write(file, 0, b"1111", 1)
    disk.write(file, 4, b"2222", 2)
    assert disk.state(Kind.TORN) == {"a": b"111122"}
    disk.name(disk.root, "b", File(), 3)
    assert disk.variants(Kind.TORN) == 0


def test_sync_that_began_before_a_write_does_not_cover_it() -> None:
    disk = Disk({"a": b""})
    file = file_in(disk, "a")
    disk.write(file, 0, b"x", at=5)
    disk.sync(file, began=4)
    assert disk.state(Kind.SYNCED) == {"a": b""}
    disk.sync(file, began=6)
    assert disk.state(Kind.SYNCED) == {"a": b"x"}


def test_rename_from_one_folder_to_another_happens_whole_or_not_at_all() -> None:
    disk = Disk({"one": None, "one/a": b"x", "two": None})
    one, two = disk.folder(["one"]), disk.folder(["two"])
    disk.move(one, "a", two, "a", 1)
    before = {"one": None, "one/a": b"x", "two": None}
    after = {"one": None, "two": None, "two/a": b"x"}
    found = states(disk)
    assert before in found
    assert after in found
    assert all(state in (before, after) for state in found)
    disk.sync(one, 2)
    assert states(disk) == [after] * len(states(disk))


def test_replaced_file_is_the_old_or_the_new_one_once_the_new_is_synced() -> None:
    disk = Disk({"a": b"old"})
    file = File()
    disk.name(disk.root, ".a.tmp", file, 1)
    disk.write(file, 0, b"new", 2)
    disk.sync(file, 3)
    disk.move(disk.root, ".a.tmp", disk.root, "a", 4)
    assert {state["a"] for state in states(disk)} == {b"old", b"new"}


def test_renamed_unsynced_file_may_be_empty_under_its_name() -> None:
    disk = Disk({"a": b"old"})
    file = File()
    disk.name(disk.root, ".a.tmp", file, 1)
    disk.write(file, 0, b"new", 2)
    disk.move(disk.root, ".a.tmp", disk.root, "a", 3)
    assert {"a": b""} in states(disk)


def test_later_change_of_a_name_never_comes_without_the_earlier_one() -> None:
    disk = Disk({})
    first, second = File(), File(b"2", b"2")
    disk.name(disk.root, "a", first, 1)
    disk.move(disk.root, "a", disk.root, "b", 2)
    disk.name(disk.root, "a", second, 3)
    assert all("b" in state for state in states(disk) if state.get("a") == b"2")


def test_unsynced_removals_may_come_in_any_order() -> None:
    disk = Disk({"first": b"", "second": b""})
    disk.name(disk.root, "first", None, 1)
    disk.name(disk.root, "second", None, 2)
    assert {"first": b""} in states(disk)
    assert {"second": b""} in states(disk)


def test_what_is_in_a_folder_without_a_durable_name_is_lost() -> None:
    disk = Disk({})
    folder, file = Folder(), File(b"x", b"x")
    disk.name(disk.root, "folder", folder, 1)
    disk.name(folder, "a", file, 2)
    disk.sync(folder, 3)
    assert disk.state(Kind.SYNCED) == {}
    disk.sync(disk.root, 4)
    assert disk.state(Kind.SYNCED) == {"folder": None, "folder/a": b"x"}


def test_random_part_is_the_same_for_the_same_seed() -> None:
    disk = Disk({})
    for number in range(20):
        disk.name(disk.root, f"{number}", File(), number)
    assert disk.state(Kind.SUBSET, 0, seed=3) == disk.state(Kind.SUBSET, 0, seed=3)
    assert disk.state(Kind.SUBSET, 0, seed=3) != disk.state(Kind.SUBSET, 0, seed=4)
