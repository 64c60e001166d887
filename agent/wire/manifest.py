"""The clip manifest: what one clip consists of. Everything in it is in the clear.

So it holds ids, counts, times, sizes, hashes and a priority class, and nothing about people or
content. Its bytes as stored in `manifest.json` are what the custody chain and the receipt sign.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from agent.errors import WireError
from agent.wire.codec import Count, Message, TimeNs, decode
from agent.wire.ids import ClipName, parse_clip_id

SHEET_FILE = "labels.json.age"
SESSION_FILE = "session.json.age"
CUSTODY_FILE = "custody.jsonl"
MANIFEST_FILE = "manifest.json"
MAX_FILES = 1024
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_CLIP_BYTES = 2 * 1024 * 1024 * 1024

Priority = Literal["record", "marked", "rare", "tagged", "plain"]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[
    str,
    msgspec.Meta(pattern=r"^(labels\.json\.age|session\.json\.age|[0-9]{4}(\.labels)?\.age)$"),
]


def fragment_file(index: int) -> str:
    """`0007.age`: the sealed fragment; fragment 0 starts with the MP4 init segment."""
    return f"{index:04d}.age"


def fragment_labels_file(index: int) -> str:
    """`0007.labels.age`: scores, marks and declared labels of that fragment, sealed."""
    return f"{index:04d}.labels.age"


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One sealed file of the clip, in transfer order."""

    name: FileName
    bytes: Annotated[int, msgspec.Meta(ge=1, le=MAX_FILE_BYTES)]
    sha256: Sha256


class Manifest(Message, frozen=True, kw_only=True):
    """One clip, closed. Times are CLOCK_BOOTTIME nanoseconds of the device's boot `boot`.

    `files` is the order of the concatenation that parts are cut from: the label sheet first, or,
    for a clip recovered without one, each fragment's labels before the fragment. `recovered` says
    that the recorder was cut off and closed this clip at its next start.
    """

    clip_id: str
    device_id: str
    session_id: str
    start_pts_ns: TimeNs
    end_pts_ns: TimeNs
    frames: Count
    fragments: Annotated[int, msgspec.Meta(ge=0, le=MAX_FILES)]
    recovered: bool = False
    priority: Priority = "plain"
    files: Annotated[tuple[FileEntry, ...], msgspec.Meta(min_length=1, max_length=MAX_FILES)]

    @property
    def total_bytes(self) -> int:
        return sum(entry.bytes for entry in self.files)

    @property
    def name(self) -> ClipName:
        return parse_clip_id(self.clip_id)


def decode_manifest(body: bytes) -> Manifest:
    """Parse and check the stored bytes. Raises WireError: format, ids that disagree, a file named
    twice, fragments missing or out of order, more than MAX_CLIP_BYTES."""
    manifest = decode(Manifest, body)
    name = manifest.name
    if name.device_id != manifest.device_id or name.session_id != manifest.session_id:
        raise WireError(f"manifest of {manifest.clip_id}: ids disagree")
    names = [entry.name for entry in manifest.files]
    if len(set(names)) != len(names):
        raise WireError(f"manifest of {manifest.clip_id}: a file is named twice")
    numbered = [entry for entry in names if entry[4:] == ".age" and entry[:4].isdigit()]
    # A recovered clip may have holes: files that a damaged card lost.
    whole = numbered == [fragment_file(index) for index in range(manifest.fragments)]
    rising = numbered == sorted(numbered) and len(numbered) == manifest.fragments
    if not (whole or (manifest.recovered and rising)):
        raise WireError(f"manifest of {manifest.clip_id}: fragments missing or out of order")
    if manifest.total_bytes > MAX_CLIP_BYTES:
        raise WireError(f"manifest of {manifest.clip_id}: more than {MAX_CLIP_BYTES} bytes")
    if manifest.end_pts_ns < manifest.start_pts_ns:
        raise WireError(f"manifest of {manifest.clip_id}: ends before it starts")
    return manifest
