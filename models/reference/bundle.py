"""From a trained network to a model bundle: head, artifacts, golden vectors, manifest.

    python -m models.reference.bundle --sets DIR --work DIR --out DIR [--export-python PYTHON]

Takes the trained backbone and head from `--work`, quantises, calibrates on the set `val`, and
writes the bundle. `--export-python` is an interpreter with the packages of
requirements/export.txt: without it the bundle has no TFLite artifact. The figures of the card come
afterwards (`models.reference.card`).
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import io
import os
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from agent.core.temporal_head import TemporalHead
from agent.wire import model_manifest as wire
from models.reference import quantise, recipe
from models.reference.cache import CachedClip, load_set
from models.reference.calibrate import HeldOut, calibrated_labels
from models.reference.fit_head import cut, head_arrays, logits_of
from models.reference.folding import INPUT_NAME
from models.reference.learn import set_up_torch
from models.reference.network import FEATURES, WINDOW
from models.reference.parts import Parts, load_parts

NAME, MIN_AGENT = "sightline-reference", "0.1.0"
VERSION, SEMVER = 1, "1.0.0"
LICENCE = "Apache-2.0; trained on pictures of Freedoom art (BSD-3-Clause, notice in the card)"
PORTABLE_FILE, SYMMETRIC_FILE = "backbone-int8.onnx", "backbone-int8-symmetric.onnx"
ARM_FILE, TFLITE_FILE = "backbone-int8-arm.onnx", "backbone-int8.tflite"
HEAD_FILE, GOLDEN_FILE, CARD_FILE = "head.npz", "golden.npz", "card.md"
MANIFEST_FILE = "manifest.json"
GOLDEN_FRAMES = 16
# One INT8 step in one layer moves a score by less; a wrong channel order or scale by far more.
ONNX_TOLERANCE = 0.02
CALIBRATION_PICTURES = 200


def calibration_pictures(train: Sequence[CachedClip]) -> NDArray[np.uint8]:
    """uint8 [200, height, width, 3]: evenly over all training pictures."""
    lengths = [len(clip.pts_ns) for clip in train]
    owner = np.repeat(np.arange(len(lengths)), lengths)
    frame = np.concatenate([np.arange(n) for n in lengths])
    chosen = np.linspace(0, len(owner) - 1, CALIBRATION_PICTURES).astype(int)
    return np.stack([train[int(owner[i])].pictures[int(frame[i])] for i in chosen])


def write_artifacts(
    parts: Parts, pictures: NDArray[np.uint8], out: Path, export_python: str | None
) -> list[wire.Artifact]:
    """Every artifact of the backbone, in the order that an agent chooses by."""
    float_file = out / ".float.onnx"
    quantise.export_float(parts.task.backbone, float_file)
    artifacts = []
    for variant, backend, file in (
        (quantise.PORTABLE, "onnxruntime", PORTABLE_FILE),
        (quantise.SYMMETRIC, "tensorrt", SYMMETRIC_FILE),
    ):
        quantise.quantise(float_file, variant, pictures, out / file)
        artifacts.append(
            wire.Artifact(
                backend=backend,  # type: ignore[arg-type]
                variant=variant.name,
                architecture="any",
                toolchain="torch + onnx",
                toolchain_version=f"{torch.__version__} + {onnx.__version__}",
                tensor=variant.tensor,
                **listed(out / file),
            )
        )
    float_file.unlink()
    if export_python is not None:
        artifacts.append(_tflite(parts, pictures, out, export_python))
    return artifacts


def _tflite(
    parts: Parts, pictures: NDArray[np.uint8], out: Path, export_python: str
) -> wire.Artifact:
    """Made by another interpreter: the converter's packages do not go with the agent's."""
    weights, calibration = out / ".backbone.pt", out / ".calibration.npy"
    torch.save(parts.task.backbone.state_dict(), weights)
    np.save(calibration, pictures)
    done = subprocess.run(
        [export_python, "-m", "models.reference.export_tflite", weights, calibration,
         out / TFLITE_FILE],
        cwd=Path(__file__).parents[2], check=False, capture_output=True, text=True,
    )  # fmt: skip
    weights.unlink(), calibration.unlink()
    if done.returncode != 0:
        raise RuntimeError(f"the TFLite export failed:\n{done.stderr[-2000:]}")
    toolchain, version = done.stdout.strip().splitlines()[-1].split("=", 1)
    return wire.Artifact(
        backend="tflite",
        variant="int8, last layer float",
        architecture="any",
        toolchain=toolchain,
        toolchain_version=version,
        tensor=wire.InputTensor(
            name=INPUT_NAME, layout="NHWC", dtype="int8", scale=1 / 255, zero_point=-128
        ),
        **listed(out / TFLITE_FILE),
    )


def write_bundle(
    out: Path,
    parts: Parts,
    train: Sequence[CachedClip],
    validation: Sequence[CachedClip],
    *,
    created: str,
    export_python: str | None,
) -> wire.ModelManifest:
    """Write all files of the bundle into the folder `out` (made if missing); the manifest."""
    from models.reference.compare import onnx_features

    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    pictures = calibration_pictures(train)
    artifacts = write_artifacts(parts, pictures, out, export_python)
    write_arrays(out / HEAD_FILE, head_arrays(parts.head))
    exact = [logits_of(parts.head, parts.task.clip_features(c).numpy()) for c in validation]
    labels = calibrated_labels(
        [HeldOut(x, c.truth, c.pts_ns) for x, c in zip(exact, validation, strict=True)]
    )
    int8 = onnx_features(out / PORTABLE_FILE, shifted=False, as_written=False)
    quick = [logits_of(parts.head, int8(clip)) for clip in validation]
    difference, changed = _agreement(labels, np.concatenate(exact), np.concatenate(quick))
    golden, tolerance = _golden(parts, labels, out, validation)
    write_arrays(out / GOLDEN_FILE, golden)
    (out / CARD_FILE).write_text("Not measured yet.\n", encoding="utf-8")
    manifest = _manifest(
        out,
        artifacts,
        labels,
        tolerance,
        created,
        wire.Quantisation(
            scheme="static, per channel, last layer float; see each artifact's variant",
            calibration_sha256=hashlib.sha256(pictures.tobytes()).hexdigest(),
            max_score_difference=difference,
            decisions_changed=changed,
        ),
    )
    (out / MANIFEST_FILE).write_bytes(wire.dump_manifest(manifest))
    return manifest


def _manifest(
    out: Path,
    artifacts: Sequence[wire.Artifact],
    labels: tuple[wire.Label, ...],
    tolerance: dict[str, float],
    created: str,
    quantisation: wire.Quantisation,
) -> wire.ModelManifest:
    golden = listed(out / GOLDEN_FILE)
    return wire.ModelManifest(
        schema=wire.SCHEMA,
        name=NAME,
        version=VERSION,
        semver=SEMVER,
        min_agent=MIN_AGENT,
        created=created,
        licence=LICENCE,
        card=wire.ListedFile(**listed(out / CARD_FILE)),
        input=wire.ModelInput(
            height=recipe.HEIGHT,
            width=recipe.WIDTH,
            colour="RGB",
            source="lores_i420",
            crop=recipe.CROP,
            frame_rate_hz=recipe.RATE_HZ,
            max_gap_ms=recipe.MAX_GAP_MS,
        ),
        backbone=wire.Backbone(features=FEATURES, artifacts=tuple(artifacts)),
        head=wire.Head(window=WINDOW, stride=1, **listed(out / HEAD_FILE)),
        labels=labels,
        quantisation=quantisation,
        golden=(wire.Golden(frames=GOLDEN_FRAMES, tolerance=tolerance, **golden),),
    )


def listed(file: Path) -> dict[str, Any]:
    """path, sha256 and bytes of `file`, as a manifest lists them."""
    content = file.read_bytes()
    return {
        "path": file.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }


def write_arrays(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """An .npz whose bytes depend on the arrays alone (numpy's own stamps the time of writing)."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in sorted(arrays):
            content = io.BytesIO()
            np.save(content, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, content.getvalue())


def _agreement(
    labels: Sequence[wire.Label], exact: NDArray[np.float32], int8: NDArray[np.float32]
) -> tuple[float, float]:
    """(largest score difference, share of threshold decisions that INT8 changed), on `val`."""
    temperature = np.array([label.temperature for label in labels], np.float32)
    threshold = np.array([label.threshold_on for label in labels], np.float32)
    wanted, found = (1.0 / (1.0 + np.exp(-x / temperature)) for x in (exact, int8))
    changed = (found >= threshold) != (wanted >= threshold)
    return round(float(np.abs(found - wanted).max()), 4), round(float(changed.mean()), 5)


def _golden(
    parts: Parts, labels: Sequence[wire.Label], out: Path, clips: Sequence[CachedClip]
) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """A short sequence with the most labels in it and a gap near its end that resets the head; and
    the tolerance of each backend whose artifact is in `out`."""
    from models.reference.compare import onnx_features, tflite_features

    starts = [(c, i) for c in clips for i in range(0, len(c.pts_ns) - GOLDEN_FRAMES, GOLDEN_FRAMES)]
    clip, start = max(starts, key=lambda s: _kinds_in(s[0].truth[s[1] : s[1] + GOLDEN_FRAMES]))
    piece = cut(clip, slice(start, start + GOLDEN_FRAMES))
    pts_ns = piece.pts_ns - piece.pts_ns[0]
    pts_ns[GOLDEN_FRAMES - 3 :] += 10 * recipe.MAX_GAP_MS * 1_000_000
    head = TemporalHead(
        head_arrays(parts.head),
        features=FEATURES,
        window=WINDOW,
        stride=1,
        temperatures=[label.temperature for label in labels],
        max_gap_ns=recipe.MAX_GAP_MS * 1_000_000,
    )

    def scored(features: NDArray[np.float32]) -> NDArray[np.float32]:
        head.reset()
        return np.stack([head.push(int(t), f) for t, f in zip(pts_ns, features, strict=True)])

    exact = onnx_features(out / PORTABLE_FILE, shifted=False, as_written=False)
    scores = scored(exact(piece))
    others = {"tensorrt": onnx_features(out / SYMMETRIC_FILE, shifted=False, as_written=True)}
    if (out / TFLITE_FILE).is_file():
        others["tflite"] = tflite_features(out / TFLITE_FILE)
    tolerance = {"onnxruntime": ONNX_TOLERANCE}
    for backend, features in others.items():
        # Rounded otherwise in every layer, and by each kernel library in its own way: twice what
        # this machine's differs from ONNX Runtime.
        apart = float(np.abs(scored(features(piece)) - scores).max())
        tolerance[backend] = round(max(2 * apart, ONNX_TOLERANCE), 3)
    arrays = {"pictures": np.asarray(piece.pictures), "pts_ns": pts_ns, "scores": scores}
    return arrays, tolerance


def _kinds_in(truth: NDArray[np.int8]) -> int:
    return int((truth == 1).any(axis=0).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--sets", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--work", type=Path, required=True, help="folder of the training")
    parser.add_argument("--out", type=Path, help="folder of the bundle; WORK/bundle otherwise")
    parser.add_argument("--export-python", help="interpreter with the TFLite converter")
    parser.add_argument(
        "--created",
        default=datetime.datetime.now(datetime.UTC).date().isoformat(),
        help="date for the manifest",
    )
    arguments = parser.parse_args()
    set_up_torch()
    size = (recipe.HEIGHT, recipe.WIDTH)
    cache = arguments.work / "cache"
    train = load_set(arguments.sets / recipe.TRAINING_SET, cache, size)
    validation = load_set(arguments.sets / recipe.VALIDATION_SET, cache, size)
    parts = load_parts(arguments.work)
    out = arguments.out or arguments.work / "bundle"
    manifest = write_bundle(
        out,
        parts,
        train,
        validation,
        created=arguments.created,
        export_python=arguments.export_python,
    )
    total = sum(file.stat().st_size for file in out.iterdir())
    _say(
        f"wrote {out}, {total / 1e6:.2f} MB: INT8 against float on {recipe.VALIDATION_SET}: largest"
        f" score difference {manifest.quantisation.max_score_difference}, decisions changed"
        f" {manifest.quantisation.decisions_changed:.3%}"
    )


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
