"""What holds for TFLite alone: exact numbers, delegates that load, refuse or do nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest

from agent.drivers.accelerator_tflite import CPU, TfliteAccelerator
from agent.errors import AcceleratorError, ModelError
from agent.services.tagger_model import load_model
from agent.storage.model_slots import Bundle, open_bundle
from agent.wire.model_manifest import InputTensor
from tests import tiny_model, tiny_tflite

SOURCE = Path(__file__).parents[1] / "tflite_delegate.c"
OPERATIONS = 4


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_tflite.write_bundle(folder)
    return open_bundle(folder)


@pytest.fixture(scope="module")
def delegate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A real external delegate, compiled now: it runs the model's RESHAPE."""
    library = tmp_path_factory.mktemp("delegate") / "libtest_delegate.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    return str(library)


def opened(bundle: Bundle, accelerator: TfliteAccelerator) -> TfliteAccelerator:
    artifact = bundle.manifest.artifact_for("tflite")
    accelerator.open(bundle.manifest, artifact, bundle.artifact_file(artifact))
    return accelerator


def test_features_are_those_of_the_network_computed_by_hand(bundle: Bundle) -> None:
    accelerator = opened(bundle, TfliteAccelerator())
    shape = (tiny_model.HEIGHT, tiny_model.WIDTH, 3)
    for seed in range(5):
        picture = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8) // (seed + 1)
        expected = tiny_tflite.expected(picture, tiny_model.FEATURES)
        assert np.abs(accelerator.infer(picture) - expected).max() < 0.03


def test_without_a_delegate_all_operations_are_accounted_to_the_cpu(bundle: Bundle) -> None:
    device = opened(bundle, TfliteAccelerator()).describe().device
    assert device == CPU or device.startswith("XNNPACK")


def test_a_delegate_runs_what_it_takes_and_the_description_counts_it(
    bundle: Bundle, delegate: str
) -> None:
    plain = opened(bundle, TfliteAccelerator())
    accelerator = opened(bundle, TfliteAccelerator(delegate=delegate))
    found = accelerator.describe()
    assert found.device.startswith(f"libtest_delegate.so 1/{OPERATIONS} + ")
    picture = np.full((tiny_model.HEIGHT, tiny_model.WIDTH, 3), 90, np.uint8)
    assert np.array_equal(accelerator.infer(picture), plain.infer(picture))


def test_a_delegate_that_takes_no_operation_is_an_error(bundle: Bundle, delegate: str) -> None:
    accelerator = TfliteAccelerator(delegate=delegate, delegate_options={"take": "nothing"})
    with pytest.raises(AcceleratorError, match="takes no operation of tiny"):
        opened(bundle, accelerator)


def test_a_delegate_that_refuses_the_model_is_an_error(bundle: Bundle, delegate: str) -> None:
    accelerator = TfliteAccelerator(delegate=delegate, delegate_options={"take": "refuse"})
    with pytest.raises(AcceleratorError, match="refuses tiny"):
        opened(bundle, accelerator)


def test_a_delegate_that_does_not_start_is_an_error_with_its_own_words(
    bundle: Bundle, delegate: str
) -> None:
    accelerator = TfliteAccelerator(delegate=delegate, delegate_options={"colour": "red"})
    with pytest.raises(AcceleratorError, match=r"does not start .*unknown option: colour"):
        opened(bundle, accelerator)


@pytest.mark.parametrize(
    ("library", "reason"),
    [("libedgetpu-not-here.so.1", "cannot be loaded"), ("libc.so.6", "is no TFLite delegate")],
)
def test_a_library_that_is_missing_or_no_delegate_is_an_error(
    bundle: Bundle, library: str, reason: str
) -> None:
    with pytest.raises(AcceleratorError, match=reason):
        opened(bundle, TfliteAccelerator(delegate=library))


def test_where_the_cpu_is_allowed_it_runs_and_the_description_says_instead_of_what(
    bundle: Bundle, delegate: str
) -> None:
    gone = opened(bundle, TfliteAccelerator(delegate="libgone.so", allow_cpu=True))
    assert gone.describe().instead_of == "libgone.so"
    assert " instead of libgone.so (" in gone.describe().line
    idle = TfliteAccelerator(
        delegate=delegate, delegate_options={"take": "nothing"}, allow_cpu=True
    )
    assert opened(bundle, idle).describe().instead_of == "libtest_delegate.so"


def test_a_truncated_model_never_reaches_the_runtime(tmp_path: Path) -> None:
    tiny_tflite.write_bundle(tmp_path)
    file = tmp_path / "tiny.tflite"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match="is truncated"):
        load_model(tmp_path, TfliteAccelerator(), "99.0.0")


def test_a_file_that_is_no_model_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "noise.tflite"
    file.write_bytes(b"noise" * 100)
    with pytest.raises(AcceleratorError, match=r"cannot load noise\.tflite"):
        TfliteAccelerator().open(bundle.manifest, bundle.manifest.artifact_for("tflite"), file)


@pytest.mark.parametrize(
    "change",
    [{"name": "image"}, {"dtype": "uint8"}, {"layout": "NCHW"}, {"scale": 1.0}, {"zero_point": 0}],
)
def test_a_model_whose_input_is_not_the_manifests_is_refused(
    bundle: Bundle, change: dict[str, object]
) -> None:
    artifact = bundle.manifest.artifact_for("tflite")
    tensor: InputTensor = msgspec.structs.replace(artifact.tensor, **change)
    other = msgspec.structs.replace(artifact, tensor=tensor)
    with pytest.raises(AcceleratorError, match="its manifest says"):
        TfliteAccelerator().open(bundle.manifest, other, bundle.artifact_file(artifact))


def test_a_bundle_with_a_tflite_model_tags_frames(tmp_path: Path) -> None:
    tiny_tflite.write_bundle(tmp_path)
    model = load_model(tmp_path, TfliteAccelerator(), "99.0.0")
    assert model.provenance.backend == "tflite"
    assert model.provenance.accelerator.endswith("int8)")
    model.close()
