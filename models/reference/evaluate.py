"""Evaluate a model bundle on footage with truth, through the camera's own tagging code.

    python -m models.reference.evaluate DIR [--bundle DIR] [--accelerator tflite] [--degrade all]

DIR holds NAME.mp4 and NAME.truth.json, or folders of them (one set each). Prints one table a set
and one over all; `--json FILE` keeps every figure, `--png FILE` draws curves and timelines.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np

from agent.errors import AgentError, FootageError
from agent.services.tagger_model import TaggerModel
from agent.wire.model_manifest import ModelManifest
from models.reference import camera_run
from models.reference.clips import (
    ClipFiles,
    FootageSet,
    at_model_rate,
    find_sets,
    model_instants,
    read_truth,
    stream_video,
    unpaired,
)
from models.reference.figures import LabelFigures, TaggedClip, figures_of, mean_ap
from models.reference.realism import DEGRADATIONS, NEED_EVERY_PICTURE, STRENGTHS, Strength, degrade

SEED = 1


class SetFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Every label of the model on one set, or on all sets together ("all")."""

    name: str
    clips: int
    minutes: float
    mean_average_precision: float | None
    labels: list[LabelFigures]


class DegradedFigures(msgspec.Struct, frozen=True, kw_only=True):
    """AP of one set under one degradation, per label where there is one, and the mean of them."""

    set_name: str
    degradation: str
    strength: Strength
    mean_average_precision: float | None
    average_precision: dict[str, float]


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What one run found. `accelerator` is what really ran; `ms_a_picture`: median, preparation to
    tags. `left_out`: labels of the footage that the model does not have."""

    model: str
    version: int
    semver: str
    artifact_sha256: str
    accelerator: str
    ms_a_picture: float
    left_out: list[str]
    overall: SetFigures
    sets: list[SetFigures]
    degraded: list[DegradedFigures]


@dataclass(frozen=True)
class Tagged:
    """The tagged clips of each set, for the report; `evaluation` are their figures."""

    evaluation: Evaluation
    manifest: ModelManifest
    sets: dict[str, list[TaggedClip]]


def tag_clip(
    model: TaggerModel,
    manifest: ModelManifest,
    clip: ClipFiles,
    change: tuple[str, Strength] | None = None,
) -> tuple[TaggedClip, list[float]]:
    """Tag one clip as a camera would, `change` (degradation, strength) first; ms per picture too.

    Raises FootageError when the clip cannot be read or does not agree with its truth.
    """
    truth = read_truth(clip.truth)
    picks = model_instants(truth.frames, truth.rate_hz, manifest.input.frame_rate_hz)
    pts_ns = [round(index * 1e9 / truth.rate_hz) for index in picks]
    chosen = set(picks)
    # Some degradations need every picture of the source, and what the model sees is taken after.
    in_full = change is not None and change[0] in NEED_EVERY_PICTURE
    shown = stream_video(clip, truth.frames, None if in_full else chosen)
    active, first = next(shown)
    seen = itertools.chain([(active, first)], shown)
    if change is None:
        frames = (frame for _, frame in seen)
    else:
        rate_hz = truth.rate_hz if in_full else manifest.input.frame_rate_hz
        changed = degrade(*change, seen, rate_hz=rate_hz, seed=SEED)
        frames = (f for index, f in enumerate(changed) if not in_full or index in chosen)
    scores, spans, spent_ms = camera_run.tag_frames(model, frames, pts_ns, active)
    events = {label.id for label in manifest.labels if label.kind == "event"}
    tagged = TaggedClip(
        name=clip.name,
        pts_ns=np.array(pts_ns, np.int64),
        period_ns=round(1e9 / manifest.input.frame_rate_hz),
        truth={
            id_: at_model_rate(row, picks, event=id_ in events) for id_, row in truth.labels.items()
        },
        scores=scores,
        spans=tuple(spans),
    )
    return tagged, spent_ms


def evaluate(
    sets: Sequence[FootageSet],
    bundle: Path,
    runtime: camera_run.Runtime,
    degradations: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Tagged:
    """Tag every clip of every set, plain and under each of `degradations` at both strengths."""
    manifest = camera_run.read_manifest(bundle)
    model = camera_run.open_model(bundle, runtime)
    tagged: dict[str, list[TaggedClip]] = {}
    spent_ms, degraded = list[float](), list[DegradedFigures]()
    try:
        for each in sets:
            say(f"{each.name}: {len(each.clips)} clips")
            for clip in each.clips:
                found, spent = tag_clip(model, manifest, clip)
                tagged.setdefault(each.name, []).append(found)
                spent_ms += spent
            for name in degradations:
                for strength in STRENGTHS:
                    say(f"{each.name}: {name}, {strength}")
                    clips = [tag_clip(model, manifest, c, (name, strength))[0] for c in each.clips]
                    degraded.append(_degraded(each.name, name, strength, manifest, clips))
    finally:
        model.close()
    everything = [clip for clips in tagged.values() for clip in clips]
    known = {label.id for label in manifest.labels}
    evaluation = Evaluation(
        model=manifest.name,
        version=manifest.version,
        semver=manifest.semver,
        artifact_sha256=model.provenance.artifact_sha256,
        accelerator=model.provenance.accelerator,
        ms_a_picture=round(statistics.median(spent_ms), 3),
        left_out=sorted({id_ for clip in everything for id_ in clip.truth} - known),
        overall=_set_figures("all", manifest, everything),
        sets=[_set_figures(name, manifest, clips) for name, clips in tagged.items()],
        degraded=degraded,
    )
    return Tagged(evaluation, manifest, tagged)


def _set_figures(name: str, manifest: ModelManifest, clips: list[TaggedClip]) -> SetFigures:
    labels = [figures_of(label, index, clips) for index, label in enumerate(manifest.labels)]
    seconds = sum(len(clip.pts_ns) * clip.period_ns for clip in clips) / 1e9
    return SetFigures(
        name=name,
        clips=len(clips),
        minutes=round(seconds / 60, 2),
        mean_average_precision=mean_ap(labels),
        labels=labels,
    )


def _degraded(
    set_name: str,
    degradation: str,
    strength: Strength,
    manifest: ModelManifest,
    clips: list[TaggedClip],
) -> DegradedFigures:
    figures = _set_figures(set_name, manifest, clips)
    return DegradedFigures(
        set_name=set_name,
        degradation=degradation,
        strength=strength,
        mean_average_precision=figures.mean_average_precision,
        average_precision={
            each.label: each.average_precision
            for each in figures.labels
            if each.average_precision is not None
        },
    )


def table(figures: SetFigures) -> list[str]:
    """One set as lines of text."""
    head = f"{figures.name}: {figures.clips} clips, {figures.minutes:.1f} min, mean AP "
    rows: list[tuple[str, ...]] = [
        ("label", "AP", "prev.", "prec.", "recall", "onsets", "delay", "false/h")
    ]
    rows += [_row(each) for each in figures.labels]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [head + _shown(figures.mean_average_precision, ".3f")]
    for row in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([f"{row[0]:<{widths[0]}}", *cells]))
    return lines


def _row(figures: LabelFigures) -> tuple[str, ...]:
    return (
        figures.label,
        _shown(figures.average_precision, ".3f"),
        _shown(figures.prevalence, ".3f"),
        _shown(figures.precision, ".2f"),
        _shown(figures.recall, ".2f"),
        f"{figures.onsets_found}/{figures.onsets}" if figures.onsets else "-",
        _shown(figures.median_onset_delay_ms, ".0f", " ms"),
        _shown(figures.false_alarms_per_h, ".0f"),
    )


def degraded_table(evaluation: Evaluation) -> list[str]:
    """Mean AP of each set, plain and under each degradation."""
    plain = {each.name: each.mean_average_precision for each in evaluation.sets}
    lines = ["mean AP under degradation (mild, strong)"]
    for name, value in plain.items():
        lines.append(f"{name}: plain {_shown(value, '.3f')}")
        for degradation in dict.fromkeys(each.degradation for each in evaluation.degraded):
            shown = [
                _shown(each.mean_average_precision, ".3f")
                for each in evaluation.degraded
                if (each.set_name, each.degradation) == (name, degradation)
            ]
            lines.append(f"  {degradation:<8}  " + "  ".join(shown))
    return lines


def _shown(number: float | None, form: str, unit: str = "") -> str:
    return "-" if number is None else f"{number:{form}}{unit}"


def chosen_degradations(words: str) -> tuple[str, ...]:
    """ "all", "none" or names with commas between. Raises FootageError."""
    if words in ("all", "none"):
        return tuple(DEGRADATIONS) if words == "all" else ()
    names = tuple(words.split(","))
    unknown = [name for name in names if name not in DEGRADATIONS]
    if unknown:
        raise FootageError(
            f"no degradation is called {unknown[0]}",
            remedy=f"all, none, or some of {', '.join(DEGRADATIONS)}",
        )
    return names


def main(words: Sequence[str] | None = None) -> int:
    """Returns the exit code; prints one line for each error."""
    parser = argparse.ArgumentParser(
        prog="python -m models.reference.evaluate",
        description=(__doc__ or "").split("\n", 1)[0],
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the footage")
    parser.add_argument("--bundle", type=Path, help="the model; the newest one shipped otherwise")
    parser.add_argument(
        "--accelerator", choices=get_args(camera_run.Runtime), default="onnxruntime"
    )
    parser.add_argument(
        "--degrade", default="none", metavar="NAMES", help="all, or names with commas"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw the report")
    arguments = parser.parse_args(words)
    try:
        for line in unpaired(arguments.folder):
            print(f"{line}: left out", file=sys.stderr)
        found = evaluate(
            find_sets(arguments.folder),
            arguments.bundle or camera_run.newest_bundle(),
            arguments.accelerator,
            chosen_degradations(arguments.degrade),
            lambda line: print(line, file=sys.stderr),
        )
        _tell(found, arguments.json, arguments.png)
    except AgentError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


def _tell(found: Tagged, json_file: Path | None, png_file: Path | None) -> None:
    evaluation = found.evaluation
    print(f"{evaluation.model} {evaluation.semver} on {evaluation.accelerator}")
    print(f"{evaluation.ms_a_picture} ms a picture (median, preparation to tags)")
    if evaluation.left_out:
        print(f"not labels of this model, left out: {', '.join(evaluation.left_out)}")
    for figures in [*evaluation.sets, evaluation.overall]:
        if figures is not evaluation.overall or len(evaluation.sets) > 1:
            print("\n" + "\n".join(table(figures)))
    if evaluation.degraded:
        print("\n" + "\n".join(degraded_table(evaluation)))
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(evaluation), indent=2))
    if png_file is not None:
        from models.reference.report import draw

        draw(found, png_file)


if __name__ == "__main__":
    sys.exit(main())
