"""The picture of an evaluation: precision over recall, what degradations cost, tags against truth.

Needs the packages of `requirements/report.txt`; `make model-report` sets them up.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from agent.wire.model_manifest import Label
from models.reference.figures import TaggedClip, precision_recall

if TYPE_CHECKING:
    from models.reference.evaluate import Evaluation, Tagged

COLUMNS = 5
MOST_TIMELINES = 8
_PANEL_CM, _ROW_CM, _WIDTH_CM = 5.2, 0.42, 36.0
_CM = 1 / 2.54
_TRUE, _RIGHT, _WRONG, _UNJUDGED, _UNKNOWN = "#8a8f98", "#2a9d55", "#d9480f", "#c9ccd1", "#ece5c8"
_LEGEND = (
    "    (above: truth, grey where true, yellow where not known; below: tags, green where true,"
    " orange where not)"
)
_STYLE = {"font.size": 8, "axes.titlesize": 9, "axes.spines.top": False, "axes.spines.right": False}


def draw(found: Tagged, file: Path) -> None:
    """Write the report of one evaluation as a PNG."""
    evaluation, labels = found.evaluation, found.manifest.labels
    shown = _timelines(found)
    rows = -(-len(labels) // COLUMNS)
    strips = [_rows_of(clip, labels) for _, clip in shown]
    heights = [rows * _PANEL_CM]
    heights += [6.0] if evaluation.degraded else []
    heights += [1.6 + _ROW_CM * max(1, len(strip)) for strip in strips]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_CM * _CM, (sum(heights) + 2.0) * _CM), layout="constrained")
        figure.suptitle(
            f"{evaluation.model} {evaluation.semver} on {evaluation.accelerator}", fontsize=12
        )
        parts = list(np.atleast_1d(figure.subfigures(len(heights), 1, height_ratios=heights)))
        _draw_curves(parts.pop(0), found)
        if evaluation.degraded:
            _draw_degraded(parts.pop(0), evaluation)
        legend = _LEGEND
        for part, (set_name, clip), strip in zip(parts, shown, strips, strict=True):
            _draw_timeline(part, f"{set_name}: {clip.name}{legend}", clip, strip)
            legend = ""
        figure.savefig(file, dpi=110)


def _timelines(found: Tagged) -> list[tuple[str, TaggedClip]]:
    """From each set in turn the clip with the most onsets, until MOST_TIMELINES are there."""
    ids = [label.id for label in found.manifest.labels]

    def onsets(clip: TaggedClip) -> int:
        turns = [np.diff((clip.truth_of(id_) == 1).astype(int)) for id_ in ids]
        return sum(int((turn == 1).sum()) for turn in turns)

    ranked = {name: sorted(clips, key=onsets, reverse=True) for name, clips in found.sets.items()}
    chosen: list[tuple[str, TaggedClip]] = []
    for turn in range(MOST_TIMELINES):
        for name, clips in ranked.items():
            if turn < len(clips) and len(chosen) < MOST_TIMELINES:
                chosen.append((name, clips[turn]))
    return sorted(chosen, key=lambda pair: (pair[0], pair[1].name))


def _rows_of(clip: TaggedClip, labels: Sequence[Label]) -> list[Label]:
    """Labels that were true or tagged at any time in the clip."""
    return [
        label for label in labels if (clip.truth_of(label.id) == 1).any() or clip.spans_of(label.id)
    ]


def _draw_curves(part: Any, found: Tagged) -> None:
    labels, sets = found.manifest.labels, found.sets
    rows = -(-len(labels) // COLUMNS)
    axes = np.atleast_1d(part.subplots(rows, COLUMNS)).reshape(-1)
    lines = [
        (name, clips, {"lw": 1.2, "color": f"C{number}"})
        for number, (name, clips) in enumerate(sets.items())
    ]
    if len(sets) > 1:
        together = [clip for clips in sets.values() for clip in clips]
        lines.append(("all", together, {"lw": 0.8, "color": "0.3"}))
    overall = {each.label: each for each in found.evaluation.overall.labels}
    for index, (axis, label) in enumerate(zip(axes, labels, strict=False)):
        for name, clips, line in lines:
            truth = np.concatenate([clip.truth_of(label.id) for clip in clips])
            scores = np.concatenate([clip.scores[:, index] for clip in clips])
            curve = precision_recall(truth, scores)
            if curve is not None:
                axis.step(*curve, where="post", label=name, **line)
        figures = overall[label.id]
        if figures.recall is not None and figures.precision is not None:
            axis.plot(figures.recall, figures.precision, "ko", ms=4, label="shipped thresholds")
        if figures.prevalence is not None:
            axis.axhline(figures.prevalence, color="0.6", lw=0.8, ls=":", label="a guess")
        ranked = figures.average_precision
        shown = "no truth of both kinds" if ranked is None else f"AP {ranked:.2f}"
        axis.set_title(f"{label.id}: {shown}")
        axis.set(xlim=(0, 1.02), ylim=(0, 1.03), xlabel="recall", ylabel="precision")
    for axis in axes[len(labels) :]:
        axis.axis("off")
    known = {
        text: line
        for axis in axes
        for line, text in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    part.legend(known.values(), known.keys(), loc="outside lower center", ncols=8, frameon=False)


def _draw_degraded(part: Any, evaluation: Evaluation) -> None:
    """Mean AP of each set: plain, and under each degradation, mild beside strong."""
    axis = part.subplots()
    names = list(dict.fromkeys(each.degradation for each in evaluation.degraded))
    width = 0.8 / (2 * len(evaluation.sets))
    for number, figures in enumerate(evaluation.sets):
        plain = figures.mean_average_precision or 0.0
        axis.axhline(plain, color=f"C{number}", lw=0.9, ls="--")
        for half, (strength, alpha) in enumerate((("mild", 0.55), ("strong", 1.0))):
            values = {
                each.degradation: each.mean_average_precision or 0.0
                for each in evaluation.degraded
                if (each.set_name, each.strength) == (figures.name, strength)
            }
            places = np.arange(len(names)) + (2 * number + half) * width - 0.4 + width / 2
            axis.bar(
                places,
                [values[name] for name in names],
                width * 0.92,
                color=f"C{number}",
                alpha=alpha,
                label=f"{figures.name}, {strength}",
            )
    axis.set_xticks(range(len(names)), names)
    axis.set(ylim=(0, 1), ylabel="mean AP", title="Under degradation (dashed: plain footage)")
    part.legend(loc="outside lower center", ncols=8, frameon=False)


def _draw_timeline(part: Any, title: str, clip: TaggedClip, labels: Sequence[Label]) -> None:
    """Per label: truth above, tags below, right ones and wrong ones in different colours."""
    axis = part.subplots()
    axis.set_title(title, loc="left")
    start_ns = int(clip.pts_ns[0])
    seconds, period_s = (clip.pts_ns - start_ns) / 1e9, clip.period_ns / 1e9
    for row, label in enumerate(labels):
        truth, tagged = clip.truth_of(label.id), clip.tagged(label.id)
        strips = (
            (row + 0.04, truth == -1, _UNKNOWN),
            (row + 0.04, truth == 1, _TRUE),
            (row + 0.46, tagged & (truth == 1), _RIGHT),
            (row + 0.46, tagged & (truth == 0), _WRONG),
            (row + 0.46, tagged & (truth == -1), _UNJUDGED),
        )
        for bottom, on, colour in strips:
            runs = [(seconds[a], b * period_s) for a, b in _runs(on)]
            axis.broken_barh(runs, (bottom, 0.4), color=colour, lw=0)
        axis.axhline(row + 0.95, color="0.9", lw=0.5)
    axis.set_yticks(np.arange(len(labels)) + 0.45, [label.id for label in labels])
    axis.set(xlim=(0, seconds[-1] + period_s), ylim=(max(1, len(labels)), 0), xlabel="s")
    axis.tick_params(length=0)


def _runs(on: np.ndarray[Any, np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    """(first, length) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
