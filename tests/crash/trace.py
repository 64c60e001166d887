"""Runs a program under strace and reads what it asked of the file system, call by call.

strace writes one line per call, in the order in which it saw them end; a call that another one
overtook is written in two halves, and is one `Call` here, with the line on which it began and the
one on which it ended. Calls that failed or never came back are left out, but for marks: an attempt
to open a file in a folder `MARKS`, which is how a traced program says what it knows to be true.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARKS = "marks-of-the-trace"

# "?": no error where the architecture does not have the call.
_CALLS = """
    open openat creat close write pwrite64 writev pwritev pwritev2 copy_file_range sendfile splice
    fsync fdatasync sync syncfs rename renameat renameat2 unlink unlinkat mkdir mkdirat rmdir
    link linkat symlink symlinkat truncate ftruncate fallocate dup dup2 dup3 fcntl lseek mmap
    clone clone3 fork vfork execve chdir fchdir
"""
# No written string is longer; one that is would be cut, and the reader refuses a cut string.
_LONGEST_STRING_BYTES = 8 * 1024 * 1024

_LINE = re.compile(r"(?P<pid>\d+) +(?P<rest>.*)", re.S)
_RESUMED = re.compile(r"<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)", re.S)
_ENDED = re.compile(r"\) += (?P<result>-?\d+|0x[0-9a-f]+|\?)[^\"]*$", re.S)
_UNFINISHED = " <unfinished ...>"
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


class TraceError(Exception):
    """The trace holds something that the reader does not know how to read."""


@dataclass(frozen=True)
class Call:
    """One call that came back: `name(arguments) = result`. `began` and `ended` are line numbers."""

    pid: int
    name: str
    arguments: str
    result: int
    began: int
    ended: int

    @property
    def moment(self) -> int:
        """When it took effect, as far as others can tell. A descriptor may be given out again
        before the call that closed it came back."""
        return self.began if self.name == "close" else self.ended

    def split(self) -> list[str]:
        """The arguments as text; only for calls without structures among them."""
        return self.arguments.split(", ")

    def texts(self) -> list[bytes]:
        """All strings among the arguments, decoded. Raises TraceError when strace cut one."""
        found = []
        for text, cut in _TEXT.findall(self.arguments):
            if cut:
                raise TraceError(f"line {self.ended}: strace cut a string of {self.name}")
            found.append(bytes.fromhex(text.replace("\\x", "")))
        return found

    def paths(self) -> list[str]:
        return [os.fsdecode(text) for text in self.texts()]


def mark(folder: Path, what: str) -> None:
    """Leave a mark in the trace of this process; without a trace, nothing happens."""
    with suppress(OSError):
        os.close(os.open(folder / MARKS / what, os.O_RDONLY))


def why_not() -> str | None:
    """Why nothing can be traced here; None when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed (apt-get install strace)"
    tried = subprocess.run(
        ["strace", "-f", "-o", os.devnull, "true"], capture_output=True, text=True
    )
    if tried.returncode != 0:
        return f"strace may not trace here ({tried.stderr.strip()[:200]})"
    return None


def command(argv: Sequence[str], log: Path) -> list[str]:
    """The command line that runs `argv` and its children under strace, into `log`."""
    wanted = ",".join(f"?{name}" for name in _CALLS.split())
    options = ["-f", "--seccomp-bpf", "-xx", "-s", str(_LONGEST_STRING_BYTES), "-e", "signal=none"]
    return ["strace", *options, "-e", f"trace={wanted}", "-o", str(log), *argv]


def read(log: Path) -> list[Call]:
    """The calls of a log, in the order in which they took effect."""
    with log.open(encoding="ascii", errors="surrogateescape") as lines:
        return sorted(parse(lines), key=lambda call: call.moment)


def parse(lines: Iterable[str]) -> Iterator[Call]:
    """The calls in the lines of strace. Raises TraceError on a line of no known form."""
    halves: dict[int, tuple[int, str]] = {}
    for number, line in enumerate(lines, 1):
        found = _LINE.match(line.rstrip("\n"))
        if found is None:
            raise TraceError(f"line {number}: {line[:80]!r}")
        pid, rest = int(found["pid"]), found["rest"]
        began = number
        if rest.startswith(("+++", "---")):
            halves.pop(pid, None)
            continue
        if rest.endswith(_UNFINISHED):
            halves[pid] = (number, rest.removesuffix(_UNFINISHED))
            continue
        resumed = _RESUMED.match(rest)
        if resumed is not None:
            if pid not in halves:
                raise TraceError(f"line {number}: {resumed['name']} ends and never began")
            began, first = halves.pop(pid)
            rest = first + resumed["rest"]
        call = _call(pid, rest, began, number)
        if call is not None:
            yield call


def _call(pid: int, text: str, began: int, ended: int) -> Call | None:
    name, _, rest = text.partition("(")
    end = _ENDED.search(rest)
    if end is None:
        raise TraceError(f"line {ended}: {text[:80]!r} has no result")
    result = -1 if end["result"] == "?" else int(end["result"], 0)
    call = Call(pid, name, rest[: end.start()], result, began, ended)
    if result >= 0:
        return call
    return call if name == "openat" and f"/{MARKS}/" in _first_path(call) else None


def _first_path(call: Call) -> str:
    paths = call.paths()
    return paths[0] if paths else ""
