"""One suite over every accelerator: what `agent.ports.accelerator` promises, fake and real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from agent.drivers.accelerator_fake import FakeAccelerator
from agent.drivers.accelerator_onnxruntime import OnnxRuntimeAccelerator
from agent.drivers.accelerator_tflite import TfliteAccelerator
from agent.errors import AcceleratorError
from agent.ports.accelerator import Accelerator
from agent.storage.model_slots import Bundle, open_bundle
from agent.wire.model_manifest import Artifact
from tests import tiny_tflite

BUNDLE = Path(__file__).parents[2] / "models" / "sightline-reference" / "1"
DRIVERS: dict[str, Callable[[], Accelerator]] = {
    "fake": FakeAccelerator,
    "onnxruntime": OnnxRuntimeAccelerator,
    "tflite": TfliteAccelerator,
}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(BUNDLE)


@pytest.fixture(scope="module")
def tflite_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_tflite.write_bundle(folder)
    return open_bundle(folder)


@dataclass
class Opened:
    """A driver with a model open, and what it was opened with."""

    accelerator: Accelerator
    bundle: Bundle
    artifact: Artifact

    def picture(self, seed: int) -> NDArray[np.uint8]:
        shape = (self.bundle.manifest.input.height, self.bundle.manifest.input.width, 3)
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(params=sorted(DRIVERS))
def opened(
    request: pytest.FixtureRequest, bundle: Bundle, tflite_bundle: Bundle
) -> Iterator[Opened]:
    accelerator = DRIVERS[request.param]()
    bundle = tflite_bundle if accelerator.backend == "tflite" else bundle
    artifact = bundle.manifest.artifact_for(accelerator.backend)
    accelerator.open(bundle.manifest, artifact, bundle.artifact_file(artifact))
    yield Opened(accelerator, bundle, artifact)
    accelerator.close()


def test_features_are_float32_of_the_promised_length_and_finite(opened: Opened) -> None:
    features = opened.accelerator.infer(opened.picture(1))
    assert features.shape == (opened.bundle.manifest.backbone.features,)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_the_same_picture_gives_the_same_features_whatever_came_between(opened: Opened) -> None:
    first = opened.accelerator.infer(opened.picture(1))
    other = opened.accelerator.infer(opened.picture(2))
    again = opened.accelerator.infer(opened.picture(1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_features_returned_before_are_not_overwritten(opened: Opened) -> None:
    first = opened.accelerator.infer(opened.picture(1))
    kept = first.copy()
    opened.accelerator.infer(opened.picture(2))
    assert np.array_equal(first, kept)


def test_the_picture_is_not_changed(opened: Opened) -> None:
    picture = opened.picture(3)
    kept = picture.copy()
    opened.accelerator.infer(picture)
    assert np.array_equal(picture, kept)


def test_a_picture_that_is_a_view_with_strides_gives_what_its_copy_gives(opened: Opened) -> None:
    view = np.repeat(opened.picture(4), 2, axis=1)[:, ::2]
    assert not view.flags.c_contiguous
    expected = opened.accelerator.infer(view.copy())
    assert np.array_equal(opened.accelerator.infer(view), expected)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((10, 10, 3), np.uint8),
        np.zeros((120, 160), np.uint8),
        np.zeros((120, 160, 3), np.float32),
    ],
)
def test_a_picture_of_another_shape_or_type_is_refused(
    opened: Opened, picture: NDArray[np.uint8]
) -> None:
    with pytest.raises(AcceleratorError, match="is needed"):
        opened.accelerator.infer(picture)


def test_the_description_says_what_really_runs(opened: Opened) -> None:
    found = opened.accelerator.describe()
    if isinstance(opened.accelerator, FakeAccelerator):
        assert (found.backend, found.device) == ("fake", "fake")
    else:
        assert found.backend == opened.accelerator.backend
        assert found.variant == opened.artifact.variant
    assert found.device in found.line


def test_after_close_nothing_runs_and_closing_again_is_no_error(opened: Opened) -> None:
    opened.accelerator.close()
    opened.accelerator.close()
    with pytest.raises(AcceleratorError, match="no model open"):
        opened.accelerator.infer(opened.picture(1))
    with pytest.raises(AcceleratorError, match="no model open"):
        opened.accelerator.describe()


def test_it_opens_again_after_close_and_over_an_open_model(opened: Opened) -> None:
    expected = opened.accelerator.infer(opened.picture(1))
    file = opened.bundle.artifact_file(opened.artifact)
    opened.accelerator.close()
    opened.accelerator.open(opened.bundle.manifest, opened.artifact, file)
    opened.accelerator.open(opened.bundle.manifest, opened.artifact, file)
    assert np.array_equal(opened.accelerator.infer(opened.picture(1)), expected)


def test_a_model_for_another_backend_is_refused(opened: Opened) -> None:
    other = msgspec.structs.replace(opened.artifact, backend="hailo")
    with pytest.raises(AcceleratorError, match="made for hailo"):
        opened.accelerator.open(opened.bundle.manifest, other, opened.bundle.folder / other.path)


def test_a_missing_model_file_is_refused_and_nothing_stays_open(opened: Opened) -> None:
    gone = opened.bundle.folder / "gone"
    with pytest.raises(AcceleratorError, match="cannot load gone") as caught:
        opened.accelerator.open(opened.bundle.manifest, opened.artifact, gone)
    assert caught.value.__cause__ is not None
    with pytest.raises(AcceleratorError, match="no model open"):
        opened.accelerator.infer(opened.picture(1))


@pytest.mark.parametrize("driver", [OnnxRuntimeAccelerator, TfliteAccelerator])
def test_a_model_that_gives_other_features_than_promised_is_refused(
    driver: Callable[[], Accelerator], bundle: Bundle, tflite_bundle: Bundle
) -> None:
    accelerator = driver()
    held = tflite_bundle if accelerator.backend == "tflite" else bundle
    given = held.manifest.backbone.features
    backbone = msgspec.structs.replace(held.manifest.backbone, features=given + 1)
    manifest = msgspec.structs.replace(held.manifest, backbone=backbone)
    artifact = held.manifest.artifact_for(accelerator.backend)
    with pytest.raises(AcceleratorError, match=f"gave {given} features, its manifest says"):
        accelerator.open(manifest, artifact, held.artifact_file(artifact))
