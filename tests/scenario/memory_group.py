"""A memory control group for the programs of one test (cgroup v1 or v2)."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from types import TracebackType
from typing import Self

MOUNT = Path("/sys/fs/cgroup")


class NoGroupError(Exception):
    """This machine lets us make none; the text says why."""


class MemoryGroup:
    """A group under the one that we are in, limited to `limit_bytes`. Removed at the end."""

    def __init__(self, limit_bytes: int) -> None:
        try:
            parent, self._is_v2 = _own_group()
            self.folder = parent / f"sightline-test-{time.monotonic_ns()}"
            self.folder.mkdir()
        except OSError as exc:
            raise NoGroupError(f"no memory control group can be made here ({exc})") from exc
        try:
            limit = "memory.max" if self._is_v2 else "memory.limit_in_bytes"
            (self.folder / limit).write_text(str(limit_bytes))
        except OSError as exc:
            self.folder.rmdir()
            raise NoGroupError(f"memory cannot be limited here ({exc})") from exc

    @property
    def enter_prefix(self) -> tuple[str, ...]:
        """Goes before a command line: that process, and all it starts, is in the group."""
        return ("sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', str(self.folder))

    @property
    def peak_bytes(self) -> int:
        """The most that was ever used, page cache included."""
        name = "memory.peak" if self._is_v2 else "memory.max_usage_in_bytes"
        return int((self.folder / name).read_text())

    @property
    def oom_kills(self) -> int:
        name = "memory.events" if self._is_v2 else "memory.oom_control"
        lines = (self.folder / name).read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    @property
    def processes(self) -> set[int]:
        return {int(pid) for pid in (self.folder / "cgroup.procs").read_text().split()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The kernel lets go of a group a moment after its last process ended.
        deadline_s = time.monotonic() + 10
        while self.folder.exists() and time.monotonic() < deadline_s:
            with contextlib.suppress(OSError):
                self.folder.rmdir()


def _own_group() -> tuple[Path, bool]:
    """The folder of the memory group that this process is in, and whether it is v2's."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return MOUNT / "memory" / path.lstrip("/"), False
    group = MOUNT / path.lstrip("/")
    if "memory" not in (group / "cgroup.subtree_control").read_text().split():
        raise PermissionError("the memory controller is not delegated to this group")
    return group, True
