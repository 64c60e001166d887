"""A pretended accelerator: features are mean brightnesses, the same picture gives the same ones.

It takes a bundle's onnxruntime artifact without reading it, and never calls itself anything but
fake in what it describes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.ports.accelerator import Accelerator, AcceleratorDescription, Tensor
from agent.wire.model_manifest import Artifact, Backend, ModelManifest


class FakeAccelerator(Accelerator):
    """For tests and desks. `fail_with` set to a text makes the next pictures fail with it."""

    backend: Backend = "onnxruntime"

    def __init__(self) -> None:
        super().__init__()
        self.fail_with = ""
        self._features = 0

    def _open(self, manifest: ModelManifest, artifact: Artifact, file: Path) -> None:
        if not file.is_file():
            raise FileNotFoundError(f"no model file {file.name}")
        self._features = manifest.backbone.features

    def _infer(self, tensor: Tensor) -> NDArray[np.float32]:
        if self.fail_with:
            raise RuntimeError(self.fail_with)
        flat = tensor.view(np.uint8).reshape(-1)
        edges = np.linspace(0, flat.size, self._features + 1).astype(np.int64)[:-1]
        sizes = np.diff(np.append(edges, flat.size))
        means: NDArray[np.float64] = np.add.reduceat(flat, edges, dtype=np.int64) / sizes
        return (means / 255.0).astype(np.float32)

    def _describe(self) -> AcceleratorDescription:
        return AcceleratorDescription(backend="fake", device="fake", variant="none", runtime="none")

    def _close(self) -> None:
        self._features = 0
