"""The shipped stand-in: what its manifest, card and files say must agree with the recipe."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from agent.core.picture import Rect
from agent.errors import FootageError
from agent.storage.model_slots import Bundle, open_bundle
from models.reference.camera_run import open_model
from models.reference.clips import ClipFiles
from models.reference.evaluate import tag_clip
from models.standin import footage, recipe
from models.standin.calibrate import HeldOut, calibrated_labels
from models.standin.evaluate import BUNDLE, metrics_of


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(BUNDLE)


def test_training_and_held_out_clips_are_different() -> None:
    assert not set(footage.TRAINING_CLIPS) & set(footage.HELD_OUT_CLIPS)


def test_the_labels_are_the_recipes_without_those_that_cannot_be_learnt(bundle: Bundle) -> None:
    ids = [label.id for label in bundle.manifest.labels]
    assert ids == [rule.id for rule in recipe.LABELS]
    assert not set(ids) & set(recipe.LEFT_OUT)


def test_events_and_states_are_marked_as_such(bundle: Bundle) -> None:
    events = {label.id for label in bundle.manifest.labels if label.kind == "event"}
    assert events == footage.EVENT_LABELS


def test_every_label_has_a_figure_on_every_held_out_clip(bundle: Bundle) -> None:
    measured = {(m.label, m.held_out_set) for m in bundle.manifest.metrics}
    for label in bundle.manifest.labels:
        for clip in footage.HELD_OUT_CLIPS:
            assert (label.id, clip) in measured


def test_the_card_says_what_it_is_and_keeps_the_notice_of_the_art() -> None:
    card = (BUNDLE / "card.md").read_text(encoding="utf-8")
    for words in (
        "A stand-in",
        "Copyright (C) 2001-2024 contributors to the Freedoom project, BSD-3-Clause",
        "python -m models.standin.evaluate --footage DIR",
    ):
        assert words in card
    assert "{figures}" not in card
    for name in recipe.LEFT_OUT:
        assert name in card


def test_the_backbone_takes_bytes_and_is_small(bundle: Bundle) -> None:
    artifact = bundle.manifest.artifact_for("onnxruntime")
    assert artifact.tensor.dtype == "uint8"
    assert artifact.bytes < 512 * 1024


def test_the_golden_sequence_has_shots_and_a_gap_that_resets_the_head(bundle: Bundle) -> None:
    arrays = bundle.arrays(bundle.manifest.golden[0])
    steps = np.diff(arrays["pts_ns"])
    assert steps.max() > bundle.manifest.input.max_gap_ms * 1_000_000
    assert len(arrays["pictures"]) == bundle.manifest.golden[0].frames
    assert arrays["scores"].shape == (len(steps) + 1, len(bundle.manifest.labels))


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    """A 4:3 clip of 14 frames at 35 pictures/s that grows brighter; one shot, at frame 3."""
    labels = [*(rule.id for rule in recipe.LABELS), *recipe.LEFT_OUT]
    frames = [
        {"frame": i, "labels": {id_: int(id_ == "shot_fired" and i == 3) for id_ in labels}}
        for i in range(14)
    ]
    truth = {"frame_rate_hz": 35, "resolution": [64, 48], "frames": frames}
    (tmp_path / "c.truth.json").write_text(json.dumps(truth), encoding="utf-8")
    with av.open(str(tmp_path / "c.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=35, options={"crf": "1", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(14):
            planes = np.full((72, 64), 128, np.uint8)
            planes[:48] = 40 + 12 * i
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return tmp_path


def test_a_clip_is_read_at_the_models_rate_with_bars_and_events_kept(clip_folder: Path) -> None:
    clip = footage.read_clip(clip_folder, "c", 15.0)
    # 35 / 15 = 7 / 3: frames 0, 2.33, 4.67, 7, 9.33, 11.67 rounded.
    assert [round(p * 35 / 1e9) for p in clip.pts_ns] == [0, 2, 5, 7, 9, 12]
    assert clip.active == Rect(80, 0, 480, 360)
    # The shot at frame 3 lies between the model frames 2 and 5: it belongs to the later one.
    assert clip.truth["shot_fired"].tolist() == [0, 0, 1, 0, 0, 0]
    luma = np.frombuffer(clip.frames[2], np.uint8)[: 640 * 360].reshape(360, 640)
    assert (luma[:, :80] == 16).all()
    assert abs(int(luma[180, 320]) - (40 + 12 * 5)) <= 2


def test_a_clip_with_fewer_pictures_than_its_truth_is_refused(clip_folder: Path) -> None:
    file = clip_folder / "c.truth.json"
    truth = json.loads(file.read_text(encoding="utf-8"))
    truth["frames"] += [truth["frames"][0]] * 10
    file.write_text(json.dumps(truth), encoding="utf-8")
    with pytest.raises(FootageError, match="has 14 pictures, its truth 24"):
        footage.read_clip(clip_folder, "c", 15.0)


def test_scoring_a_clip_gives_figures_for_every_label(clip_folder: Path, bundle: Bundle) -> None:
    model = open_model(bundle.folder, "onnxruntime")
    clip, spent_ms = tag_clip(model, bundle.manifest, ClipFiles(clip_folder, "c"))
    model.close()
    assert clip.scores.shape == (6, len(recipe.LABELS))
    assert len(spent_ms) == 6
    metrics = {m.label: m for m in metrics_of(bundle.manifest, [clip], "c")}
    assert metrics["shot_fired"].onsets == 1
    assert metrics["shot_fired"].prevalence == pytest.approx(1 / 6, abs=1e-3)
    assert metrics["env_water"].average_precision is None


def test_a_label_without_both_kinds_keeps_plain_thresholds() -> None:
    count = len(recipe.LABELS)
    block = HeldOut(
        logits=np.zeros((4, count), np.float32),
        truth=np.zeros((4, count), np.int8),
        pts_ns=np.arange(4, dtype=np.int64) * 66_666_667,
    )
    assert {(x.threshold_on, x.temperature) for x in calibrated_labels([block])} == {(0.5, 1.0)}


def test_an_overconfident_label_is_cooled() -> None:
    count = len(recipe.LABELS)
    logits = np.tile(np.array([[9.0], [9.0], [9.0], [-9.0]], np.float32), (1, count))
    truth = np.tile(np.array([[1], [1], [0], [0]], np.int8), (1, count))
    pts_ns = np.arange(4, dtype=np.int64) * 66_666_667
    assert all(x.temperature > 2 for x in calibrated_labels([HeldOut(logits, truth, pts_ns)]))
