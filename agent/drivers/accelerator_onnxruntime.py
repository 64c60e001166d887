"""ONNX Runtime: INT8 backbones on the CPU or on a provider of the board's own build."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from agent.errors import AcceleratorError
from agent.ports.accelerator import Accelerator, AcceleratorDescription, Tensor, device_shares
from agent.wire.model_manifest import Artifact, ModelManifest

CPU = "CPUExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"


class OnnxRuntimeAccelerator(Accelerator):
    """`providers` in order of preference, each with its `provider_options`; `threads` in one run.

    Each provider must run a part of the model. The CPU steps in for operations that another one
    does not take only when it is listed too; a provider that is missing or takes nothing is an
    error. With `allow_cpu` the CPU runs the model then, and the description says so. An option
    that the provider does not know is an error.

    TensorRT takes the artifact made for it (backend "tensorrt"). Spinning is off: a waiting thread
    would burn a core at 15 pictures/s.
    """

    def __init__(
        self,
        providers: Sequence[str] = (CPU,),
        threads: int = 1,
        *,
        provider_options: Mapping[str, Mapping[str, str]] | None = None,
        allow_cpu: bool = False,
    ) -> None:
        super().__init__()
        self.backend = "tensorrt" if TENSORRT in providers else "onnxruntime"
        self._providers = tuple(providers)
        self._provider_options = dict(provider_options or {})
        self._threads = threads
        self._allow_cpu = allow_cpu
        self._session: Any = None
        self._variant = self._input = self._device = self._instead_of = ""

    def _open(self, manifest: ModelManifest, artifact: Artifact, file: Path) -> None:
        self._instead_of = ""
        try:
            session = self._session_on(self._providers, file)
        except AcceleratorError:
            if not self._allow_cpu or self._providers == (CPU,):
                raise
            session = self._session_on((CPU,), file)
            self._instead_of = " + ".join(name for name in self._providers if name != CPU)
        else:
            self._refuse_unknown_options(session)
        _refuse_other_input(session, manifest, artifact)
        self._session = session
        self._device = device_shares(_shares(session))
        self._variant, self._input = artifact.variant, artifact.tensor.name

    def _session_on(self, providers: Sequence[str], file: Path) -> Any:
        available = onnxruntime.get_available_providers()
        missing = [name for name in providers if name not in available]
        if missing or not providers:
            raise AcceleratorError(
                f"ONNX Runtime has no {', '.join(missing) or 'provider to use'} on this machine",
                remedy=f"set tagger.providers to some of {', '.join(available)},"
                " or install the runtime of your board",
            )
        session = self._session_made(providers, file)
        serving = session.get_providers()
        dropped = [name for name in providers if name not in serving]
        if dropped:
            raise AcceleratorError(
                f"ONNX Runtime dropped {', '.join(dropped)} and would run on {', '.join(serving)}",
                remedy="run `sightline-agent doctor`; the device or its driver is not usable",
            )
        shares = _shares(session)
        idle = [name for name in providers if name not in shares and name != CPU]
        if idle:
            raise AcceleratorError(
                f"{', '.join(idle)} takes no operation of {file.name}:"
                f" it would run on {device_shares(shares)}",
                remedy="use a model made for it, or set tagger.allow_cpu = true",
            )
        return session

    def _session_made(self, providers: Sequence[str], file: Path) -> Any:
        options = self._provider_options
        try:
            return onnxruntime.InferenceSession(
                str(file),
                sess_options=self._session_options(providers),
                providers=[(name, dict(options.get(name, {}))) for name in providers],
                # Its own fallback would carry on with the CPU after a print.
                enable_fallback=0,
            )
        except Exception as exc:
            if tuple(providers) == (CPU,):
                raise
            raise AcceleratorError(
                f"{', '.join(providers)} cannot run {file.name} ({exc})",
                remedy="check its options, list the CPU after it for what it does not take, or set"
                " tagger.allow_cpu = true",
            ) from exc

    def _session_options(self, providers: Sequence[str]) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        if CPU not in providers:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        return options

    def _refuse_unknown_options(self, session: Any) -> None:
        """Some providers drop an option that they do not know without a word."""
        known = session.get_provider_options()
        for provider in self._providers:
            for option in self._provider_options.get(provider, {}):
                if option not in known.get(provider, {}):
                    offered = ", ".join(sorted(known.get(provider, {}))) or "none"
                    raise AcceleratorError(
                        f"{provider} has no option {option}",
                        remedy=f"mend tagger.provider_options; it has: {offered}",
                    )

    def _infer(self, tensor: Tensor) -> NDArray[np.float32]:
        output: NDArray[np.float32] = self._session.run(None, {self._input: tensor})[0]
        return output

    def _describe(self) -> AcceleratorDescription:
        return AcceleratorDescription(
            backend=self.backend,
            device=self._device,
            variant=self._variant,
            runtime=f"onnxruntime {onnxruntime.__version__}",
            instead_of=self._instead_of,
        )

    def _close(self) -> None:
        self._session = None


def _shares(session: Any) -> dict[str, int]:
    """Operations of the optimised model by the provider that runs them, as ONNX Runtime says."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        raise AcceleratorError(
            f"ONNX Runtime {onnxruntime.__version__} cannot say what runs a model",
            remedy="install the version of requirements/, or a later one",
        )
    counts: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    return dict(counts)


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
