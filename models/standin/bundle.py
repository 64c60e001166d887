"""From a fitted network to a model bundle: files, hashes, golden vectors, manifest."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from agent.wire import model_manifest as wire
from models.standin import card, recipe
from models.standin.calibrate import HeldOut, calibrated_labels
from models.standin.learn import Block, Fitted, held_out_logits
from models.standin.network import FEATURES, HEIGHT, WIDTH, WINDOW, Head
from models.standin.quantise import INPUT_NAME, SCHEME, quantise
from models.standin.scorer import MANIFEST_FILE, Scorer, listed

NAME, VERSION, SEMVER, MIN_AGENT = "sightline-standin", 1, "0.1.0", "0.1.0"
LICENCE = "Apache-2.0; trained on pictures of Freedoom art (BSD-3-Clause, notice in the card)"
BACKBONE_FILE, HEAD_FILE = "backbone-int8.onnx", "head.npz"
GOLDEN_FILE, CARD_FILE = "golden.npz", "card.md"
GOLDEN_FRAMES = 14
GOLDEN_TOLERANCE = 0.02
CALIBRATION_PICTURES = 120


def write_bundle(
    out: Path, fitted: Fitted, train: list[Block], held: list[Block], created: str
) -> wire.ModelManifest:
    """Write all files of the bundle into the folder `out` (made if missing); the manifest."""
    out.mkdir(parents=True, exist_ok=True)
    pictures = np.concatenate([block.pictures for block in train])
    chosen = pictures[np.linspace(0, len(pictures) - 1, CALIBRATION_PICTURES).astype(int)]
    quantise(fitted.backbone, chosen, out / BACKBONE_FILE)
    write_arrays(out / HEAD_FILE, head_arrays(fitted.head))
    float_logits = held_out_logits(held, fitted.backbone, fitted.head)
    labels = calibrated_labels(
        [HeldOut(x, b.truth, b.pts_ns) for x, b in zip(float_logits, held, strict=True)]
    )
    (out / CARD_FILE).write_text(card.unmeasured(), encoding="utf-8")
    digest = hashlib.sha256(chosen.tobytes()).hexdigest()
    draft = _manifest(
        out,
        labels,
        created,
        wire.Quantisation(
            scheme=SCHEME,
            calibration_sha256=digest,
            max_score_difference=1.0,
            decisions_changed=1.0,
        ),
    )
    scorer = Scorer(out, draft)
    difference, changed = _agreement(scorer, labels, held, float_logits)
    write_arrays(out / GOLDEN_FILE, _golden(scorer, held))
    scorer.close()
    manifest = _manifest(
        out,
        labels,
        created,
        wire.Quantisation(
            scheme=SCHEME,
            calibration_sha256=digest,
            max_score_difference=difference,
            decisions_changed=changed,
        ),
        golden=True,
    )
    (out / MANIFEST_FILE).write_bytes(wire.dump_manifest(manifest))
    return manifest


def head_arrays(head: Head) -> dict[str, NDArray[np.float32]]:
    """The head's weights under the names that `agent.core.temporal_head` reads."""
    return {
        "hidden_weight": head.hidden.weight.detach().numpy(),
        "hidden_bias": head.hidden.bias.detach().numpy(),
        "out_weight": head.out.weight.detach().numpy(),
        "out_bias": head.out.bias.detach().numpy(),
        "direct_weight": head.direct.weight.detach().numpy(),
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


def _manifest(
    out: Path,
    labels: tuple[wire.Label, ...],
    created: str,
    quantisation: wire.Quantisation,
    golden: bool = False,
) -> wire.ModelManifest:
    artifact = wire.Artifact(
        backend="onnxruntime",
        variant="int8 qdq u8s8",
        architecture="any",
        toolchain="torch + onnx",
        toolchain_version=f"{torch.__version__} + {onnx.__version__}",
        tensor=wire.InputTensor(
            name=INPUT_NAME, layout="NCHW", dtype="uint8", scale=1.0 / 255.0, zero_point=0
        ),
        **listed(out / BACKBONE_FILE),
    )
    vectors: tuple[wire.Golden, ...] = ()
    if golden:
        tolerance = {"onnxruntime": GOLDEN_TOLERANCE}
        file = listed(out / GOLDEN_FILE)
        vectors = (wire.Golden(frames=GOLDEN_FRAMES, tolerance=tolerance, **file),)
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
            height=HEIGHT,
            width=WIDTH,
            colour="RGB",
            source="lores_i420",
            crop="centre",
            frame_rate_hz=recipe.RATE_HZ,
            max_gap_ms=recipe.MAX_GAP_MS,
        ),
        backbone=wire.Backbone(features=FEATURES, artifacts=(artifact,)),
        head=wire.Head(window=WINDOW, stride=1, **listed(out / HEAD_FILE)),
        labels=labels,
        quantisation=quantisation,
        golden=vectors,
    )


def _agreement(
    scorer: Scorer,
    labels: tuple[wire.Label, ...],
    held: list[Block],
    float_logits: list[NDArray[np.float32]],
) -> tuple[float, float]:
    """(largest score difference, share of threshold decisions that INT8 changed), held-out."""
    temperature = np.array([label.temperature for label in labels], np.float32)
    threshold = np.array([label.threshold_on for label in labels], np.float32)
    int8 = np.concatenate([scorer.scores(block.pictures, block.pts_ns) for block in held])
    exact = 1.0 / (1.0 + np.exp(-np.concatenate(float_logits) / temperature))
    changed = (int8 >= threshold) != (exact >= threshold)
    return round(float(np.abs(int8 - exact).max()), 4), round(float(changed.mean()), 5)


def _golden(scorer: Scorer, held: list[Block]) -> dict[str, NDArray[Any]]:
    """A short sequence with the most shots in it, and a gap in the middle that resets the head."""
    shot = [rule.id for rule in recipe.LABELS].index("shot_fired")
    block = max(held, key=lambda b: int((b.truth[:GOLDEN_FRAMES, shot] == 1).sum()))
    pictures = block.pictures[:GOLDEN_FRAMES]
    pts_ns = block.pts_ns[:GOLDEN_FRAMES] - block.pts_ns[0]
    pts_ns[GOLDEN_FRAMES - 3 :] += 10 * recipe.MAX_GAP_MS * 1_000_000
    return {"pictures": pictures, "pts_ns": pts_ns, "scores": scorer.scores(pictures, pts_ns)}
