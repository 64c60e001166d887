"""Between uplink, which has the broker, and the updater, which has the trust and the slots."""

from __future__ import annotations

import msgspec

from agent.wire.telemetry import ModelProgress


class AskMetadata(msgspec.Struct, frozen=True, tag="ask_metadata"):
    """`name` as in wire.depot."""

    name: str


class AskChunks(msgspec.Struct, frozen=True, tag="ask_chunks"):
    sha256: str
    chunk_bytes: int
    chunks: tuple[int, ...]


class Told(msgspec.Struct, frozen=True, tag="told"):
    """How far it is; `is_last`: the updater ends. `again`: it may go better another time."""

    progress: ModelProgress | None
    is_last: bool = False
    again: bool = False


class Metadata(msgspec.Struct, frozen=True, tag="metadata"):
    """`content` None: the fleet has published no such file."""

    name: str
    content: bytes | None


class Chunk(msgspec.Struct, frozen=True, tag="chunk"):
    sha256: str
    number: int
    content: bytes


class NoTarget(msgspec.Struct, frozen=True, tag="no_target"):
    sha256: str
    why: str


FromUpdater = AskMetadata | AskChunks | Told
ToUpdater = Metadata | Chunk | NoTarget
