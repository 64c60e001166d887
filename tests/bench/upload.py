"""Upload over TLS on loopback to the stored receipt, beside bare paho in the same run."""

from __future__ import annotations

import statistics
from pathlib import Path

import msgspec

from tests.bench import raw_tls, synced_disk
from tests.bench.bare_paho import Moved
from tests.bench.upload_site import Upload, UploadSite

CLIPS = 32
ROUNDS = 3
LEAST_RATIO = 0.7


class UploadFigures(msgspec.Struct, kw_only=True):
    """One value a round; MB is 10^6 bytes. `bare`: paho -> Mosquitto -> paho as it comes, before
    and after ours, the same bytes; `tuned`: with the same allocator settings as ours."""

    ours: list[Upload]
    bare: list[tuple[Moved, Moved]]
    tuned: list[Moved]
    raw_tls_mb_s: list[float]
    disk_mb_s: list[float]

    @property
    def ratios(self) -> list[float]:
        """Ours over bare paho, round by round."""
        return [
            mine.rate_mb_s / statistics.mean(each.rate_mb_s for each in both)
            for mine, both in zip(self.ours, self.bare, strict=True)
        ]

    @property
    def tuned_ratios(self) -> list[float]:
        return [a.rate_mb_s / b.rate_mb_s for a, b in zip(self.ours, self.tuned, strict=True)]


def measure(folder: Path) -> UploadFigures:
    """ROUNDS rounds, each with a new broker, store and card."""
    figures = UploadFigures(ours=[], bare=[], tuned=[], raw_tls_mb_s=[], disk_mb_s=[])
    for number in range(ROUNDS):
        site = UploadSite(folder / f"round{number}", cameras=1, collectors=1, clips=CLIPS)
        with site.broker:
            before = site.bare()
            figures.ours.append(site.upload())
            figures.bare.append((before, site.bare()))
            figures.tuned.append(site.bare(tuned=True))
        figures.raw_tls_mb_s.append(raw_tls.measure(site.fleet.ca_file, site.fleet.broker))
        figures.disk_mb_s.append(synced_disk.measure(folder))
    return figures


def report(figures: UploadFigures) -> list[str]:
    """The figures as lines for a person, each with what it must reach."""
    bare = [moved.rate_mb_s for both in figures.bare for moved in both]
    ours = [upload.rate_mb_s for upload in figures.ours]
    raw = statistics.median(figures.raw_tls_mb_s)
    disk = statistics.median(figures.disk_mb_s)
    lost = sum(moved.lost for both in figures.bare for moved in both)
    lost += sum(moved.lost for moved in figures.tuned)
    return [
        f"upload of {CLIPS} clips, {figures.ours[0].total_mb:.0f} MB, over TLS to the stored "
        f"receipt: median {statistics.median(ours):.0f} MB/s ({_range(ours)})",
        f"bare paho as it comes, QoS 1, window 16, the same bytes: median "
        f"{statistics.median(bare):.0f} MB/s ({_range(bare)}); {lost} messages lost",
        f"ratio to bare paho: median {statistics.median(figures.ratios):.2f} "
        f"({min(figures.ratios):.2f} to {max(figures.ratios):.2f}; must be at least "
        f"{LEAST_RATIO:.2f}); to bare paho with our allocator setting "
        f"{statistics.median(figures.tuned_ratios):.2f}",
        f"ratio to a raw TLS socket ({raw:.0f} MB/s): {statistics.median(ours) / raw:.2f}",
        "processor time of a megabyte: " + _processor(figures.ours),
        f"disk: {disk:.0f} MB/s synced each MiB; a megabyte is written twice, sealed and opened",
    ]


def _processor(uploads: list[Upload]) -> str:
    medians = {
        who: statistics.median(upload.cpu_ms_per_mb[who] for upload in uploads)
        for who in uploads[0].cpu_ms_per_mb
    }
    parts = ", ".join(f"{who} {ms:.1f}" for who, ms in medians.items())
    return f"{parts}, together {sum(medians.values()):.1f} ms"


def _range(values: list[float]) -> str:
    return f"{min(values):.0f} to {max(values):.0f}"
