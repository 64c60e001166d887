"""Locks between the collectors of one store: flock(2), which ends with its process.

Nobody waits for ever: a collector that was frozen while it held a lock must not freeze the others.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from collector.errors import StoreError

PATIENCE_S = 5.0
_POLL_S = 0.002


def try_lock(descriptor: int) -> bool:
    """Take the lock of this open file, if it is free now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextlib.contextmanager
def locked(descriptor: int, place: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the lock of this open file. Raises StoreError when others hold it for `patience_s`."""
    deadline_s = time.monotonic() + patience_s
    while not try_lock(descriptor):
        if time.monotonic() > deadline_s:
            raise StoreError(
                f"{place} is locked by another collector",
                remedy="one that hangs must be stopped; cameras keep their clips meanwhile",
            )
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        unlock(descriptor)


@contextlib.contextmanager
def locked_file(path: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the lock of `path`, which is made when missing and never removed. Raises StoreError."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StoreError(f"{path}: {exc.strerror}") from exc
    try:
        with locked(descriptor, path, patience_s):
            yield
    finally:
        os.close(descriptor)
