"""Uploads at once: cameras to collectors, beside as many bare publishers and subscribers."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.bench.bare_paho import Moved
from tests.bench.upload_site import Upload, UploadSite

TOTAL_CLIPS = 20
CASES = ((1, 1), (1, 2), (20, 1), (20, 2))


class Case(msgspec.Struct, frozen=True, kw_only=True):
    cameras: int
    collectors: int
    ours: Upload
    bare: Moved


def measure(folder: Path) -> list[Case]:
    """Each case once, TOTAL_CLIPS clips in it."""
    found = []
    for cameras, collectors in CASES:
        site = UploadSite(
            folder / f"{cameras}-{collectors}",
            cameras=cameras,
            collectors=collectors,
            clips=TOTAL_CLIPS // cameras,
        )
        with site.broker:
            bare = site.bare()
            ours = site.upload()
        found.append(Case(cameras=cameras, collectors=collectors, ours=ours, bare=bare))
    return found


def report(cases: list[Case]) -> list[str]:
    lines = []
    for case in cases:
        ours, bare = case.ours.rate_mb_s, case.bare.rate_mb_s
        lost = f", of which it lost {case.bare.lost}" if case.bare.lost else ""
        lines.append(
            f"{case.cameras} cameras, {case.collectors} collectors, {case.ours.total_mb:.0f} MB: "
            f"{ours:.0f} MB/s; bare paho {bare:.0f} MB/s with {case.bare.messages} messages{lost}; "
            f"ratio {ours / bare:.2f}"
        )
    return lines
