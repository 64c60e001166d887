"""ONNX Runtime: INT8 backbones on the CPU or on a provider of the board's own build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from agent.errors import AcceleratorError
from agent.ports.accelerator import Accelerator, AcceleratorDescription, Tensor
from agent.wire.model_manifest import Artifact, Backend, ModelManifest

CPU = "CPUExecutionProvider"


class OnnxRuntimeAccelerator(Accelerator):
    """`providers` in order of preference, all of which must really serve; `threads` within one run.

    Spinning is off (a waiting thread would burn a core at 15 pictures/s). When a provider other
    than the CPU is asked for, the CPU may not step in for it: opening fails instead.
    """

    backend: Backend = "onnxruntime"

    def __init__(self, providers: Sequence[str] = (CPU,), threads: int = 1) -> None:
        super().__init__()
        self._providers = tuple(providers)
        self._threads = threads
        self._session: Any = None
        self._variant = ""
        self._input = ""

    def _open(self, manifest: ModelManifest, artifact: Artifact, file: Path) -> None:
        available = onnxruntime.get_available_providers()
        missing = [name for name in self._providers if name not in available]
        if missing or not self._providers:
            raise AcceleratorError(
                f"ONNX Runtime has no {', '.join(missing) or 'provider to use'} on this machine",
                remedy=f"set tagger.providers to some of {', '.join(available)},"
                " or install the runtime of your board",
            )
        session = onnxruntime.InferenceSession(
            str(file), sess_options=self._options(), providers=list(self._providers)
        )
        serving = session.get_providers()
        idle = [name for name in self._providers if name not in serving]
        if idle:
            raise AcceleratorError(
                f"ONNX Runtime dropped {', '.join(idle)} and would run on {', '.join(serving)}",
                remedy="run `sightline-agent doctor`; the device or its driver is not usable",
            )
        _refuse_other_input(session, manifest, artifact)
        self._session = session
        self._variant, self._input = artifact.variant, artifact.tensor.name

    def _options(self) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if CPU not in self._providers:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        return options

    def _infer(self, tensor: Tensor) -> NDArray[np.float32]:
        output: NDArray[np.float32] = self._session.run(None, {self._input: tensor})[0]
        return output

    def _describe(self) -> AcceleratorDescription:
        return AcceleratorDescription(
            backend=self.backend,
            device="+".join(self._session.get_providers()),
            variant=self._variant,
            runtime=f"onnxruntime {onnxruntime.__version__}",
        )

    def _close(self) -> None:
        self._session = None


def _refuse_other_input(session: Any, manifest: ModelManifest, artifact: Artifact) -> None:
    tensor, picture = artifact.tensor, manifest.input
    inputs = session.get_inputs()
    planes = (
        [1, picture.height, picture.width, 3]
        if tensor.layout == "NHWC"
        else [1, 3, picture.height, picture.width]
    )
    found = [(i.name, list(i.shape), i.type) for i in inputs]
    if found != [(tensor.name, planes, f"tensor({tensor.dtype})")]:
        raise AcceleratorError(
            f"{artifact.path} takes {found}, its manifest says"
            f" {tensor.name} {planes} {tensor.dtype}",
            remedy="install the bundle again as it was released",
        )
