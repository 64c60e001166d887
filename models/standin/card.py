"""The model card: the text beside this file, with the measured figures filled in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.wire.model_manifest import Budget, Metric, Quantisation

_TEMPLATE = Path(__file__).with_name("card.md")
_MARK = "{figures}"


def unmeasured() -> str:
    """The card of a bundle that was not evaluated yet."""
    return _filled("Not measured yet.")


def measured(
    metrics: Sequence[Metric], budget: Sequence[Budget], quantisation: Quantisation, command: str
) -> str:
    """The card with the figures and the command that produced them."""
    lines = [f"Made by `{command}`,"]
    lines += ["through the agent's own picture preparation, accelerator, head and tag rules, INT8."]
    for held_out_set in dict.fromkeys(metric.held_out_set for metric in metrics):
        chosen = [metric for metric in metrics if metric.held_out_set == held_out_set]
        lines += ["", f"### {held_out_set}", "", *table(chosen)]
    lines += [
        "",
        "AP over pictures with truth 0 or 1; a model that guesses has an AP of about the",
        "prevalence. A dash: the truth had one kind only. An onset is found when a tag starts",
        "-100 to +500 ms from it.",
        "",
        f"INT8 against float on the held-out ends of the training scenes: largest score difference"
        f" {quantisation.max_score_difference}, decisions changed"
        f" {quantisation.decisions_changed:.2%}.",
    ]
    for spent in budget:
        lines.append(
            f"On {spent.board}: {spent.latency_ms:.2f} ms a picture (preparation, backbone, head,"
            f" tags), {spent.resident_mib:.0f} MiB in the measuring process, decoder included."
        )
    return _filled("\n".join(lines))


def table(metrics: Sequence[Metric]) -> list[str]:
    """One held-out set as a Markdown table."""
    rows = ["| label | AP | prevalence | onsets found | median delay |", "|---|---|---|---|---|"]
    for metric in metrics:
        found = f"{metric.onsets_found} of {metric.onsets}" if metric.onsets else "–"
        precision, delay = metric.average_precision, metric.median_onset_delay_ms
        rows.append(
            f"| {metric.label} | {_shown(precision, '.2f')} | {metric.prevalence:.3f}"
            f" | {found} | {_shown(delay, '.0f', ' ms')} |"
        )
    return rows


def _shown(number: float | None, form: str, unit: str = "") -> str:
    return "–" if number is None else f"{number:{form}}{unit}"


def _filled(figures: str) -> str:
    return _TEMPLATE.read_text(encoding="utf-8").replace(_MARK, figures)
