"""What sealing a megabyte costs, beside the hashes that are in it."""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from collections.abc import Callable

import msgspec
import pyrage

from agent.crypto.seal import Sealer

FRAGMENT_BYTES = 500_000
FRAGMENTS = 40


class SealingFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Medians over fragments, of one thread; MB is 10^6 bytes of plain footage."""

    seal_ms_per_mb: float
    hash_ms_per_mb: float


def measure() -> SealingFigures:
    """FRAGMENTS fragments of random bytes, sealed as the recorder does."""
    fragments = [os.urandom(FRAGMENT_BYTES) for _ in range(FRAGMENTS)]
    sealer = Sealer([pyrage.x25519.Identity.generate().to_public()])
    return SealingFigures(
        seal_ms_per_mb=_ms_per_mb(sealer.seal, fragments),
        hash_ms_per_mb=_ms_per_mb(lambda plain: hashlib.sha256(plain).digest(), fragments),
    )


def report(figures: SealingFigures) -> list[str]:
    return [
        f"sealing with both hashes: {figures.seal_ms_per_mb:.2f} ms a megabyte, "
        f"{figures.seal_ms_per_mb / figures.hash_ms_per_mb:.1f} times one SHA-256 "
        f"({figures.hash_ms_per_mb:.2f} ms)"
    ]


def _ms_per_mb(work: Callable[[bytes], object], fragments: list[bytes]) -> float:
    times_s = []
    for fragment in fragments:
        start_s = time.perf_counter()
        work(fragment)
        times_s.append(time.perf_counter() - start_s)
    return statistics.median(times_s) * 1e3 / (FRAGMENT_BYTES / 1e6)
