"""The transfer of one clip: open, parts, the collector's state, the receipt.

device -> `up/%d/clip/<clip_id>/manifest`: Open. Idempotent: opens or re-opens the transfer.
device -> `up/%d/clip/<clip_id>/part/<n>`: bytes [n*part_bytes, (n+1)*part_bytes) of the
          concatenation of the manifest's files; user property `crc32c` (8 hex digits) of it.
collector -> `down/%d/clip/<clip_id>`: Need | Stored | Later | Never.

Need is cumulative: all parts below `contiguous` and those set in `have` are durable at the
collector. It is sent after its fsync, so what it names never needs to be sent again.
"""

from __future__ import annotations

import base64
from typing import Annotated

import msgspec

from agent.errors import WireError
from agent.wire.codec import Message, decode_union
from agent.wire.custody import MAX_LINE_BYTES, MAX_LINES
from agent.wire.manifest import MAX_CLIP_BYTES, Sha256

MIN_PART_BYTES = 16 * 1024
MAX_PART_BYTES = 1024 * 1024
MAX_PARTS = MAX_CLIP_BYTES // MIN_PART_BYTES
CRC_PROPERTY = "crc32c"

PartBytes = Annotated[int, msgspec.Meta(ge=MIN_PART_BYTES, le=MAX_PART_BYTES)]
PartCount = Annotated[int, msgspec.Meta(ge=0, le=MAX_PARTS)]


class Open(Message, frozen=True, kw_only=True):
    """`manifest`: the exact text of manifest.json; `custody`: the lines of custody.jsonl."""

    manifest: Annotated[str, msgspec.Meta(max_length=512 * 1024)]
    custody: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=MAX_LINE_BYTES)], ...],
        msgspec.Meta(min_length=1, max_length=MAX_LINES),
    ]
    part_bytes: PartBytes


class Need(Message, frozen=True, kw_only=True, tag_field="state", tag="need"):
    """What is durable, and how much may be in flight. `have`: base64 bitmap, bit i (LSB first) of
    it is part `contiguous + i`. `window_bytes` is for all clips of the device together: the newest
    Need of any of them counts. `part_bytes` is the size in force: a device that asked for another
    follows it."""

    manifest_sha256: Sha256
    contiguous: PartCount
    have: Annotated[str, msgspec.Meta(max_length=4 * (MAX_PARTS // 8) // 3 + 8)] = ""
    window_bytes: Annotated[int, msgspec.Meta(ge=1, le=1 << 30)]
    part_bytes: PartBytes


class Stored(Message, frozen=True, kw_only=True, tag_field="state", tag="stored"):
    """`receipt`: compact JWS of a Receipt by the collector's receipt key."""

    manifest_sha256: Sha256
    receipt: Annotated[str, msgspec.Meta(max_length=MAX_LINE_BYTES)]


class Later(Message, frozen=True, kw_only=True, tag_field="state", tag="later"):
    """Do not send before `delay_s` seconds have passed."""

    manifest_sha256: Sha256
    delay_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)]
    why: Annotated[str, msgspec.Meta(max_length=500)]


class Never(Message, frozen=True, kw_only=True, tag_field="state", tag="never"):
    """`refusal`: compact JWS of a Refusal by the collector's receipt key."""

    manifest_sha256: Sha256
    refusal: Annotated[str, msgspec.Meta(max_length=MAX_LINE_BYTES)]


ClipState = Need | Stored | Later | Never


def decode_state(payload: bytes) -> ClipState:
    """The collector's answer about a clip. Raises WireError."""
    state: ClipState = decode_union(ClipState, payload)
    return state


class Receipt(Message, frozen=True, kw_only=True):
    """The collector's word that the clip is stored, whole and verified. Only this lets a camera
    delete it."""

    clip_id: str
    manifest_sha256: Sha256
    custody_head: Sha256
    stored_wall_ns: int
    collector: str


class Refusal(Message, frozen=True, kw_only=True):
    """The collector's word that it will never take this clip, and why."""

    clip_id: str
    manifest_sha256: Sha256
    why: Annotated[str, msgspec.Meta(max_length=500)]
    refused_wall_ns: int
    collector: str


def part_count(total_bytes: int, part_bytes: int) -> int:
    """How many parts of `part_bytes` the concatenation of `total_bytes` has (at least 1)."""
    return max(1, -(-total_bytes // part_bytes))


def pack_have(parts: set[int], contiguous: int) -> str:
    """The bitmap for Need.have: the `parts` at or above `contiguous`."""
    above = [part - contiguous for part in parts if part >= contiguous]
    if not above:
        return ""
    bits = bytearray(max(above) // 8 + 1)
    for bit in above:
        bits[bit // 8] |= 1 << (bit % 8)
    return base64.b64encode(bits).decode("ascii")


def unpack_have(need: Need, parts: int) -> set[int]:
    """All durable parts that `need` names, of a clip of `parts` parts.

    Raises WireError: not base64, or a part named that the clip does not have."""
    try:
        bits = base64.b64decode(need.have, validate=True)
    except ValueError as exc:
        raise WireError("need: the bitmap is not base64") from exc
    durable = set(range(need.contiguous))
    for index, byte in enumerate(bits):
        for bit in range(8):
            if byte >> bit & 1:
                durable.add(need.contiguous + index * 8 + bit)
    if durable and max(durable) >= parts:
        raise WireError(f"need: names part {max(durable)} of a clip of {parts}")
    return durable
