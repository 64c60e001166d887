"""What a training says of itself, for the card."""

from __future__ import annotations

from pathlib import Path

import msgspec


class TrainingReport(msgspec.Struct, frozen=True, kw_only=True):
    """One network's training, whole. `cpu_min`: process time over all resumed runs."""

    clips: int
    pictures: int
    steps: int
    pictures_a_step: int
    cpu_min: float
    device: str
    resumed_with_more: bool


def read_report(work: Path, name: str) -> TrainingReport | None:
    """The report of the network `name` in `work`; None when there is none."""
    file = work / f"{name}.json"
    if not file.is_file():
        return None
    return msgspec.json.decode(file.read_bytes(), type=TrainingReport)


def write_report(work: Path, name: str, report: TrainingReport) -> None:
    """Replace it."""
    (work / f"{name}.json").write_bytes(msgspec.json.encode(report) + b"\n")
