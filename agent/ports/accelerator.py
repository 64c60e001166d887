"""The accelerator seam: one picture in, one feature vector out, on whatever chip runs the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.errors import AcceleratorError, AgentError
from agent.wire.model_manifest import Artifact, Backend, InputTensor, ModelManifest

Picture: TypeAlias = NDArray[np.uint8]
Tensor: TypeAlias = NDArray[np.uint8] | NDArray[np.int8]
Features: TypeAlias = NDArray[np.float32]
T = TypeVar("T")


class AcceleratorDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What really runs, as the runtime itself reports it: never what was asked for.

    `device`: provider, delegate or chip. `variant`: the artifact's. `runtime`: library and version.
    `instead_of`: what was asked for and does not run, where the settings allow the CPU instead.
    """

    backend: str
    device: str
    variant: str
    runtime: str
    instead_of: str = ""

    @property
    def line(self) -> str:
        """One line for the label sheet, the log and `doctor`."""
        instead = f" instead of {self.instead_of}" if self.instead_of else ""
        return f"{self.device}{instead} ({self.runtime}, {self.variant})"


def device_shares(operations: Mapping[str, int]) -> str:
    """What runs a model, from the operations that each device runs, as one text.

    "NPU" where it runs all, else "NPU 50/52 + CPU 2/52": a device that was asked for and does
    next to nothing shows in every place that names it.
    """
    if len(operations) == 1:
        return next(iter(operations))
    total = sum(operations.values())
    return " + ".join(f"{device} {count}/{total}" for device, count in operations.items())


class Accelerator(ABC):
    """Runs the backbone of one model. Stateless between pictures; used from one thread.

    - `open(manifest, artifact, file)` loads `file`, whose SHA-256 the caller has verified (some
      runtimes crash on a damaged model), for the `artifact` of `manifest` that names this driver's
      `backend`. It runs one black picture, so that a model that does not fit fails here. A second
      `open` replaces the first model. There is no silent fallback: a device that was asked for
      and is not used raises AcceleratorError.
    - `infer(picture)`: uint8 RGB [height, width, 3] of the manifest's size -> float32 [features],
      all finite; the array is the caller's. The same picture gives the same features.
    - `describe()` says what really runs.
    - `close()` is idempotent and frees the device; only `open` may follow.

    The public methods check and wrap: whatever a vendor library raises becomes AcceleratorError,
    its cause kept. A driver sets `backend` and implements the hooks `_open`, `_infer`,
    `_describe`, `_close`; `_infer` gets the picture in the artifact's layout and type already.
    """

    backend: Backend

    def __init__(self) -> None:
        self._shape: tuple[int, int, int] | None = None
        self._feature_count = 0
        self._tensor: Tensor | None = None
        self._layout = "NHWC"

    def open(self, manifest: ModelManifest, artifact: Artifact, file: Path) -> None:
        """Load the model. Raises AcceleratorError: wrong backend, device absent, model unfit."""
        self.close()
        if artifact.backend != self.backend:
            raise AcceleratorError(
                f"{file.name} is made for {artifact.backend}, this accelerator runs {self.backend}",
                remedy="choose the accelerator in tagger.accelerator that the model was made for",
            )
        height, width = manifest.input.height, manifest.input.width
        self._wrapped(f"cannot load {file.name}", lambda: self._open(manifest, artifact, file))
        self._shape = (height, width, 3)
        self._feature_count = manifest.backbone.features
        self._layout = artifact.tensor.layout
        self._tensor = _blank_tensor(artifact.tensor, height, width)
        try:
            self.infer(np.zeros(self._shape, np.uint8))
        except AgentError:
            self.close()
            raise

    def infer(self, picture: Picture) -> Features:
        """Features of one picture. Raises AcceleratorError: not open, wrong shape, run failed."""
        tensor = self._tensor
        if tensor is None:
            raise AcceleratorError("the accelerator has no model open")
        if picture.shape != self._shape or picture.dtype != np.uint8:
            raise AcceleratorError(
                f"picture is {picture.dtype} {picture.shape}, uint8 {self._shape} is needed"
            )
        self._fill(tensor, picture)
        raw = self._wrapped("cannot run the model", lambda: self._infer(tensor))
        features = np.array(raw, np.float32).reshape(-1)
        if features.size != self._feature_count:
            raise AcceleratorError(
                f"the model gave {features.size} features, its manifest says {self._feature_count}",
                remedy="install the bundle again as it was released",
            )
        if not np.isfinite(features).all():
            raise AcceleratorError("the model gave a feature that is not a finite number")
        return features

    def describe(self) -> AcceleratorDescription:
        """What really runs. Raises AcceleratorError when no model is open."""
        if self._tensor is None:
            raise AcceleratorError("the accelerator has no model open")
        return self._wrapped("cannot be described", self._describe)

    def close(self) -> None:
        """Free the model and the device. Idempotent."""
        was_open, self._tensor, self._shape = self._tensor is not None, None, None
        if was_open:
            self._wrapped("cannot be closed", self._close)

    def _fill(self, tensor: Tensor, picture: Picture) -> None:
        target = tensor.view(np.uint8)[0]
        target[...] = picture if self._layout == "NHWC" else picture.transpose(2, 0, 1)
        if tensor.dtype == np.int8:
            # int8 with zero point -128 is the byte with its highest bit turned.
            np.bitwise_xor(target, 0x80, out=target)

    def _wrapped(self, doing: str, hook: Callable[[], T]) -> T:
        try:
            return hook()
        except AgentError:
            raise
        except Exception as exc:
            raise AcceleratorError(f"accelerator {self.backend}: {doing} ({exc})") from exc

    @abstractmethod
    def _open(self, manifest: ModelManifest, artifact: Artifact, file: Path) -> None: ...

    @abstractmethod
    def _infer(self, tensor: Tensor) -> NDArray[np.float32]:
        """`tensor`: [1, ...] in the artifact's layout and dtype; reused by the next call."""

    @abstractmethod
    def _describe(self) -> AcceleratorDescription: ...

    @abstractmethod
    def _close(self) -> None: ...


def _blank_tensor(tensor: InputTensor, height: int, width: int) -> Tensor:
    shape = (1, height, width, 3) if tensor.layout == "NHWC" else (1, 3, height, width)
    if tensor.dtype == "uint8":
        return np.zeros(shape, np.uint8)
    return np.zeros(shape, np.int8)
