"""Tests run two at a time; one that must have the machine for itself waits for its turn.

Two files that every test process of this checkout locks. Who wants to run passes the gate and
holds `machine` shared; a test marked `alone` keeps the gate shut until it holds `machine` for
itself, so that the others cannot overtake it for ever.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Hold the machine for one test; the lock files lie in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "gate").open("w") as gate, (folder / "machine").open("w") as machine:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
