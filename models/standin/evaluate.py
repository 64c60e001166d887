"""Measure the stand-in on footage it never saw, through the agent's own code.

    python -m models.standin.evaluate --footage DIR [--bundle DIR] [--write]

Prints one table per clip and one over all. `--write` puts the figures into the bundle's card and
manifest.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.core.preprocess import PicturePreparer
from agent.core.tagging import Span, TagTracker
from agent.wire.model_manifest import (
    Budget,
    ListedFile,
    Metric,
    ModelManifest,
    dump_manifest,
    load_manifest,
)
from models.standin import card
from models.standin.footage import (
    HELD_OUT_CLIPS,
    LORES_HEIGHT,
    LORES_WIDTH,
    LoresClip,
    read_clip,
)
from models.standin.measure import average_precision, onsets, onsets_found
from models.standin.scorer import MANIFEST_FILE, Scorer, listed

BUNDLE = Path(__file__).parents[1] / "sightline-standin" / "1"
COMMAND = "python -m models.standin.evaluate --footage DIR --write"


@dataclass(frozen=True)
class Run:
    """One clip scored: `scores` float32 [n, labels], the closed spans, ms spent per picture."""

    clip: LoresClip
    scores: NDArray[np.float32]
    spans: list[Span]
    spent_ms: list[float]


def score_clip(clip: LoresClip, scorer: Scorer, manifest: ModelManifest) -> Run:
    """What a camera would have made of `clip`: every frame in order, from a fresh start."""
    picture = manifest.input
    preparer = PicturePreparer(picture.height, picture.width, picture.crop)
    tracker = TagTracker(
        [label.tag_rule() for label in manifest.labels],
        frame_period_ns=round(1e9 / picture.frame_rate_hz),
        max_gap_ns=picture.max_gap_ms * 1_000_000,
    )
    scorer.head.reset()
    scores, spans, spent = [], [], []
    for frame, pts in zip(clip.frames, clip.pts_ns, strict=True):
        started = time.perf_counter()
        rgb = preparer.prepare(frame, LORES_WIDTH, LORES_HEIGHT, clip.active)
        score = scorer.head.push(int(pts), scorer.accelerator.infer(rgb))
        changes = tracker.push(int(pts), [float(s) for s in score])
        spent.append((time.perf_counter() - started) * 1e3)
        scores.append(score)
        spans += [change for change in changes if isinstance(change, Span)]
    spans += tracker.flush(int(clip.pts_ns[-1]) + 10**9)
    return Run(clip, np.stack(scores), spans, spent)


def clip_metrics(run: Run, manifest: ModelManifest) -> list[Metric]:
    """Every label on one clip."""
    return [_metric(label.id, i, [run], run.clip.name) for i, label in enumerate(manifest.labels)]


def overall_metrics(runs: list[Run], manifest: ModelManifest) -> list[Metric]:
    """Every label over all clips together, ranked as one."""
    name = "all held-out clips together"
    return [_metric(label.id, i, runs, name) for i, label in enumerate(manifest.labels)]


def _metric(label: str, index: int, runs: list[Run], held_out_set: str) -> Metric:
    truth = np.concatenate([run.clip.truth[label] for run in runs])
    scores = np.concatenate([run.scores[:, index] for run in runs])
    true_count, delays = 0, list[int]()
    for run in runs:
        expected = onsets(run.clip.truth[label], run.clip.pts_ns)
        starts = [span.start_ns for span in run.spans if span.label == label]
        true_count += len(expected)
        delays += onsets_found(expected, starts)
    precision = average_precision(truth, scores)
    known = truth[truth >= 0]
    return Metric(
        label=label,
        held_out_set=held_out_set,
        average_precision=None if precision is None else round(precision, 3),
        prevalence=round(float((known == 1).mean()), 4) if known.size else 0.0,
        onsets=true_count,
        onsets_found=len(delays),
        median_onset_delay_ms=round(statistics.median(delays) / 1e6, 1) if delays else None,
    )


def resident_mib() -> float:
    """Proportional set size of this process (Linux), in MiB."""
    rows = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(row.split()[1]) for row in rows if row.startswith("Pss:")) / 1024


def write_figures(
    bundle: Path, manifest: ModelManifest, metrics: list[Metric], spent: Budget
) -> None:
    """Fill the figures into the card and the manifest of `bundle`."""
    manifest = msgspec.structs.replace(manifest, metrics=tuple(metrics), budget=(spent,))
    file = bundle / manifest.card.path
    text = card.measured(metrics, manifest.budget, manifest.quantisation, COMMAND)
    file.write_text(text, encoding="utf-8")
    manifest = msgspec.structs.replace(manifest, card=ListedFile(**listed(file)))
    (bundle / MANIFEST_FILE).write_bytes(dump_manifest(manifest))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--footage", type=Path, required=True, help="folder of the clips")
    parser.add_argument("--bundle", type=Path, default=BUNDLE, help="folder of the bundle")
    parser.add_argument("--write", action="store_true", help="fill card and manifest")
    arguments = parser.parse_args()
    manifest = load_manifest((arguments.bundle / MANIFEST_FILE).read_bytes())
    scorer = Scorer(arguments.bundle, manifest)
    rate_hz = manifest.input.frame_rate_hz
    runs, metrics = [], list[Metric]()
    for name in HELD_OUT_CLIPS:
        runs.append(score_clip(read_clip(arguments.footage, name, rate_hz), scorer, manifest))
        metrics += clip_metrics(runs[-1], manifest)
    metrics = overall_metrics(runs, manifest) + metrics
    spent = Budget(
        board=f"{platform.machine()}, one thread",
        latency_ms=round(statistics.median(ms for run in runs for ms in run.spent_ms), 3),
        resident_mib=round(resident_mib(), 1),
    )
    scorer.close()
    for name in dict.fromkeys(metric.held_out_set for metric in metrics):
        print(f"\n{name}\n" + "\n".join(card.table([m for m in metrics if m.held_out_set == name])))
    print(f"\n{spent.latency_ms} ms a picture (median)")
    if arguments.write:
        write_figures(arguments.bundle, manifest, metrics, spent)
        print(f"written to {arguments.bundle}")


if __name__ == "__main__":
    main()
