"""Reading strace's lines, and carrying them out on a model disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash import trace
from tests.crash.disk import Disk, Kind, State, read_state
from tests.crash.processes import Machine
from tests.crash.trace import Call, TraceError, parse

ROOT = "/card"
WHY_NOT = trace.why_not()


def text(content: str) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in content.encode()) + '"'


def played(*lines: str, initial: State | None = None) -> Disk:
    calls = sorted(parse(lines), key=lambda call: call.moment)
    disk = Disk(initial or {})
    machine = Machine({ROOT: disk}, "/", calls)
    for call in calls:
        machine.carry_out(call)
    return disk


def opened(path: str, descriptor: int, flags: str = "O_WRONLY|O_CREAT", pid: int = 1) -> str:
    return f"{pid} openat(AT_FDCWD, {text(path)}, {flags}, 0600) = {descriptor}"


def test_call_in_two_halves_is_one_call() -> None:
    lines = ["7 fsync(3 <unfinished ...>", "8 close(4)     = 0", "7 <... fsync resumed>)   = 0"]
    close, fsync = parse(lines)
    assert (close.name, close.began, close.ended) == ("close", 2, 2)
    assert fsync == Call(7, "fsync", "3", 0, 1, 3)


def test_failed_calls_and_calls_cut_by_a_kill_are_left_out() -> None:
    lines = [
        f"7 openat(AT_FDCWD, {text('/x')}, O_RDONLY) = -1 ENOENT (No such file or directory)",
        f"7 write(3, {text('a')}, 1 <unfinished ...>",
        "7 +++ killed by SIGKILL +++",
        "8 exit_group(0) = ?",
    ]
    assert list(parse(lines)) == []


def test_failed_attempt_to_open_a_mark_is_kept() -> None:
    path = f"/anywhere/{trace.MARKS}/kept:clip:3"
    (call,) = parse([f"7 openat(AT_FDCWD, {text(path)}, O_RDONLY) = -1 ENOENT (No such file)"])
    done = Machine({}, "/", []).carry_out(call)
    assert done is not None
    assert (done.what, done.path) == ("mark", "kept:clip:3")


def test_cut_string_is_refused_and_not_guessed() -> None:
    with pytest.raises(TraceError, match="cut a string"):
        played(opened("/card/a", 3), f"1 write(3, {text('half')}..., 9) = 9")


def test_unknown_line_is_refused() -> None:
    with pytest.raises(TraceError):
        list(parse(["strace: something new"]))


def test_threads_share_descriptors_and_children_have_their_own() -> None:
    disk = played(
        "1 clone3({flags=CLONE_VM|CLONE_FILES|CLONE_THREAD}, 88) = 2",
        "1 vfork( <unfinished ...>",
        opened("/card/a", 3, pid=2),
        "3 close(3) = 0",
        "1 <... vfork resumed>) = 3",
        f"1 write(3, {text('by the first')}, 12) = 12",
    )
    assert disk.state(Kind.ALL) == {"a": b"by the first"}


def test_descriptor_given_out_again_before_its_close_came_back_is_the_new_file() -> None:
    disk = played(
        opened("/card/old", 3),
        "2 close(3 <unfinished ...>",
        opened("/card/new", 3),
        "2 <... close resumed>) = 0",
        f"1 write(3, {text('x')}, 1) = 1",
    )
    assert disk.state(Kind.ALL) == {"old": b"", "new": b"x"}


def test_removal_through_an_open_folder_finds_the_file_after_a_rename_of_the_folder() -> None:
    disk = played(
        f"1 openat(AT_FDCWD, {text('/card/folder')}, O_RDONLY|O_DIRECTORY) = 4",
        f"1 unlinkat(4, {text('file')}, 0) = 0",
        f"1 rename({text('/card/folder')}, {text('/card/other')}) = 0",
        initial={"folder": None, "folder/file": b"x"},
    )
    assert disk.state(Kind.ALL) == {"other": None}


@pytest.mark.parametrize(
    "line",
    [
        f"1 link({text('/card/a')}, {text('/card/b')}) = 0",
        "1 sendfile(3, 9, NULL, 10) = 10",
        "1 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 3, 0) = 0x7f0000000000",
        f"1 rename({text('/card/a')}, {text('/elsewhere/a')}) = 0",
        f"1 unlink({text('/card/never-made')}) = 0",
    ],
)
def test_what_the_model_does_not_know_is_an_error(line: str) -> None:
    with pytest.raises(TraceError):
        played(opened("/card/a", 3), line)


PROGRAM = """
import os, pathlib, shutil, sqlite3, sys, threading
root = pathlib.Path(sys.argv[1])
def work():
    (root / "a" / "b").mkdir(parents=True)
    descriptor = os.open(root / "a" / "b" / "lines", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, bytes(range(256)))
    os.write(descriptor, b"more")
    os.ftruncate(descriptor, 250)
    os.fsync(descriptor)
    os.pwrite(descriptor, b"X" * 10, 300)
    os.close(descriptor)
    descriptor = os.open(root / "a" / "b" / "sparse", os.O_RDWR | os.O_CREAT)
    os.pwrite(descriptor, b"X" * 10, 300)
    os.close(descriptor)
thread = threading.Thread(target=work)
thread.start()
thread.join()
(root / "a").rename(root / "c")
shutil.copytree(root / "c", root / "d", copy_function=lambda s, t: open(t, "wb").write(b"new"))
shutil.rmtree(root / "d")
database = sqlite3.connect(root / "index")
database.execute("PRAGMA journal_mode = WAL")
database.execute("CREATE TABLE t (x)")
database.execute("INSERT INTO t VALUES (randomblob(9000))")
database.commit()
os._exit(0)
"""


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
def test_model_ends_as_the_real_disk_did(tmp_path: Path) -> None:
    root = tmp_path.resolve() / "disk"
    root.mkdir()
    argv = [sys.executable, "-c", PROGRAM, str(root)]
    subprocess.run(trace.command(argv, tmp_path / "log"), check=True, timeout=60)
    calls = trace.read(tmp_path / "log")
    disk = Disk({})
    machine = Machine({str(root): disk}, "/", calls)
    for call in calls:
        machine.carry_out(call)
    assert disk.state(Kind.ALL) == read_state(root)
    assert disk.state(Kind.ALL)["c/b/sparse"] == bytes(300) + b"X" * 10
