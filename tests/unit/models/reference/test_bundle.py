"""The shipped bundle: what its manifest, card and files say must agree with one another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.drivers.accelerator_onnxruntime import OnnxRuntimeAccelerator
from agent.drivers.accelerator_tflite import TfliteAccelerator
from agent.ports.accelerator import Accelerator
from agent.services.tagger_model import load_model
from agent.storage.model_slots import Bundle, open_bundle
from models.reference import recipe
from models.reference.camera_run import newest_bundle

BUNDLE = Path(__file__).parents[4] / "models" / "sightline-reference" / "1"
MOST_BYTES = 12_000_000


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(BUNDLE)


def test_it_is_the_bundle_that_tools_take_when_none_is_named() -> None:
    assert newest_bundle() == BUNDLE


def test_the_labels_are_the_recipes_events_and_states(bundle: Bundle) -> None:
    found = [(label.id, label.group, label.kind) for label in bundle.manifest.labels]
    assert found == [(rule.id, rule.group, rule.kind) for rule in recipe.LABELS]


def test_it_holds_an_artifact_for_onnxruntime_and_for_tflite(bundle: Bundle) -> None:
    onnx, tflite = (bundle.manifest.artifact_for(b) for b in ("onnxruntime", "tflite"))
    assert (onnx.tensor.layout, onnx.tensor.dtype) == ("NCHW", "uint8")
    assert (tflite.tensor.layout, tflite.tensor.dtype) == ("NHWC", "int8")


def test_all_files_together_are_small_and_nothing_else_lies_there(bundle: Bundle) -> None:
    files = {file.name: file.stat().st_size for file in BUNDLE.iterdir()}
    manifest = bundle.manifest
    named = {part.path for part in (*manifest.backbone.artifacts, *manifest.golden)}
    assert set(files) == named | {manifest.head.path, manifest.card.path, "manifest.json"}
    assert sum(files.values()) < MOST_BYTES


@pytest.mark.parametrize("driver", [OnnxRuntimeAccelerator, TfliteAccelerator])
def test_the_same_pictures_give_the_golden_scores_on_both_runtimes(
    bundle: Bundle, driver: type[Accelerator]
) -> None:
    accelerator = driver()
    assert accelerator.backend in bundle.manifest.golden[0].tolerance
    load_model(BUNDLE, accelerator, "99.0.0").close()


def test_the_golden_sequence_has_a_gap_that_resets_the_head(bundle: Bundle) -> None:
    arrays = bundle.arrays(bundle.manifest.golden[0])
    steps = np.diff(arrays["pts_ns"])
    assert steps.max() > bundle.manifest.input.max_gap_ms * 1_000_000
    assert len(arrays["pictures"]) == bundle.manifest.golden[0].frames
    assert arrays["scores"].shape == (len(steps) + 1, len(bundle.manifest.labels))


def test_every_label_has_a_figure_on_every_held_out_set(bundle: Bundle) -> None:
    measured = {(m.label, m.held_out_set) for m in bundle.manifest.metrics}
    assert measured == {(r.id, name) for r in recipe.LABELS for name in recipe.HELD_OUT_SETS}


def test_the_card_says_what_the_pictures_are_and_keeps_the_notice_of_the_art() -> None:
    card = (BUNDLE / "card.md").read_text(encoding="utf-8")
    for words in (
        "a game\nengine's",
        "nothing is claimed\nabout real places",
        "Copyright (C) 2001-2024 contributors to the Freedoom project, BSD-3-Clause",
        "python -m models.reference.evaluate",
        "python -m models.reference.compare",
        *recipe.HELD_OUT_SETS,
    ):
        assert words in card
    assert "{" not in card
