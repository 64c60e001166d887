"""A bundle run as a camera runs it: the agent's driver and head. Needs no training library."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.core.temporal_head import TemporalHead
from agent.drivers.accelerator_onnxruntime import OnnxRuntimeAccelerator
from agent.errors import ModelError
from agent.wire.model_manifest import ModelManifest

MANIFEST_FILE = "manifest.json"


class Scorer:
    """Backbone (through the agent's driver) and head (the agent's) of a bundle's folder."""

    def __init__(self, folder: Path, manifest: ModelManifest) -> None:
        artifact = manifest.artifact_for("onnxruntime")
        for part in (artifact, manifest.head):
            if listed(folder / part.path)["sha256"] != part.sha256:
                raise ModelError(f"{folder / part.path} is not the file of its manifest")
        self.accelerator = OnnxRuntimeAccelerator()
        self.accelerator.open(manifest, artifact, folder / artifact.path)
        with np.load(folder / manifest.head.path, allow_pickle=False) as arrays:
            self.head = head_of(manifest, dict(arrays))

    def scores(self, pictures: NDArray[np.uint8], pts_ns: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 [n, labels] of uint8 [n, height, width, 3], from a fresh start."""
        self.head.reset()
        pairs = zip(pictures, pts_ns, strict=True)
        return np.stack([self.head.push(int(t), self.accelerator.infer(p)) for p, t in pairs])

    def close(self) -> None:
        self.accelerator.close()


def head_of(manifest: ModelManifest, weights: Mapping[str, NDArray[Any]]) -> TemporalHead:
    """The agent's head as the manifest says."""
    return TemporalHead(
        weights,
        features=manifest.backbone.features,
        window=manifest.head.window,
        stride=manifest.head.stride,
        temperatures=[label.temperature for label in manifest.labels],
        max_gap_ns=manifest.input.max_gap_ms * 1_000_000,
    )


def listed(file: Path) -> dict[str, Any]:
    """path, sha256 and bytes of `file`, as a manifest lists them."""
    content = file.read_bytes()
    return {
        "path": file.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
