"""What makes ids unrepeatable: the state epoch and the persisted boot counter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.errors import SpoolError
from agent.storage import atomic


class Identity(msgspec.Struct, frozen=True):
    """`epoch`: 64 random bits in hex, made with the state directory. `boot`: starts of the recorder
    so far. `os_boot`: the kernel's name for this boot of the machine, within which CLOCK_BOOTTIME
    can be compared; empty when not known."""

    epoch: str
    boot: int
    os_boot: str = ""


def next_boot(
    state_dir: Path, *, random_bytes: Callable[[int], bytes], os_boot: str = ""
) -> Identity:
    """Count one start of the recorder and return it, durably, before anything is named by it.

    Raises SpoolError when the file is damaged (the remedy keeps what is in the spool) or the card
    refuses the write.
    """
    path = state_dir / "state" / "identity.json"
    try:
        atomic.make_directory(path.parent)
        if path.exists():
            old = msgspec.json.decode(path.read_bytes(), type=Identity)
            new = Identity(old.epoch, old.boot + 1, os_boot)
        else:
            new = Identity(random_bytes(8).hex(), 1, os_boot)
        atomic.write_file(path, msgspec.json.encode(new))
    except msgspec.DecodeError as exc:
        raise SpoolError(
            f"{path} is damaged ({exc})", remedy="delete it: a new epoch begins, no clip is lost"
        ) from exc
    except OSError as exc:
        raise SpoolError(
            f"{path} cannot be written ({exc.strerror})",
            remedy="check the card and paths.state_dir",
        ) from exc
    return new
