"""Sealed-looking clips on the shelves of a spool, and a collector small enough for a test."""

from __future__ import annotations

import hashlib
import random

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.crypto.jws import Signer
from agent.storage import atomic
from agent.storage.spool import Shelf, Spool
from agent.wire.codec import encode
from agent.wire.custody import GENESIS, CustodyLine, line_hash
from agent.wire.manifest import (
    CUSTODY_FILE,
    MANIFEST_FILE,
    SHEET_FILE,
    FileEntry,
    Manifest,
    Priority,
    fragment_file,
)

DEVICE = "cam01"
SESSION = f"{DEVICE}-0123456789abcdef-000001-0001"


def clip_id(number: int) -> str:
    return f"{SESSION}-{number:04d}"


def put_clip(
    spool: Spool,
    number: int = 0,
    *,
    fragment_bytes: tuple[int, ...] = (100_000, 70_000),
    priority: Priority = "plain",
    shelf: Shelf = "outbox",
    seed: int = 1,
) -> bytes:
    """Put a clip of random bytes on `shelf`; the concatenation of its files is returned."""
    rng = random.Random(seed * 1000 + number)
    folder = spool.path(shelf, clip_id(number))
    folder.mkdir(parents=True)
    names = [SHEET_FILE, *(fragment_file(index) for index in range(len(fragment_bytes)))]
    files, whole = [], b""
    for name, size in zip(names, (5_000, *fragment_bytes), strict=True):
        content = rng.randbytes(size)
        atomic.write_file(folder / name, content)
        whole += content
        digest = hashlib.sha256(content).hexdigest()
        files.append(FileEntry(name=name, bytes=size, sha256=digest))
    manifest = Manifest(
        clip_id=clip_id(number),
        device_id=DEVICE,
        session_id=SESSION,
        start_pts_ns=number * 30_000_000_000,
        end_pts_ns=(number + 1) * 30_000_000_000,
        frames=900,
        fragments=len(fragment_bytes),
        priority=priority,
        files=tuple(files),
    )
    body = encode(manifest)
    atomic.write_file(folder / MANIFEST_FILE, body)
    signer, previous = Signer(Ed25519PrivateKey.generate()), GENESIS
    for n, kind in enumerate(("open", "close")):
        line = signer.sign(
            msgspec.json.encode(
                CustodyLine(
                    kind="open" if kind == "open" else "close",
                    n=n,
                    prev=previous,
                    clip_id=clip_id(number),
                    boot_counter=1,
                    mono_ns=n,
                    wall_ns=n,
                    clock_trust="trusted",
                )
            )
        )
        atomic.append_line(folder / CUSTODY_FILE, line.encode("ascii"))
        previous = line_hash(line)
    return whole
