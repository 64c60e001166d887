"""The gate: the shipped model passes on the real runtime; what does not fit is told in figures."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest

from agent.drivers.accelerator_fake import FakeAccelerator
from agent.drivers.accelerator_onnxruntime import OnnxRuntimeAccelerator
from agent.ports.accelerator import Accelerator
from agent.services.model_gate import gate
from agent.wire.gate_report import GateReport
from agent.wire.model_manifest import Budget, dump_manifest, load_manifest
from tests.model_bundles import change_golden, golden_arrays, write_shipped

MS = 1_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shipped(tmp_path / "bundle")
    return tmp_path / "bundle"


def tried(
    folder: Path,
    accelerator: Accelerator | None = None,
    *,
    took_ms: int = 2,
    memory_mib: tuple[float, float] = (50.0, 62.0),
    board: str = "",
) -> GateReport:
    """The gate on a clock and a memory that the test gives."""
    memory = iter(memory_mib)
    return gate(
        folder,
        accelerator or OnnxRuntimeAccelerator(),
        agent_version="0.1.0",
        board=board,
        wanted_backend="onnxruntime",
        now_ns=itertools.count(0, took_ms * MS).__next__,
        memory_mib=lambda: next(memory),
    )


def with_budget(folder: Path, latency_ms: float, resident_mib: float) -> None:
    manifest = load_manifest((folder / "manifest.json").read_bytes())
    budget = Budget(board="bench", latency_ms=latency_ms, resident_mib=resident_mib)
    manifest = msgspec.structs.replace(manifest, budget=(budget,))
    (folder / "manifest.json").write_bytes(dump_manifest(manifest))


def test_a_sound_model_passes_and_its_figures_are_told(folder: Path) -> None:
    with_budget(folder, 5.0, 30.0)
    report = tried(folder, board="bench")
    assert report.line == "passed: golden scores within 0.0000, 2.00 of 5.0 ms, 12 MiB of 30"


def test_a_board_without_a_budget_is_held_to_the_frame_rate(folder: Path) -> None:
    assert tried(folder, took_ms=60).refused == ""
    assert tried(folder, took_ms=70).refused == "takes 70.0 ms a frame here, 66.7 ms is allowed"


@pytest.mark.parametrize(
    ("took_ms", "after_mib", "why"),
    [
        (6, 62.0, "takes 6.0 ms a frame here, 5.0 ms is allowed"),
        (2, 81.0, "takes 31 MiB here, 30 MiB is allowed"),
    ],
)
def test_a_broken_budget_is_told_with_both_figures(
    folder: Path, took_ms: int, after_mib: float, why: str
) -> None:
    with_budget(folder, 5.0, 30.0)
    report = tried(folder, took_ms=took_ms, memory_mib=(50.0, after_mib), board="bench")
    assert report.refused == why


def test_what_runs_elsewhere_than_configured_is_refused(folder: Path) -> None:
    report = tried(folder, FakeAccelerator())
    assert report.refused == "runs on fake here, onnxruntime is configured"


def test_wrong_scores_on_the_golden_pictures_are_refused(folder: Path) -> None:
    change_golden(folder, scores=1.0 - golden_arrays(folder)["scores"])
    assert "does not give its golden scores" in tried(folder).refused


def test_labels_that_the_head_does_not_have_are_refused(folder: Path) -> None:
    manifest = load_manifest((folder / "manifest.json").read_bytes())
    fewer = msgspec.structs.replace(manifest, labels=manifest.labels[:-1], metrics=())
    (folder / "manifest.json").write_bytes(dump_manifest(fewer))
    assert "out_weight has shape" in tried(folder).refused


def test_a_provider_that_is_not_there_is_refused_not_replaced(folder: Path) -> None:
    missing = OnnxRuntimeAccelerator(["CUDAExecutionProvider"])
    assert "CUDAExecutionProvider" in tried(folder, missing).refused
