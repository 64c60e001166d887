"""What one custody line says. Each line is a compact JWS (EdDSA, the device's custody key).

`prev` is the SHA-256 (hex) of the ASCII bytes of the line before, also across clips and sessions:
within a clip each line follows the one before it, and the first line of a clip follows the newest
line of the clip opened before it, which may still wait for its labels (clips overlap).
`n` is the line's distance from the device's first along `prev`. The head of a clip is the hash of
its last line. A line for a fragment is durable before the fragment's file gets its name.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from agent.wire.codec import Count, Message, TimeNs
from agent.wire.manifest import Sha256

ClockTrust = Literal["trusted", "untrusted"]
LineKind = Literal["open", "fragment", "gap", "recovered", "thinned", "close"]
GENESIS = "0" * 64
MAX_LINE_BYTES = 4096
MAX_LINES = 4096


class CustodyLine(Message, frozen=True, kw_only=True):
    """The signed payload of one line.

    kind "open" starts a clip; "fragment" binds fragment `index`: hash of the sealed bytes
    (`ct_sha256`), of the bytes before sealing (`pt_sha256`), its span and frame count; "gap"
    names an interval that was not recorded and its `cause`, and with an `index` says that the file
    of that fragment, bound by an earlier line, did not survive; "recovered" says that what follows
    was written at the next start; "close" binds the sheet (or session record) and the manifest.
    "thinned", in the item of a session record alone, names a clip (`thinned`) that the camera gave
    up unsent for want of room: its manifest's hash, span, frames and `cause`.
    `boot_counter`, `mono_ns` (CLOCK_BOOTTIME), `wall_ns` (Unix) and `clock_trust` say when the
    line was signed.
    """

    kind: LineKind
    n: Count
    prev: Sha256
    clip_id: str
    boot_counter: Count
    mono_ns: TimeNs
    wall_ns: TimeNs
    clock_trust: ClockTrust
    index: Count | None = None
    ct_sha256: Sha256 | None = None
    ct_bytes: Count | None = None
    pt_sha256: Sha256 | None = None
    start_pts_ns: TimeNs | None = None
    end_pts_ns: TimeNs | None = None
    frames: Count | None = None
    cause: str | None = None
    sheet_sha256: Sha256 | None = None
    manifest_sha256: Sha256 | None = None
    thinned: str | None = None


def line_hash(line: str) -> str:
    """SHA-256 of the compact JWS as ASCII, in hex: the `prev` of the line that follows."""
    return hashlib.sha256(line.encode("ascii")).hexdigest()
