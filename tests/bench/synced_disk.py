"""What the disk under the store takes when every MiB is synced: the ceiling of durable writing."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STEP_BYTES = 1024 * 1024
_STEPS = 128


def measure(folder: Path) -> float:
    """MB/s (10^6 bytes) into a new file, written and synced as a transfer's parts are."""
    step = os.urandom(_STEP_BYTES)
    path = folder / "synced"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        start_s = time.monotonic()
        for number in range(_STEPS):
            os.pwrite(descriptor, step, number * _STEP_BYTES)
            os.fdatasync(descriptor)
        return _STEPS * _STEP_BYTES / (time.monotonic() - start_s) / 1e6
    finally:
        os.close(descriptor)
        path.unlink()
