"""The depot: where the collection server keeps what admins push and cameras pull.

admin -> `depot/<admin>/open/<sha256>`       DepotOpen: a file of these bytes is coming
admin -> `depot/<admin>/chunk/<sha256>/<n>`  chunk n, in order; user property: CRC-32C
server -> `down/<admin>/depot/<sha256>`      DepotState: how many chunks it has, or that all is kept
device -> `up/%d/get`                        TargetGet: these chunks of a target, please
server -> `down/%d/target/<sha256>/<n>`      one chunk
server -> `down/%d/target/<sha256>/no`       TargetRefusal
server -> `tuf/metadata/<name>`              retained: TUF metadata, as the admins signed it

What is kept proves itself: a target by its hash, metadata by signatures that cameras check. The
server is trusted with neither.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from agent.errors import WireError
from agent.wire.bundle_archive import MAX_ARCHIVE_BYTES
from agent.wire.codec import Message

CHUNK_BYTES = 256 * 1024
MIN_CHUNK_BYTES = 16 * 1024
MAX_METADATA_BYTES = 512 * 1024
UPLOAD_WINDOW = 8
MAX_ASKED = 16

_METADATA = re.compile(r"timestamp|(?:root|targets|snapshot|halts)-([1-9][0-9]{0,8})")

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
ChunkNumber = Annotated[int, msgspec.Meta(ge=0, le=1 << 20)]
Text = Annotated[str, msgspec.Meta(max_length=500)]


class DepotOpen(Message, frozen=True, kw_only=True):
    """`metadata`: the name of a metadata file; "" for a target."""

    bytes: Annotated[int, msgspec.Meta(ge=1, le=MAX_ARCHIVE_BYTES)]
    metadata: Annotated[str, msgspec.Meta(max_length=40)] = ""


class DepotState(Message, frozen=True, kw_only=True):
    """`chunks`: so many, from the first on, are there. `refused`: why it is not taken."""

    chunks: ChunkNumber = 0
    is_kept: bool = False
    refused: Text = ""


class TargetGet(Message, frozen=True, kw_only=True):
    """Asks for chunks of `chunk_bytes` each (the last is shorter) of one target. Replaces what the
    device asked for before."""

    sha256: Sha256
    chunk_bytes: Annotated[int, msgspec.Meta(ge=MIN_CHUNK_BYTES, le=CHUNK_BYTES)]
    chunks: Annotated[tuple[ChunkNumber, ...], msgspec.Meta(min_length=1, max_length=MAX_ASKED)]


class TargetRefusal(Message, frozen=True, kw_only=True):
    why: Text


def metadata_name(file_name: str) -> str:
    """`3.targets.json` -> `targets-3`, `timestamp.json` -> `timestamp`: without dots, which some
    brokers give a meaning. Raises WireError for any other file."""
    stem = file_name.removesuffix(".json")
    version, _, role = stem.rpartition(".")
    name = f"{role}-{version}" if version else role
    check_metadata_name(name)
    return name


def check_metadata_name(name: str) -> None:
    """Raises WireError when no metadata file has this name."""
    if not _METADATA.fullmatch(name):
        raise WireError(f"{name[:60]!r} is no metadata file")


def role_of(name: str) -> tuple[str, int]:
    """(role, version) of a metadata name; version 0 for the timestamp."""
    role, _, version = name.partition("-")
    return role, int(version or 0)
