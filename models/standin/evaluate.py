"""Measure the stand-in on footage it never saw, through the agent's own code.

    python -m models.standin.evaluate --footage DIR [--bundle DIR] [--write]

Prints one table per clip and one over all. `--write` puts the figures into the bundle's card and
manifest.
"""

from __future__ import annotations

import argparse
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.wire.model_manifest import Budget, ListedFile, Metric, ModelManifest, dump_manifest
from models.reference.camera_run import MANIFEST_FILE, open_model, read_manifest
from models.reference.clips import ClipFiles
from models.reference.evaluate import tag_clip
from models.reference.figures import TaggedClip, figures_of, metric_of
from models.standin import card
from models.standin.footage import HELD_OUT_CLIPS
from models.standin.scorer import listed

BUNDLE = Path(__file__).parents[1] / "sightline-standin" / "1"
COMMAND = "python -m models.standin.evaluate --footage DIR --write"


def metrics_of(manifest: ModelManifest, clips: Sequence[TaggedClip], name: str) -> list[Metric]:
    """Every label over `clips` together, ranked as one."""
    figures = [figures_of(label, index, clips) for index, label in enumerate(manifest.labels)]
    return [metric_of(each, name) for each in figures]


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
    manifest = read_manifest(arguments.bundle)
    model = open_model(arguments.bundle, "onnxruntime")
    clips, metrics, spent_ms = list[TaggedClip](), list[Metric](), list[float]()
    for name in HELD_OUT_CLIPS:
        clip, spent = tag_clip(model, manifest, ClipFiles(arguments.footage, name))
        clips.append(clip)
        spent_ms += spent
        metrics += metrics_of(manifest, [clip], name)
    metrics = metrics_of(manifest, clips, "all held-out clips together") + metrics
    spent = Budget(
        board=f"{platform.machine()}, one thread",
        latency_ms=round(statistics.median(spent_ms), 3),
        resident_mib=round(resident_mib(), 1),
    )
    model.close()
    for name in dict.fromkeys(metric.held_out_set for metric in metrics):
        print(f"\n{name}\n" + "\n".join(card.table([m for m in metrics if m.held_out_set == name])))
    print(f"\n{spent.latency_ms} ms a picture (median)")
    if arguments.write:
        write_figures(arguments.bundle, manifest, metrics, spent)
        print(f"written to {arguments.bundle}")


if __name__ == "__main__":
    main()
