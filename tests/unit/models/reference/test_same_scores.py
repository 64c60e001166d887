"""The shipped bundle says the same in every runtime: the same frames, the same scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.reference import camera_run
from models.reference.clips import ClipFiles, model_instants, read_truth, stream_video

FOOTAGE = Path(__file__).parents[3] / "footage"
CLIP = ClipFiles(FOOTAGE, "07_building_720p")
PICTURES = 150


@pytest.fixture(scope="module")
def said() -> dict[str, NDArray[np.float32]]:
    """runtime -> scores [pictures, labels] of the same ten seconds."""
    bundle = camera_run.newest_bundle()
    rate_hz = camera_run.read_manifest(bundle).input.frame_rate_hz
    truth = read_truth(CLIP.truth)
    picks = model_instants(truth.frames, truth.rate_hz, rate_hz)[:PICTURES]
    shown = list(stream_video(CLIP, truth.frames, set(picks)))
    pts_ns = [round(pick * 1e9 / truth.rate_hz) for pick in picks]
    found = {}
    for runtime in ("onnxruntime", "tflite"):
        model = camera_run.open_model(bundle, runtime)
        scores, _, _ = camera_run.tag_frames(
            model, [frame for _, frame in shown], pts_ns, shown[0][0]
        )
        model.close()
        found[runtime] = scores
    return found


def test_scores_differ_by_no_more_than_the_manifest_allows(
    said: dict[str, NDArray[np.float32]],
) -> None:
    golden = camera_run.read_manifest(camera_run.newest_bundle()).golden[0]
    allowed = golden.tolerance["onnxruntime"] + golden.tolerance["tflite"]
    assert np.abs(said["onnxruntime"] - said["tflite"]).max() <= allowed
