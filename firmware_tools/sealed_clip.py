"""One clip folder as it lies on a card: read with distrust, opened as far as it opens.

What no custody line stands for is kept out of the footage unless the caller asks for it: age seals
to a public key, so anybody can make a file that opens.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.crypto.custody import fragments_kept, intact_prefix, verify_chain
from agent.errors import AgentError, CustodyError, SpoolError, WireError
from agent.wire.codec import decode
from agent.wire.custody import MAX_LINE_BYTES, MAX_LINES, CustodyLine, line_hash
from agent.wire.manifest import (
    CUSTODY_FILE,
    MANIFEST_FILE,
    MAX_FILE_BYTES,
    MAX_FILES,
    Manifest,
    decode_manifest,
    fragment_file,
)

_FRAGMENT = re.compile(r"([0-9]{4})\.age")
_MAX_MANIFEST_BYTES = 1024 * 1024

KeyFor = Callable[[str], Ed25519PublicKey | None]
Unseal = Callable[[str, bytes], bytes]


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """What the custody file says. `lines`: those to go by, all verified when `is_signed`, else only
    what the file claims; `hashes`: of each of them; `kids`: who signed them, or claims to have;
    `unknown_kid`: a signer whose key was not given; `problem`: why later lines are not believed."""

    lines: tuple[CustodyLine, ...] = ()
    hashes: tuple[str, ...] = ()
    kids: tuple[str, ...] = ()
    is_signed: bool = False
    unknown_kid: str = ""
    problem: str = ""

    @property
    def close(self) -> CustodyLine | None:
        """The line that closes the clip, if it was closed."""
        return self.lines[-1] if self.lines and self.lines[-1].kind == "close" else None


class Footage(msgspec.Struct, kw_only=True):
    """What became of each fragment: its file name, with the reason why it is `unproven` (in the
    footage all the same) or `left_out`."""

    unchanged: list[str] = []
    unproven: dict[str, str] = {}
    left_out: dict[str, str] = {}
    missing: list[str] = []


class SealedClip:
    """The folder of one clip or session record. Links and special files in it are not followed.

    Raises SpoolError when `folder` cannot be listed.
    """

    def __init__(self, folder: Path, key_for: KeyFor) -> None:
        self.folder = folder
        try:
            self.names = frozenset(sorted(os.listdir(folder))[: 4 * MAX_FILES])
        except OSError as exc:
            raise SpoolError(f"{folder} cannot be read ({exc.strerror})") from exc
        self.chain = read_chain(self.read(CUSTODY_FILE, MAX_LINES * MAX_LINE_BYTES), key_for)
        self.manifest: Manifest | None = None
        self.manifest_problem = ""
        self._take_manifest(self.read(MANIFEST_FILE, _MAX_MANIFEST_BYTES))
        self.footage = Footage()

    @property
    def clip_id(self) -> str:
        """As the custody lines have it, else the manifest, else the folder."""
        if self.chain.lines:
            return self.chain.lines[0].clip_id
        return self.folder.name if self.manifest is None else self.manifest.clip_id

    def read(self, name: str, max_bytes: int = MAX_FILE_BYTES) -> bytes | None:
        """A regular file's content; None when it is missing, unreadable, a link or too large."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self.folder / name, flags)
        except OSError:
            return None
        try:
            with os.fdopen(descriptor, "rb") as file:
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode) or found.st_size > max_bytes:
                    return None
                return file.read(max_bytes)
        except OSError:
            return None

    def fragments(self, unseal: Unseal, *, also_unproven: bool) -> Iterator[bytes]:
        """The plain bytes that belong into the footage, in order; `footage` tells of each fragment.
        With `also_unproven`, or without any custody line, also what nothing stands for."""
        kept = fragments_kept(self.chain.lines)
        there = {int(found[1]) for name in self.names if (found := _FRAGMENT.fullmatch(name))}
        everything = also_unproven or not self.chain.lines
        for index in sorted(there | set(kept)):
            name = fragment_file(index)
            if index not in there:
                self.footage.missing.append(name)
                continue
            plain = self._fragment(name, kept.get(index), unseal, everything=everything)
            if plain is not None:
                yield plain

    def _fragment(
        self, name: str, line: CustodyLine | None, unseal: Unseal, *, everything: bool
    ) -> bytes | None:
        content, left_out = self.read(name), self.footage.left_out
        if content is None:
            left_out[name] = "cannot be read"
            return None
        doubt = ""
        if line is None:
            doubt = "no custody line stands for it"
        elif hashlib.sha256(content).hexdigest() != line.ct_sha256:
            doubt = "is not the file that was signed"
        if doubt and not everything:
            left_out[name] = doubt
            return None
        try:
            plain = unseal(name, content)
        except AgentError as exc:
            left_out[name] = doubt or exc.what
            return None
        if line is not None and not doubt and hashlib.sha256(plain).hexdigest() != line.pt_sha256:
            doubt = "was sealed from other bytes than were signed"
            if not everything:
                left_out[name] = doubt
                return None
        if doubt:
            self.footage.unproven[name] = doubt
        else:
            self.footage.unchanged.append(name)
        return plain

    def _take_manifest(self, body: bytes | None) -> None:
        close = self.chain.close
        if body is None:
            self.manifest_problem = "manifest.json is missing" if close is not None else ""
            return
        try:
            manifest = decode_manifest(body)
        except WireError as exc:
            self.manifest_problem = f"manifest.json is damaged ({exc.what})"
            return
        if close is not None and hashlib.sha256(body).hexdigest() != close.manifest_sha256:
            self.manifest_problem = "manifest.json is not the one that was signed"
            return
        self.manifest = manifest


def read_chain(content: bytes | None, key_for: KeyFor) -> Chain:
    """What `custody.jsonl` says; a torn last line is left out. Never raises."""
    raw = (content or b"").split(b"\n")[:-1][: MAX_LINES + 1]
    unknown: list[str] = []

    def noting(kid: str) -> Ed25519PublicKey | None:
        key = key_for(kid)
        if key is None:
            unknown.append(kid)
        return key

    texts, payloads = intact_prefix(raw, noting)
    problem = "" if len(texts) == len(raw) else _why_not(raw, key_for)
    if not payloads and unknown:
        texts, payloads = _claimed(raw)
        problem = "" if len(texts) == len(raw) else f"custody: line {len(texts) + 1} does not fit"
        return _chain(texts, payloads, unknown_kid=unknown[0][:50], problem=problem)
    return _chain(
        texts,
        payloads,
        is_signed=bool(payloads),
        unknown_kid=unknown[0][:50] if unknown else "",
        problem=problem if raw else "custody.jsonl is missing or empty",
    )


def _chain(
    texts: list[str],
    payloads: list[CustodyLine],
    *,
    is_signed: bool = False,
    unknown_kid: str,
    problem: str,
) -> Chain:
    return Chain(
        lines=tuple(payloads),
        hashes=tuple(line_hash(text) for text in texts),
        kids=tuple(dict.fromkeys(_kid(text) for text in texts)),
        is_signed=is_signed,
        unknown_kid=unknown_kid,
        problem=problem,
    )


def _why_not(raw: list[bytes], key_for: KeyFor) -> str:
    try:
        verify_chain([line.decode("ascii", "replace") for line in raw], key_for)
    except CustodyError as exc:
        return exc.what
    return ""


def _claimed(raw: list[bytes]) -> tuple[list[str], list[CustodyLine]]:
    """Lines that hang together by their hashes, without a look at who signed them."""
    texts: list[str] = []
    payloads: list[CustodyLine] = []
    for number, line in enumerate(raw):
        try:
            text = line.decode("ascii")
            payload = decode(CustodyLine, _part(text, 1), max_bytes=MAX_LINE_BYTES)
        except (WireError, ValueError, IndexError):
            break
        follows = number == 0 or payload.prev == line_hash(texts[-1])
        if not follows or payload.clip_id != (payloads or [payload])[0].clip_id:
            break
        texts.append(text)
        payloads.append(payload)
    return texts, payloads


def _part(text: str, number: int) -> bytes:
    part = text.split(".")[number]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class _Header(msgspec.Struct, frozen=True):
    kid: str


def _kid(text: str) -> str:
    """Who signed; only asked of lines that were decoded before."""
    try:
        return msgspec.json.decode(_part(text, 0), type=_Header).kid[:50]
    except (msgspec.DecodeError, ValueError, IndexError):
        return "unknown"
