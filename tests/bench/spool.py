"""A spool of 10,000 clips: how long the uplink needs to know it, and to choose the next clip."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import msgspec

from agent.services.uplink_outbox import Outbox
from agent.storage.spool import Spool
from agent.wire.codec import encode
from agent.wire.custody import GENESIS, CustodyLine
from agent.wire.ids import ClipName
from agent.wire.manifest import (
    CUSTODY_FILE,
    MANIFEST_FILE,
    SHEET_FILE,
    FileEntry,
    Manifest,
    Priority,
    fragment_file,
)

CLIPS = 10_000
FRAGMENTS = 30
CHOICES = 2_000
PRIORITIES: tuple[Priority, ...] = ("plain", "plain", "plain", "tagged", "rare", "marked")
THIN_BYTES_PER_S = 62_500.0


class SpoolFigures(msgspec.Struct, kw_only=True):
    """Seconds and milliseconds on this machine's disk and cache."""

    scan_s: float
    rescan_ms: float
    choose_ms: list[float]


def measure(folder: Path) -> SpoolFigures:
    """10,000 clips of 30 fragments in an outbox; their footage is not needed and not made."""
    spool = Spool(folder, fsync=lambda _descriptor: None)
    spool.prepare()
    for number in range(CLIPS):
        _put(spool, number)
    outbox = Outbox(Spool(folder), [], lambda _fault: None)
    began_s = time.perf_counter()
    while outbox.scan(0):
        pass
    scan_s = time.perf_counter() - began_s
    if outbox.clips != CLIPS:
        raise RuntimeError(f"{outbox.clips} of {CLIPS} clips were found")
    began_s = time.perf_counter()
    outbox.scan(0)
    rescan_ms = (time.perf_counter() - began_s) * 1e3
    return SpoolFigures(scan_s=scan_s, rescan_ms=rescan_ms, choose_ms=_choices_ms(outbox))


def report(figures: SpoolFigures) -> list[str]:
    """The figures as lines for a person, each with what it must reach."""
    chosen = figures.choose_ms
    return [
        f"a spool of {CLIPS} clips is known after {figures.scan_s:.2f} s (at most 2 s); a look at"
        f" it later takes {figures.rescan_ms:.0f} ms",
        f"choosing the next clip and reading what its Open needs: median"
        f" {statistics.median(chosen):.2f} ms, worst {max(chosen):.2f} ms (at most 5 ms)",
    ]


def missed(figures: SpoolFigures) -> list[str]:
    checks = {
        "spool scan": figures.scan_s <= 2.0,
        "choice of the next clip": statistics.median(figures.choose_ms) <= 5.0,
    }
    return [name for name, held in checks.items() if not held]


def _choices_ms(outbox: Outbox) -> list[float]:
    """Each choice with its manifest and custody lines read; every other one of words alone."""
    taken: list[str] = []
    took_ms = []
    for number in range(CHOICES):
        rate = THIN_BYTES_PER_S if number % 2 else 0.0
        began_s = time.perf_counter()
        job = outbox.next(requested=(), taken=taken, rate_bytes_per_s=rate)
        if job is None:
            raise RuntimeError("nothing to choose")
        outbox.load(job.clip.clip_id)
        took_ms.append((time.perf_counter() - began_s) * 1e3)
        if job.only_words:
            outbox.words_arrived(job.clip.clip_id)
        taken = [*taken, job.clip.clip_id][-6:]
    return took_ms


def _put(spool: Spool, number: int) -> None:
    name = ClipName(
        device_id="cam01", epoch="0" * 16, boot=1, session=1 + number // 1000, clip=number % 1000
    )
    digest = f"{number:064x}"
    names = [SHEET_FILE, *(fragment_file(index) for index in range(FRAGMENTS))]
    manifest = Manifest(
        clip_id=name.clip_id,
        device_id=name.device_id,
        session_id=name.session_id,
        start_pts_ns=number * 30_000_000_000,
        end_pts_ns=(number + 1) * 30_000_000_000,
        frames=900,
        fragments=FRAGMENTS,
        priority=PRIORITIES[number % len(PRIORITIES)],
        files=tuple(FileEntry(name=file, bytes=500_000, sha256=digest) for file in names),
    )
    line = CustodyLine(
        kind="fragment", n=number, prev=GENESIS, clip_id=name.clip_id, boot_counter=1, mono_ns=1,
        wall_ns=1, clock_trust="trusted", ct_sha256=digest, pt_sha256=digest,
    )  # fmt: skip
    folder = spool.path("outbox", name.clip_id)
    folder.mkdir(parents=True)
    (folder / MANIFEST_FILE).write_bytes(encode(manifest))
    # as long as signed ones: base64 of the line and of a signature
    signed = b"x" * (4 * len(encode(line)) // 3 + 150)
    (folder / CUSTODY_FILE).write_bytes((signed + b"\n") * (FRAGMENTS + 2))
