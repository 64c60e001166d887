"""Do the clips of a device hang together? A pure look at the hashes of stored custody lines.

A clip's "open" line follows some line of the clip opened before it (agent.crypto.custody). Clips
arrive in any order, so a `prev` that nobody holds proves nothing yet. Proof of a break is: two
clips hung on one line (a card copied or set back), or the clip before in the same session is
here and holds no such line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from agent.errors import WireError
from agent.wire.custody import CustodyLine, line_hash
from agent.wire.ids import parse_clip_id
from agent.wire.manifest import Manifest

_HASH_BYTES = 32


class ClipLinks(msgspec.Struct, frozen=True):
    """The custody lines of one stored clip: numbers, what the first one follows, all hashes."""

    clip_key: str
    device_id: str
    epoch: str
    first_n: int
    last_n: int
    first_prev: str
    head: str
    line_hashes: bytes

    @classmethod
    def of(
        cls, clip_key: str, manifest: Manifest, lines: Sequence[tuple[str, CustodyLine]]
    ) -> ClipLinks:
        hashes = [line_hash(text) for text, _ in lines]
        return cls(
            clip_key=clip_key,
            device_id=manifest.device_id,
            epoch=manifest.name.epoch,
            first_n=lines[0][1].n,
            last_n=lines[-1][1].n,
            first_prev=lines[0][1].prev,
            head=hashes[-1],
            line_hashes=b"".join(bytes.fromhex(text) for text in hashes),
        )

    def holds(self, sha256: str) -> bool:
        """True when `sha256` is the hash of one of the lines."""
        wanted = bytes.fromhex(sha256)
        at = self.line_hashes.find(wanted)
        while at % _HASH_BYTES and at >= 0:
            at = self.line_hashes.find(wanted, at + 1)
        return at >= 0

    def beside(self) -> tuple[str, str]:
        """Keys of the clip before and the clip after in the same session (its own where none)."""
        try:
            name = parse_clip_id(self.clip_key)
        except WireError:
            return self.clip_key, self.clip_key
        if name.clip is None:
            return self.clip_key, self.clip_key
        before, after = (
            msgspec.structs.replace(name, clip=name.clip + step).clip_id for step in (-1, 1)
        )
        return before, after

    def as_row(self) -> dict[str, object]:
        return msgspec.structs.asdict(self)


class ChainBreak(msgspec.Struct, frozen=True, kw_only=True):
    """What does not fit: line `n` of `clip_key` against `other_clip_key`."""

    device_id: str
    epoch: str
    n: int
    clip_key: str
    other_clip_key: str
    problem: str


def find_breaks(clip: ClipLinks, others: Iterable[ClipLinks]) -> tuple[ChainBreak, ...]:
    """The proven breaks between `clip` and the stored `others` of its device and epoch."""
    found = []
    for other in others:
        if other.clip_key == clip.clip_key:
            continue
        if other.first_prev == clip.first_prev:
            found.append(_break(clip, other, "two clips follow the same custody line"))
        elif _comes_right_after(other, clip) and not other.holds(clip.first_prev):
            found.append(_break(clip, other, "does not follow the clip before it"))
        elif _comes_right_after(clip, other) and not clip.holds(other.first_prev):
            found.append(_break(other, clip, "does not follow the clip before it"))
    return tuple(found)


def _break(clip: ClipLinks, other: ClipLinks, problem: str) -> ChainBreak:
    return ChainBreak(
        device_id=clip.device_id,
        epoch=clip.epoch,
        n=clip.first_n,
        clip_key=clip.clip_key,
        other_clip_key=other.clip_key,
        problem=problem,
    )


def _comes_right_after(before: ClipLinks, after: ClipLinks) -> bool:
    """By their names: the next clip of the same session."""
    return before.beside()[1] == after.clip_key != before.clip_key
