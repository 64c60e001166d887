"""What holds for ONNX Runtime alone: providers that are missing or idle, options, wrong files."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent.drivers.accelerator_onnxruntime import CPU, OnnxRuntimeAccelerator
from agent.errors import AcceleratorError
from agent.ports.accelerator import AcceleratorDescription
from agent.storage.model_slots import Bundle, open_bundle

BUNDLE = Path(__file__).parents[2] / "models" / "sightline-reference" / "1"
# In every build of the library, and it takes operations of one domain alone, which no model of
# ours has: a real provider that does nothing.
IDLE = "AzureExecutionProvider"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(BUNDLE)


def opened(bundle: Bundle, accelerator: OnnxRuntimeAccelerator) -> AcceleratorDescription:
    """What it says that it runs on."""
    artifact = bundle.manifest.artifact_for("onnxruntime")
    accelerator.open(bundle.manifest, artifact, bundle.artifact_file(artifact))
    found = accelerator.describe()
    accelerator.close()
    return found


def test_onnxruntime_gives_the_features_behind_the_golden_scores(bundle: Bundle) -> None:
    from agent.services.tagger_model import load_model

    model = load_model(bundle.folder, OnnxRuntimeAccelerator(), "99.0.0")
    model.check_golden(bundle)
    assert model.provenance.accelerator.startswith(CPU)
    model.close()


def test_onnxruntime_without_the_asked_provider_fails_instead_of_using_the_cpu(
    bundle: Bundle,
) -> None:
    accelerator = OnnxRuntimeAccelerator(providers=("CUDAExecutionProvider",))
    artifact = bundle.manifest.artifact_for("onnxruntime")
    with pytest.raises(AcceleratorError, match="no CUDAExecutionProvider on this machine"):
        accelerator.open(bundle.manifest, artifact, bundle.artifact_file(artifact))


def test_onnxruntime_refuses_a_file_that_is_no_model(bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "noise.onnx"
    file.write_bytes(b"noise" * 100)
    with pytest.raises(AcceleratorError, match=r"cannot load noise\.onnx"):
        OnnxRuntimeAccelerator().open(
            bundle.manifest, bundle.manifest.artifact_for("onnxruntime"), file
        )


def test_onnxruntime_refuses_a_model_whose_input_is_not_the_manifests(bundle: Bundle) -> None:
    artifact = bundle.manifest.artifact_for("onnxruntime")
    tensor = msgspec.structs.replace(artifact.tensor, layout="NHWC")
    other = msgspec.structs.replace(artifact, tensor=tensor)
    with pytest.raises(AcceleratorError, match="its manifest says"):
        OnnxRuntimeAccelerator().open(bundle.manifest, other, bundle.artifact_file(artifact))


@pytest.mark.parametrize("providers", [(IDLE, CPU), (IDLE,)])
def test_a_provider_that_takes_no_operation_is_an_error(
    bundle: Bundle, providers: tuple[str, ...]
) -> None:
    with pytest.raises(AcceleratorError, match=f"{IDLE} (takes no operation|cannot run)"):
        opened(bundle, OnnxRuntimeAccelerator(providers))


@pytest.mark.parametrize("asked", [(IDLE, CPU), (IDLE,), ("CUDAExecutionProvider",)])
def test_where_the_cpu_is_allowed_it_runs_and_the_description_says_instead_of_what(
    bundle: Bundle, asked: tuple[str, ...]
) -> None:
    found = opened(bundle, OnnxRuntimeAccelerator(asked, allow_cpu=True))
    assert (found.device, found.instead_of) == (CPU, asked[0])
    assert found.line.startswith(f"{CPU} instead of {asked[0]} (onnxruntime ")


@pytest.mark.parametrize("allow_cpu", [False, True])
def test_an_option_that_the_provider_does_not_know_is_an_error(
    bundle: Bundle, allow_cpu: bool
) -> None:
    options = {CPU: {"use_fairies": "1"}}
    accelerator = OnnxRuntimeAccelerator(provider_options=options, allow_cpu=allow_cpu)
    with pytest.raises(AcceleratorError, match=f"{CPU} has no option use_fairies"):
        opened(bundle, accelerator)


def test_tensorrt_wants_the_artifact_that_was_made_for_it() -> None:
    assert OnnxRuntimeAccelerator(("TensorrtExecutionProvider",)).backend == "tensorrt"
    assert OnnxRuntimeAccelerator(("CUDAExecutionProvider",)).backend == "onnxruntime"
