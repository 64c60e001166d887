"""Measures and prints; exits 1 when a figure misses what it must reach. Nothing else may run."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import get_args

from models.reference.camera_run import Runtime, newest_bundle, read_manifest
from tests.bench import (
    broker_kills,
    cameras,
    cards,
    recording,
    sealing,
    spool,
    tagging,
    upload,
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "part",
        nargs="?",
        choices=("recording", "tagging", "upload", "cameras", "kills", "sealing", "spool", "cards"),
        help="only this part",
    )
    part = parser.parse_args().part
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    missed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        if part in (None, "recording"):
            figures = recording.measure(Path(folder) / "recording")
            print("\n".join(["", "Recording", *recording.report(figures)]), flush=True)
            missed += _missed_recording(figures)
        if part in (None, "tagging"):
            missed += _tagging(Path(folder) / "tagging")
        if part in (None, "upload"):
            rates = upload.measure(Path(folder) / "upload")
            print("\n".join(["", "Upload", *upload.report(rates)]), flush=True)
            if statistics.median(rates.ratios) < upload.LEAST_RATIO:
                missed.append("upload ratio")
        if part in (None, "cameras"):
            cases = cameras.measure(Path(folder) / "cameras")
            print("\n".join(["", "Cameras at once", *cameras.report(cases)]), flush=True)
        if part in (None, "kills"):
            kills = broker_kills.measure(Path(folder) / "kills")
            print("\n".join(["", "Broker killed", *broker_kills.report(kills)]), flush=True)
            if kills.per_kill_bytes > kills.window_bytes:
                missed.append("bytes sent again")
        if part in (None, "sealing"):
            print("\n".join(["", "Sealing", *sealing.report(sealing.measure())]), flush=True)
        if part in (None, "spool"):
            shelf = spool.measure(Path(folder) / "spool")
            print("\n".join(["", "Spool", *spool.report(shelf)]), flush=True)
            missed += spool.missed(shelf)
        if part in (None, "cards"):
            seen = cards.measure(Path(folder) / "cards")
            print("\n".join(["", "Scenario cards", *cards.report(seen)]), flush=True)
            missed += cards.missed(seen)
    print(f"\nmissed: {', '.join(missed)}" if missed else "\nall figures reach what they must")
    return 1 if missed else 0


def _tagging(folder: Path) -> list[str]:
    """Prints the tagger's figures on every runtime that the newest bundle has a file for."""
    print("\nTagging")
    bundle, missed = newest_bundle(), list[str]()
    held = {artifact.backend for artifact in read_manifest(bundle).backbone.artifacts}
    for runtime in get_args(Runtime):
        if runtime not in held:
            print(f"{runtime}: not measured, {bundle.parent.name} has no file for it")
            continue
        figures = tagging.measure(folder / runtime, bundle, runtime)
        print("\n".join(tagging.report(figures)), flush=True)
        missed += tagging.missed(figures)
    return missed


def _missed_recording(figures: recording.RecordingFigures) -> list[str]:
    limits_mb = {"recorder": 150, "tagger": 120, "uplink": 60}
    checks = {
        "acknowledgement": max(figures.ack_ms) < 50,
        "first fragment": max(figures.first_fragment_ms) < 1500,
        "frames": figures.missing == 0 and figures.frames_in == figures.frames_in_mp4,
        "memory together": figures.pss_together_mb < 300,
    } | {f"memory of {name}": figures.pss_mb[name] < limit for name, limit in limits_mb.items()}
    return [name for name, held in checks.items() if not held]


if __name__ == "__main__":
    sys.exit(main())
