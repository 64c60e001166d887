"""A model bundle as one file: a plain tar of flat names, the manifest first.

The same files give the same bytes: names in the order given, no times, no owners.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable, Iterable
from typing import IO, BinaryIO

from agent.errors import ModelError

MANIFEST_NAME = "manifest.json"
MAX_ARCHIVE_BYTES = 512 * 1024 * 1024
MAX_FILES = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def write_archive(out: BinaryIO, files: Iterable[tuple[str, bytes]]) -> None:
    """Write `files` (name, content) to `out`."""
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as packed:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            packed.addfile(entry, io.BytesIO(content))


def read_archive(stream: BinaryIO, take: Callable[[str, IO[bytes]], None]) -> None:
    """Hand name and content of each file, in order, to `take`, which reads what it wants of it.

    Raises ModelError: no tar, cut off, a name that is not flat or comes twice, anything but plain
    files, more than MAX_FILES.
    """
    seen: set[str] = set()
    try:
        with tarfile.open(fileobj=stream, mode="r:") as packed:
            for entry in packed:
                if not entry.isreg() or entry.issparse() or not _NAME.fullmatch(entry.name):
                    raise _refusal(f"{entry.name[:80]!r} is not a plain file of the bundle")
                if entry.name in seen:
                    raise _refusal(f"{entry.name} is in it twice")
                if len(seen) >= MAX_FILES:
                    raise _refusal(f"more than {MAX_FILES} files")
                seen.add(entry.name)
                content = packed.extractfile(entry)
                if content is None:
                    raise _refusal(f"{entry.name} has no content")
                take(entry.name, content)
    except (tarfile.TarError, EOFError, ValueError) as exc:
        raise _refusal(str(exc)) from exc


def _refusal(reason: str) -> ModelError:
    return ModelError(
        f"bundle archive refused ({reason})", remedy="pack it again with `sightline model pack`"
    )
