"""A loaded model: from a lores frame to scores and tags; and what is refused at load."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from agent.core.picture import Rect
from agent.core.tagging import OpenSpan, Span
from agent.drivers.accelerator_fake import FakeAccelerator
from agent.drivers.accelerator_onnxruntime import OnnxRuntimeAccelerator
from agent.errors import AcceleratorError, ModelError
from agent.services.tagger_model import TaggerModel, load_model
from agent.storage.model_slots import Bundle, open_bundle
from agent.wire.model_manifest import Golden
from tests import tiny_model

WHOLE = Rect(0, 0, 640, 360)
STEP = 66_666_667
BRIGHT = bytes([235]) * (640 * 360) + bytes([128]) * (640 * 180)
DARK = bytes([16]) * (640 * 360) + bytes([128]) * (640 * 180)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model.write_bundle(tmp_path)
    return tmp_path


@pytest.fixture
def model(folder: Path) -> Iterator[TaggerModel]:
    loaded = load_model(folder, FakeAccelerator(), "0.1.0", first_span_id=7)
    yield loaded
    loaded.close()


def test_scores_follow_the_picture_and_become_tags(model: TaggerModel) -> None:
    dark = model.score(0, DARK, 640, 360, WHOLE)
    bright = model.score(STEP, BRIGHT, 640, 360, WHOLE)
    assert dark.scores == (0.0, 1.0)
    assert bright.scores == (1.0, 0.0)
    assert [type(c) for c in bright.changes] == [OpenSpan, Span]
    assert [(s.label, s.span_id, s.start_ns) for s in bright.open_spans] == [("bright", 8, STEP)]
    assert bright.settled_through_ns == STEP


def test_finish_closes_the_open_tags_and_ids_go_on(model: TaggerModel) -> None:
    model.score(0, BRIGHT, 640, 360, WHOLE)
    assert [(s.span_id, s.end_ns) for s in model.finish(10 * STEP)] == [(7, 66_666_667)]
    after = model.score(0, BRIGHT, 640, 360, WHOLE)
    assert [s.span_id for s in after.open_spans] == [8]


def test_provenance_names_what_really_ran_and_the_hashes(folder: Path, model: TaggerModel) -> None:
    found = model.provenance
    assert (found.name, found.version, found.backend) == ("tiny", 3, "fake")
    payload = (folder / "manifest.json").read_bytes()
    assert found.manifest_sha256 == hashlib.sha256(payload).hexdigest()


def test_a_failing_accelerator_fails_one_frame_and_the_next_goes_on(folder: Path) -> None:
    accelerator = FakeAccelerator()
    model = load_model(folder, accelerator, "0.1.0")
    accelerator.fail_with = "stalled"
    with pytest.raises(AcceleratorError, match="stalled"):
        model.score(0, BRIGHT, 640, 360, WHOLE)
    accelerator.fail_with = ""
    assert model.score(STEP, BRIGHT, 640, 360, WHOLE).scores == (1.0, 0.0)


def test_an_agent_that_is_too_old_is_refused(tmp_path: Path) -> None:
    tiny_model.write_bundle(tmp_path, min_agent="2.0.0")
    with pytest.raises(ModelError, match=r"needs agent 2\.0\.0, this is 0\.1\.0"):
        load_model(tmp_path, FakeAccelerator(), "0.1.0")


def test_head_weights_that_do_not_fit_the_labels_are_refused(tmp_path: Path) -> None:
    tiny_model.write_bundle(tmp_path, labels=(tiny_model.label("only"),))
    with pytest.raises(ModelError, match="temporal head"):
        load_model(tmp_path, FakeAccelerator(), "0.1.0")


def test_a_real_runtime_refuses_the_text_file_that_the_fake_takes(folder: Path) -> None:
    with pytest.raises(AcceleratorError, match=r"cannot load backbone\.onnx"):
        load_model(folder, OnnxRuntimeAccelerator(), "0.1.0")


def golden_bundle(folder: Path, scores: list[list[float]]) -> Bundle:
    packed = io.BytesIO()
    pictures = np.zeros((2, tiny_model.HEIGHT, tiny_model.WIDTH, 3), np.uint8)
    pictures[1] = 255
    np.savez(packed, pictures=pictures, pts_ns=np.array([0, STEP]), scores=np.array(scores))
    content = packed.getvalue()
    folder.mkdir(exist_ok=True)
    (folder / "golden.npz").write_bytes(content)
    golden = Golden(
        path="golden.npz",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        frames=2,
        tolerance={"onnxruntime": 0.02},
    )
    tiny_model.write_bundle(folder, golden=(golden,))
    return open_bundle(folder)


def test_golden_scores_that_agree_pass(tmp_path: Path, model: TaggerModel) -> None:
    model.check_golden(golden_bundle(tmp_path / "g", [[0.0, 1.0], [1.0, 0.0]]))


@pytest.mark.parametrize(
    "scores", [[[0.0, 1.0], [0.9, 0.0]], [[0.0, 1.0]], [[0.0, 1.0], [np.nan, 0.0]]]
)
def test_golden_scores_that_differ_are_refused(
    tmp_path: Path, model: TaggerModel, scores: list[list[float]]
) -> None:
    with pytest.raises(ModelError, match="does not give its golden scores"):
        model.check_golden(golden_bundle(tmp_path / "g", scores))


def test_a_picture_with_odd_sides_is_refused_at_load(tmp_path: Path) -> None:
    manifest = tiny_model.write_bundle(tmp_path)
    picture = msgspec.structs.replace(manifest.input, height=33)
    tiny_model.write_bundle(tmp_path, input=picture)
    with pytest.raises(ModelError, match="even"):
        load_model(tmp_path, FakeAccelerator(), "0.1.0")
