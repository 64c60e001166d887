"""One recorder, one uplink on one card: a lock that the kernel drops when its holder ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from agent.errors import SpoolError
from agent.storage import atomic


def hold_lock(state_dir: Path, service: str) -> int:
    """Lock `<state_dir>/state/<service>.lock` until the descriptor returned is closed or the
    process ends, however it ends.

    Raises SpoolError: another process holds it (a supervisor tries again), or the card refuses.
    """
    path = state_dir / "state" / f"{service}.lock"
    try:
        atomic.make_directory(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise SpoolError(
            f"{path} cannot be made ({exc.strerror})",
            remedy="check paths.state_dir, its owner, and that the card is not read-only",
        ) from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(descriptor)
        raise SpoolError(
            f"another {service} is at work on {state_dir}", remedy="stop it first"
        ) from exc
    return descriptor
