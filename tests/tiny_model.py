"""A model bundle small enough to read: two labels, six features, a backbone file of plain text."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.wire import model_manifest as wire

FEATURES, WINDOW, HEIGHT, WIDTH = 6, 3, 32, 48
RATE_HZ, MAX_GAP_MS = 15.0, 200


def label(name: str, **changes: Any) -> wire.Label:
    """A label without smoothing or delays; `changes` override."""
    words: dict[str, Any] = {
        "id": name,
        "group": "test",
        "kind": "state",
        "threshold_on": 0.6,
        "threshold_off": 0.4,
        "smoothing_ms": 0,
        "min_on_ms": 0,
        "min_off_ms": 0,
        "cooldown_ms": 0,
        "temperature": 1.0,
    }
    return wire.Label(**(words | changes))


def head_arrays(gain: float = 40.0) -> dict[str, NDArray[np.float32]]:
    """Label 0 ("bright") is on when the mean feature is above 0.5, label 1 ("dark") when below."""
    sign = np.array([[1.0], [-1.0]], np.float32)
    return {
        "hidden_weight": np.zeros((4, WINDOW * FEATURES), np.float32),
        "hidden_bias": np.zeros(4, np.float32),
        "out_weight": np.zeros((2, 4), np.float32),
        "out_bias": (-0.5 * gain * sign[:, 0]).astype(np.float32),
        "direct_weight": np.repeat(sign * gain / FEATURES, FEATURES, axis=1).astype(np.float32),
    }


def write_bundle(folder: Path, **changes: Any) -> wire.ModelManifest:
    """Write the bundle into `folder`; `changes` replace fields of the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    np.savez(packed, **head_arrays())
    files = {
        "head.npz": packed.getvalue(),
        "card.md": b"# a tiny model\n",
        "backbone.onnx": b"not a model; only the fake takes it",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    listed: dict[str, dict[str, Any]] = {
        name: {"path": name, "sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)}
        for name, c in files.items()
    }
    artifact = wire.Artifact(
        backend="onnxruntime",
        variant="none",
        architecture="any",
        toolchain="none",
        toolchain_version="0",
        tensor=wire.InputTensor(
            name="picture", layout="NHWC", dtype="uint8", scale=1 / 255, zero_point=0
        ),
        **listed["backbone.onnx"],
    )
    words: dict[str, Any] = {
        "schema": 1,
        "name": "tiny",
        "version": 3,
        "semver": "0.3.0",
        "min_agent": "0.0.1",
        "created": "2024-01-01",
        "licence": "none",
        "card": wire.ListedFile(**listed["card.md"]),
        "input": wire.ModelInput(
            height=HEIGHT,
            width=WIDTH,
            colour="RGB",
            source="lores_i420",
            crop="centre",
            frame_rate_hz=RATE_HZ,
            max_gap_ms=MAX_GAP_MS,
        ),
        "backbone": wire.Backbone(features=FEATURES, artifacts=(artifact,)),
        "head": wire.Head(window=WINDOW, stride=1, **listed["head.npz"]),
        "labels": (label("bright"), label("dark")),
        "quantisation": wire.Quantisation(
            scheme="none",
            calibration_sha256="0" * 64,
            max_score_difference=0.0,
            decisions_changed=0.0,
        ),
    }
    manifest = wire.ModelManifest(**(words | changes))
    (folder / "manifest.json").write_bytes(wire.dump_manifest(manifest))
    return manifest
