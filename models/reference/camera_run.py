"""A bundle run as a camera runs it: the tagger's own model object, picture by picture.

Nothing of the agent is imitated here: hashes, golden vectors, picture preparation, accelerator
driver, temporal head, smoothing and hysteresis are those of `agent.services.tagger_model`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agent import __version__
from agent.core.picture import LORES_HEIGHT, LORES_WIDTH, Rect
from agent.core.tagging import Span
from agent.errors import ModelError
from agent.ports.accelerator import Accelerator
from agent.services.tagger_model import TaggerModel, load_model
from agent.wire.model_manifest import MAX_MANIFEST_BYTES, ModelManifest, load_manifest

Runtime = Literal["onnxruntime", "tflite"]
MODELS = Path(__file__).resolve().parents[1]
MANIFEST_FILE = "manifest.json"


def newest_bundle() -> Path:
    """The shipped bundle to use where none is named: the newest version of the newest model.

    Raises ModelError when none is there.
    """
    found = [read_manifest(file.parent) for file in sorted(MODELS.glob(f"*/*/{MANIFEST_FILE}"))]
    folders = [file.parent for file in sorted(MODELS.glob(f"*/*/{MANIFEST_FILE}"))]
    if not found:
        raise ModelError(f"no bundle in {MODELS}", remedy="name one with --bundle")
    ranked = zip(found, folders, strict=True)
    best = max(ranked, key=lambda pair: _numbers(pair[0]))
    return best[1]


def _numbers(manifest: ModelManifest) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", manifest.semver)[:3])


def read_manifest(folder: Path) -> ModelManifest:
    """Raises ModelError: no manifest there, or not one."""
    try:
        payload = (folder / MANIFEST_FILE).read_bytes()
    except OSError as exc:
        raise ModelError(
            f"no model bundle in {folder} ({exc.strerror})", remedy="name one with --bundle"
        ) from exc
    return load_manifest(payload[: MAX_MANIFEST_BYTES + 1])


def open_model(bundle: Path, runtime: Runtime) -> TaggerModel:
    """The verified bundle on `runtime`, golden vectors tried.

    Raises ModelError or AcceleratorError.
    """
    return load_model(bundle, _accelerator(runtime), __version__)


def _accelerator(runtime: Runtime) -> Accelerator:
    if runtime == "tflite":
        from agent.drivers.accelerator_tflite import TfliteAccelerator

        return TfliteAccelerator()
    from agent.drivers.accelerator_onnxruntime import OnnxRuntimeAccelerator

    return OnnxRuntimeAccelerator()


def tag_frames(
    model: TaggerModel, frames: Iterable[Any], pts_ns: Iterable[int], active: Rect
) -> tuple[NDArray[np.float32], list[Span], list[float]]:
    """Scores float32 [n, labels], tags, and ms spent a picture, from a fresh start.

    `frames`: I420 of 640x360, `active` where the picture lies in them.
    """
    model.restart()
    scores, spans, spent_ms = [], list[Span](), []
    last_ns = 0
    for frame, pts in zip(frames, pts_ns, strict=True):
        began_s = time.perf_counter()
        scored = model.score(pts, frame, LORES_WIDTH, LORES_HEIGHT, active)
        spent_ms.append((time.perf_counter() - began_s) * 1e3)
        scores.append(scored.scores)
        spans += [change for change in scored.changes if isinstance(change, Span)]
        last_ns = pts
    spans += model.finish(last_ns + 10**9)
    return np.array(scores, np.float32), spans, spent_ms
