"""TensorFlow Lite: full-integer backbones on the CPU (XNNPACK) or on a delegate of the board.

`tflite-runtime` where it exists (Python 3.11), `ai-edge-litert` otherwise: the same interpreter.
A delegate is a shared library that exports `tflite_plugin_create_delegate` and
`tflite_plugin_destroy_delegate`: Edge TPU (`libedgetpu.so.1`), VX (`libvx_delegate.so`), others.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import AcceleratorError
from agent.ports.accelerator import Accelerator, AcceleratorDescription, Tensor, device_shares
from agent.wire.model_manifest import Artifact, Backend, ModelManifest

try:
    from tflite_runtime import interpreter as tflite

    RUNTIME = "tflite-runtime"
except ImportError:
    from ai_edge_litert import interpreter as tflite

    RUNTIME = "ai-edge-litert"

CPU, XNNPACK = "CPU", "XNNPACK"
# Where the Edge TPU's own package puts itself for the loader to find.
EDGE_TPU = "libedgetpu.so.1"
_DELEGATE_NODE = "DELEGATE"
_SYMBOLS = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")
_SCALE_SLACK = 1e-6


class TfliteAccelerator(Accelerator):
    """`delegate`: a library's name or path, "" for the CPU; `delegate_options` go to it.

    `backend` is "tflite" or, for models compiled for that chip, "edgetpu". A delegate that cannot
    be loaded or takes no operation of the model is an error; with `allow_cpu` the CPU runs all
    then, and the description says so. What a delegate leaves over runs on the CPU, as described.
    """

    def __init__(
        self,
        *,
        backend: Backend = "tflite",
        delegate: str = "",
        delegate_options: Mapping[str, str] | None = None,
        threads: int = 1,
        allow_cpu: bool = False,
    ) -> None:
        super().__init__()
        self.backend = backend
        self._delegate = delegate
        self._options = dict(delegate_options or {})
        self._threads = threads
        self._allow_cpu = allow_cpu
        self._interpreter: Any = None
        self._input = self._output = 0
        self._device = self._variant = self._instead_of = ""

    def _open(self, manifest: ModelManifest, artifact: Artifact, file: Path) -> None:
        # The library would say only "Could not open".
        if not file.is_file():
            raise FileNotFoundError(f"no model file {file.name}")
        interpreter, shares = self._delegated(file)
        self._input = _refuse_other_input(interpreter, manifest, artifact)
        self._output = _refuse_other_output(interpreter, artifact)
        self._interpreter = interpreter
        self._device = device_shares(shares)
        idle = self._delegate and _name(self._delegate) not in shares
        self._instead_of = _name(self._delegate) if idle else ""
        self._variant = artifact.variant

    def _delegated(self, file: Path) -> tuple[Any, dict[str, int]]:
        """An interpreter ready to run, and how many operations run on what."""
        if not self._delegate:
            return self._started(file, [])
        try:
            delegates = [_load_delegate(self._delegate, self._options)]
            interpreter, shares = self._started(file, delegates)
        except AcceleratorError:
            if not self._allow_cpu:
                raise
            return self._started(file, [])
        if _name(self._delegate) not in shares and not self._allow_cpu:
            raise AcceleratorError(
                f"delegate {self._delegate} takes no operation of {file.name}:"
                f" it would run on {device_shares(shares)}",
                remedy="use a model made for it, or set tagger.allow_cpu = true",
            )
        return interpreter, shares

    def _started(self, file: Path, delegates: list[Any]) -> tuple[Any, dict[str, int]]:
        try:
            interpreter = tflite.Interpreter(
                model_path=str(file), experimental_delegates=delegates, num_threads=self._threads
            )
            asked = interpreter._get_ops_details()
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as exc:
            if not delegates:
                raise
            raise AcceleratorError(
                f"delegate {self._delegate} refuses {file.name} ({exc})",
                remedy="use a model made for it, or another delegate",
            ) from exc
        # The delegate asked for takes its operations at once, XNNPACK what it can of the rest when
        # the tensors are allocated; the operations that were replaced stay in the list.
        later = interpreter._get_ops_details()
        return interpreter, _shares(asked, later, _name(self._delegate))

    def _infer(self, tensor: Tensor) -> NDArray[np.float32]:
        self._interpreter.set_tensor(self._input, tensor)
        self._interpreter.invoke()
        output: NDArray[np.float32] = self._interpreter.get_tensor(self._output)
        return output

    def _describe(self) -> AcceleratorDescription:
        return AcceleratorDescription(
            backend=self.backend,
            device=self._device,
            variant=self._variant,
            runtime=f"{RUNTIME} {version(RUNTIME)}",
            instead_of=self._instead_of,
        )

    def _close(self) -> None:
        self._interpreter = None


def _name(delegate: str) -> str:
    return Path(delegate).name


def _load_delegate(library: str, options: Mapping[str, str]) -> Any:
    """Tried by hand first: the runtime's own loader leaves half an object behind when it fails."""
    try:
        found = ctypes.CDLL(library)
    except OSError as exc:
        raise AcceleratorError(
            f"delegate {library} cannot be loaded ({exc})",
            remedy="install the board's runtime, or mend tagger.delegate",
        ) from exc
    missing = [symbol for symbol in _SYMBOLS if not hasattr(found, symbol)]
    if missing:
        raise AcceleratorError(
            f"{library} is no TFLite delegate (it lacks {missing[0]})",
            remedy="mend tagger.delegate",
        )
    try:
        return tflite.load_delegate(library, dict(options))
    except (ValueError, RuntimeError) as exc:
        raise AcceleratorError(
            f"delegate {library} does not start ({exc})",
            remedy="check that the device is plugged in, and tagger.delegate_options",
        ) from exc


def _shares(
    asked: Sequence[Mapping[str, Any]], later: Sequence[Mapping[str, Any]], delegate: str
) -> dict[str, int]:
    """Operations of the model by what runs them, the delegate first; what runs none is left out."""
    plain = [op for op in later if op["op_name"] != _DELEGATE_NODE]
    kernels = [op for op in later if op["op_name"] == _DELEGATE_NODE]
    own = sum(op["op_name"] == _DELEGATE_NODE for op in asked)
    on_delegate = _inside(plain, kernels[:own])
    on_xnnpack = _inside(plain, kernels[own:]) - on_delegate
    counts = {delegate: len(on_delegate), XNNPACK: len(on_xnnpack)}
    counts[CPU] = len(plain) - sum(counts.values())
    return {name: count for name, count in counts.items() if count}


def _inside(plain: Sequence[Mapping[str, Any]], kernels: Sequence[Mapping[str, Any]]) -> set[int]:
    """Indices of the plain operations that the kernels replace: what leads from their inputs to
    their outputs."""
    maker = {int(tensor): op for op in plain for tensor in op["outputs"]}
    found: set[int] = set()
    for kernel in kernels:
        given = {int(tensor) for tensor in kernel["inputs"]}
        wanted = [int(tensor) for tensor in kernel["outputs"]]
        while wanted:
            tensor = wanted.pop()
            op = maker.get(tensor)
            if op is None or tensor in given or int(op["index"]) in found:
                continue
            found.add(int(op["index"]))
            wanted += [int(each) for each in op["inputs"]]
    return found


def _refuse_other_input(interpreter: Any, manifest: ModelManifest, artifact: Artifact) -> int:
    """The index of the input tensor, once it is what the manifest says."""
    tensor, picture = artifact.tensor, manifest.input
    sides = (picture.height, picture.width)
    shape = [1, *sides, 3] if tensor.layout == "NHWC" else [1, 3, *sides]
    inputs = interpreter.get_input_details()
    # A converter may know an input by one name in the signature and by another in the graph.
    signatures = interpreter.get_signature_list().values()
    named = [i["name"] for i in inputs] + [name for s in signatures for name in s["inputs"]]
    found = [
        (i["shape"].tolist(), np.dtype(i["dtype"]).name, *map(float, i["quantization"]))
        for i in inputs
    ]
    wanted = (shape, tensor.dtype, tensor.scale, float(tensor.zero_point))
    if (
        len(found) != 1
        or tensor.name not in named
        or found[0][:2] != wanted[:2]
        or abs(found[0][2] - wanted[2]) > _SCALE_SLACK
        or found[0][3] != wanted[3]
    ):
        raise AcceleratorError(
            f"{artifact.path} takes {named[0] if named else 'nothing'} {found},"
            f" its manifest says {tensor.name} {wanted}",
            remedy="install the bundle again as it was released",
        )
    return int(inputs[0]["index"])


def _refuse_other_output(interpreter: Any, artifact: Artifact) -> int:
    outputs = interpreter.get_output_details()
    if len(outputs) != 1 or outputs[0]["dtype"] != np.float32:
        kinds = ", ".join(np.dtype(output["dtype"]).name for output in outputs)
        raise AcceleratorError(
            f"{artifact.path} gives {kinds}, one float32 vector is needed",
            remedy="install a model made for this agent",
        )
    return int(outputs[0]["index"])
