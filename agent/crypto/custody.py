"""The custody chain: signs lines on the camera, verifies them anywhere.

Within one clip (or session record) every line follows the one before: `n` up by one, `prev` its
hash. The "open" line follows the newest line of the clip that was opened before it; that one may
still wait for its labels, so its own last lines (its "close" among them) stand beside the new
clip and not below it. So `n` is the distance from the first line of the device along `prev`, and
a clip that vanished shows as a `prev` that nobody holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.crypto import jws
from agent.errors import CustodyError, WireError
from agent.wire.codec import decode, encode
from agent.wire.custody import (
    GENESIS,
    MAX_LINE_BYTES,
    MAX_LINES,
    ClockTrust,
    CustodyLine,
    LineKind,
    line_hash,
)

KeyFor = Callable[[str], Ed25519PublicKey | None]


class ChainHead(msgspec.Struct, frozen=True, kw_only=True):
    """Where the next clip is hung on: the newest line of the clip opened last.

    `n` and `line_sha256` are that line's; `boot_counter` and `opened_mono_ns` say when its clip
    was opened, which orders clips without a clock.
    """

    n: int = -1
    line_sha256: str = GENESIS
    clip_id: str = ""
    boot_counter: int = 0
    opened_mono_ns: int = 0

    @property
    def order(self) -> tuple[int, int, int]:
        """Of two heads the greater order is the newer."""
        return (self.boot_counter, self.opened_mono_ns, self.n)


class SigningTime(msgspec.Struct, frozen=True, kw_only=True):
    """When a line is signed, as the camera's clocks have it."""

    boot_counter: int
    mono_ns: int
    wall_ns: int
    clock_trust: ClockTrust


class ClipChain:
    """The lines of one clip. A line counts only once the caller `accepted` it (it is durable)."""

    def __init__(
        self, signer: jws.Signer, clip_id: str, *, n: int, prev: str, opened_mono_ns: int = 0
    ) -> None:
        """`n` and `prev`: number of the next line, hash of the line that it follows."""
        self._signer = signer
        self._n, self._prev = n, prev
        self.clip_id = clip_id
        self.opened_mono_ns = opened_mono_ns

    def sign(self, kind: LineKind, when: SigningTime, **fields: str | int | None) -> str:
        """The next line. Calling again before `accepted` signs another in its place."""
        line = CustodyLine(
            kind=kind,
            n=self._n,
            prev=self._prev,
            clip_id=self.clip_id,
            boot_counter=when.boot_counter,
            mono_ns=when.mono_ns,
            wall_ns=when.wall_ns,
            clock_trust=when.clock_trust,
            **fields,  # type: ignore[arg-type]
        )
        return self._signer.sign(encode(line))

    def accepted(self, line: str) -> None:
        """`line` is durable: the next one follows it."""
        self._prev = line_hash(line)
        self._n += 1

    @property
    def last_sha256(self) -> str:
        return self._prev

    def head(self, boot_counter: int) -> ChainHead:
        return ChainHead(
            n=self._n - 1,
            line_sha256=self._prev,
            clip_id=self.clip_id,
            boot_counter=boot_counter,
            opened_mono_ns=self.opened_mono_ns,
        )


class CustodyChain:
    """The device's chain over clips and sessions: hangs each clip on the one opened before it."""

    def __init__(self, signer: jws.Signer, head: ChainHead) -> None:
        self._signer = signer
        self._head = head
        self._newest: ClipChain | None = None
        self._boot_counter = head.boot_counter

    def open_clip(self, clip_id: str, boot_counter: int, mono_ns: int) -> ClipChain:
        """A chain for `clip_id`; it becomes the newest once `opened` is called with it."""
        head = self.head
        return ClipChain(
            self._signer, clip_id, n=head.n + 1, prev=head.line_sha256, opened_mono_ns=mono_ns
        )

    def sign_with(self, signer: jws.Signer) -> None:
        """Another key signs, from the next clip on."""
        self._signer = signer

    def opened(self, chain: ClipChain, boot_counter: int) -> None:
        """The clip's first line is durable: the next clip is hung on this one."""
        self._newest, self._boot_counter = chain, boot_counter

    @property
    def head(self) -> ChainHead:
        return self._head if self._newest is None else self._newest.head(self._boot_counter)


def verify_chain(
    lines: Sequence[str], key_for: KeyFor, expected_prev: str | None = None
) -> tuple[CustodyLine, ...]:
    """The payloads of the lines of one closed clip, once all of it stands.

    Checked: every signature; `n` consecutive; every `prev` (that of the first line only against
    `expected_prev`, when given); one clip id; "open" first and nowhere else; "close" last and
    nowhere else, with the hash of a manifest; fragments' indexes rising from 0 by one before any
    "recovered" line, none after it. Raises CustodyError with the line's number (from 1).
    """
    if not lines:
        raise CustodyError("custody: there is no line")
    payloads = tuple(_verified(lines, key_for, expected_prev))
    if payloads[-1].kind != "close":
        raise CustodyError(f"custody: line {len(lines)}: the clip is not closed")
    return payloads


def intact_prefix(lines: Sequence[bytes], key_for: KeyFor) -> tuple[list[str], list[CustodyLine]]:
    """As many lines from the first as verify (see `verify_chain`), closed or not: what a power
    cut or a bad card left of a chain. Never raises."""
    texts, payloads = [], []
    decoded = (line.decode("ascii", "replace") for line in lines)
    shown: list[str] = []

    def remember() -> Iterable[str]:
        for line in decoded:
            shown.append(line)
            yield line

    try:
        for payload in _verified(remember(), key_for, None):
            payloads.append(payload)
            texts.append(shown[-1])
    except CustodyError:
        pass
    return texts, payloads


def fragments_kept(lines: Sequence[CustodyLine]) -> dict[int, CustodyLine]:
    """Index -> "fragment" line, of the fragments whose files the clip must have: a later "gap"
    line with the same index withdraws one (its file did not survive)."""
    kept = {line.index: line for line in lines if line.kind == "fragment"}
    for line in lines:
        if line.kind == "gap" and line.index is not None:
            kept.pop(line.index, None)
    return {index: line for index, line in kept.items() if index is not None}


def _verified(
    lines: Iterable[str], key_for: KeyFor, expected_prev: str | None
) -> Iterable[CustodyLine]:
    before: CustodyLine | None = None
    before_sha256, next_index, recovered = expected_prev, 0, False
    for number, text in enumerate(lines, 1):
        where = f"custody: line {number}"
        if number > MAX_LINES:
            raise CustodyError(f"{where}: more than {MAX_LINES} lines")
        line = _payload(text, key_for, where)
        if before_sha256 is not None and line.prev != before_sha256:
            raise CustodyError(f"{where}: does not follow the line before (its hash differs)")
        _check_order(line, before, where)
        if line.kind == "recovered":
            recovered = True
        if line.kind == "fragment":
            if line.index != next_index or recovered:
                raise CustodyError(f"{where}: fragment {line.index} where {next_index} is due")
            next_index += 1
        yield line
        before, before_sha256 = line, line_hash(text)


def _payload(text: str, key_for: KeyFor, where: str) -> CustodyLine:
    if len(text) > MAX_LINE_BYTES:
        raise CustodyError(f"{where}: longer than {MAX_LINE_BYTES} bytes")
    try:
        return decode(CustodyLine, jws.verify(text, key_for), max_bytes=MAX_LINE_BYTES)
    except (CustodyError, WireError) as exc:
        raise CustodyError(f"{where}: {exc}") from exc


def _check_order(line: CustodyLine, before: CustodyLine | None, where: str) -> None:
    if (before is None) != (line.kind == "open"):
        raise CustodyError(f"{where}: kind {line.kind!r} is out of place")
    if before is not None:
        if line.n != before.n + 1:
            raise CustodyError(f"{where}: number {line.n} after {before.n}")
        if line.clip_id != before.clip_id:
            raise CustodyError(f"{where}: of another clip ({line.clip_id[:96]})")
        if before.kind == "close":
            raise CustodyError(f"{where}: comes after the close")
    if line.kind == "thinned" and not line.clip_id.endswith("-record"):
        # A clip may be thinned out itself; a session record never is.
        raise CustodyError(f"{where}: kind 'thinned' outside a session record")
    bound = {
        "open": (),
        "recovered": (),
        "fragment": (
            "index",
            "ct_sha256",
            "ct_bytes",
            "pt_sha256",
            "start_pts_ns",
            "end_pts_ns",
            "frames",
        ),
        "gap": ("start_pts_ns", "end_pts_ns", "cause"),
        "thinned": ("thinned", "manifest_sha256", "start_pts_ns", "end_pts_ns", "frames", "cause"),
        "close": ("manifest_sha256",),
    }[line.kind]
    for field in bound:
        if getattr(line, field) is None:
            raise CustodyError(f"{where}: kind {line.kind!r} without {field}")
