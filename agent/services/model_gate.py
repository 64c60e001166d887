"""The gate: what a bundle must show on this very machine before it may become the active model.

It runs in a process of its own: a model that crashes its runtime, or eats all memory, costs that
process alone.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from agent.core.picture import LORES_BYTES, LORES_HEIGHT, LORES_WIDTH, Rect
from agent.errors import AgentError
from agent.ports.accelerator import Accelerator
from agent.services.tagger_model import TaggerModel, load_model
from agent.wire.gate_report import GateReport
from agent.wire.model_manifest import Budget, ModelManifest

FRAMES = 30
_WARM_UP = 3
_REASON_CHARS = 400


def resident_mib() -> float:
    """This process's resident memory (proc(5), statm)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def gate(
    folder: Path,
    accelerator: Accelerator,
    *,
    agent_version: str,
    board: str,
    wanted_backend: str,
    now_ns: Callable[[], int] = time.monotonic_ns,
    memory_mib: Callable[[], float] = resident_mib,
) -> GateReport:
    """Try the bundle in `folder` on `accelerator`. Never raises for a bundle's sake.

    Files and their hashes, agent version, golden vectors, that it really runs on `wanted_backend`,
    and the budget that the manifest states for `board`. Where it states none for this board, a
    frame must take less than the time between two frames, and memory is not judged.
    """
    before_mib = memory_mib()
    try:
        model = load_model(folder, accelerator, agent_version)
    except AgentError as exc:
        return GateReport(refused=str(exc)[:_REASON_CHARS])
    try:
        return _measured(model, board, wanted_backend, now_ns, memory_mib, before_mib)
    except (AgentError, ValueError) as exc:
        return GateReport(refused=str(exc)[:_REASON_CHARS])
    finally:
        model.close()


def latency_limit_ms(manifest: ModelManifest, board: str) -> float:
    """What one frame may take: the budget for `board`, else the time between two frames."""
    budget = _budget(manifest, board)
    return budget.latency_ms if budget else 1000.0 / manifest.input.frame_rate_hz


def _measured(
    model: TaggerModel,
    board: str,
    wanted_backend: str,
    now_ns: Callable[[], int],
    memory_mib: Callable[[], float],
    before_mib: float,
) -> GateReport:
    running, manifest = model.provenance, model.manifest
    budget = _budget(manifest, board)
    latency_ms = _latency_ms(model, now_ns)
    report = GateReport(
        accelerator=running.accelerator,
        golden_difference=model.golden_difference,
        latency_ms=latency_ms,
        latency_limit_ms=latency_limit_ms(manifest, board),
        resident_mib=max(0.0, memory_mib() - before_mib),
        resident_limit_mib=budget.resident_mib if budget else 0.0,
    )
    refused = ""
    if running.backend != wanted_backend:
        refused = f"runs on {running.backend} here, {wanted_backend} is configured"
    elif report.latency_ms > report.latency_limit_ms:
        refused = (
            f"takes {latency_ms:.1f} ms a frame here, {report.latency_limit_ms:.1f} ms is allowed"
        )
    elif report.resident_limit_mib and report.resident_mib > report.resident_limit_mib:
        refused = (
            f"takes {report.resident_mib:.0f} MiB here, {report.resident_limit_mib:.0f} MiB"
            " is allowed"
        )
    return GateReport(refused=refused) if refused else report


def _latency_ms(model: TaggerModel, now_ns: Callable[[], int]) -> float:
    """Median of FRAMES frames of noise, from lores picture to scores. Raises AcceleratorError."""
    noise = np.random.default_rng(1).integers(0, 256, LORES_BYTES, dtype=np.uint8).tobytes()
    whole = Rect(0, 0, LORES_WIDTH, LORES_HEIGHT)
    period_ns = round(1e9 / model.frame_rate_hz)
    took_ms = []
    for number in range(_WARM_UP + FRAMES):
        began_ns = now_ns()
        model.score(1 + number * period_ns, noise, LORES_WIDTH, LORES_HEIGHT, whole)
        took_ms.append((now_ns() - began_ns) / 1e6)
    return statistics.median(took_ms[_WARM_UP:])


def _budget(manifest: ModelManifest, board: str) -> Budget | None:
    return next((each for each in manifest.budget if each.board == board), None)
