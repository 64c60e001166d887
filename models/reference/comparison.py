"""What a comparison of forms of one network found; written by `compare`, read by the card."""

from __future__ import annotations

import msgspec

# `quantised.json`: where INT8 was measured apart from the rest, on fewer pictures.
COMPARISON_FILE, QUANTISED_FILE = "comparison.json", "quantised.json"


class FormFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One form of the network on one set: mean AP and AP per label."""

    form: str
    held_out_set: str
    pictures: int
    mean_average_precision: float
    average_precision: dict[str, float]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All over the same pictures: `frames` of each clip, after its first third (0: all)."""

    frames: int
    figures: list[FormFigures]

    def mean_ap(self, form: str, held_out_set: str) -> float | None:
        """None when it was not measured."""
        for each in self.figures:
            if (each.form, each.held_out_set) == (form, held_out_set):
                return each.mean_average_precision
        return None

    def sets(self) -> list[str]:
        """Held-out sets, in the order that they were measured in."""
        return list(dict.fromkeys(each.held_out_set for each in self.figures))

    def scope(self) -> str:
        """Which pictures, in words."""
        if not self.frames:
            return "over every picture of the sets"
        return f"over {self.frames} consecutive pictures of each clip, from a third of it on"
