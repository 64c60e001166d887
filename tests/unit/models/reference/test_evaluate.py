"""The evaluation, with a model that can be computed by hand on a real runtime."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from agent.errors import ModelError
from models.reference import camera_run
from models.reference.evaluate import chosen_degradations, main
from tests import tiny_model, tiny_tflite
from tests.truth_maker import write_clip, write_truth

# Half a second of dark, half of bright, twice, at 30 pictures/s.
LEVELS = ([16] * 15 + [235] * 15) * 2
BRIGHT = [int(level > 100) for level in LEVELS]
DARK = [1 - on for on in BRIGHT]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """ "bright" and "dark", right on every picture; "dark" needs half a second to open."""
    folder = tmp_path / "bundle"
    tiny_tflite.write_bundle(folder)
    return folder


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    folder = tmp_path / "footage"
    write_clip(folder / "day", "a", LEVELS, {"bright": BRIGHT, "own": BRIGHT})
    # Truth that is the wrong way round: every tag is wrong.
    write_clip(folder / "night", "b", LEVELS, {"bright": DARK, "dark": [-1] * 60})
    return folder


def run(bundle: Path, footage: Path, out: Path, *words: str) -> dict[str, object]:
    file = out / "figures.json"
    named = ["--bundle", str(bundle), "--accelerator", "tflite", "--json", str(file)]
    assert main([str(footage), *named, *words]) == 0
    found: dict[str, object] = json.loads(file.read_text(encoding="utf-8"))
    return found


def test_figures_are_those_that_can_be_counted(
    bundle: Path, footage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(bundle, footage, tmp_path)
    day, night = (
        {label["label"]: label for label in each["labels"]}
        for each in found["sets"]  # type: ignore[attr-defined]
    )
    assert day["bright"]["average_precision"] == 1.0
    assert (day["bright"]["precision"], day["bright"]["recall"]) == (1.0, 1.0)
    assert (day["bright"]["onsets"], day["bright"]["onsets_found"]) == (2, 2)
    assert day["bright"]["median_onset_delay_ms"] == 0.0
    assert day["dark"]["average_precision"] is None
    assert night["bright"]["precision"] == 0.0
    assert night["dark"]["prevalence"] is None
    assert found["left_out"] == ["own"]
    assert "tiny 0.3.0 on " in capsys.readouterr().out
    assert (
        found["artifact_sha256"] == camera_run.read_manifest(bundle).artifact_for("tflite").sha256
    )


def test_degradations_are_told_per_set_and_strength_and_the_report_is_a_picture(
    bundle: Path, footage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.png"
    found = run(bundle, footage, tmp_path, "--degrade", "tilt,bitrate", "--png", str(file))
    rows = [(r["set_name"], r["degradation"], r["strength"]) for r in found["degraded"]]  # type: ignore[attr-defined]
    assert len(rows) == len(set(rows)) == 2 * 2 * 2
    assert "mean AP under degradation" in capsys.readouterr().out
    picture = cv2.imread(str(file))
    assert picture is not None
    assert picture.shape[1] > 1000
    assert picture.std() > 5


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--bundle", "gone"], "no model bundle in gone"),
        (["--degrade", "fog"], "no degradation is called fog"),
        (["--accelerator", "onnxruntime"], "has no onnxruntime artifact"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    bundle: Path,
    footage: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    reason: str,
) -> None:
    given = ["--bundle", str(bundle), "--accelerator", "tflite", *words]
    assert main([str(footage), *given]) == 1
    errors = capsys.readouterr().err
    assert reason in errors
    assert "Traceback" not in errors


def test_footage_that_has_no_truth_is_named_and_left_out(
    bundle: Path, footage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (footage / "day" / "c.mp4").write_bytes(b"")
    write_truth(footage / "day", "d", {"bright": [1]})
    run(bundle, footage, tmp_path)
    errors = capsys.readouterr().err
    assert "c.mp4: footage without truth (c.truth.json is missing): left out" in errors
    assert "d.truth.json: truth without footage (d.mp4 is missing): left out" in errors


def test_the_newest_bundle_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_run, "MODELS", tmp_path)
    with pytest.raises(ModelError, match="no bundle"):
        camera_run.newest_bundle()
    for name, semver in (("own", "1.9.0"), ("own", "1.10.0")):
        tiny_model.write_bundle(tmp_path / name / semver, name=name, semver=semver)
    assert camera_run.newest_bundle() == tmp_path / "own" / "1.10.0"


def test_the_words_for_degradations() -> None:
    assert chosen_degradations("none") == ()
    assert len(chosen_degradations("all")) == 7
    assert chosen_degradations("lens,tilt") == ("lens", "tilt")
