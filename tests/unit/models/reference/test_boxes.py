"""Boxes of the truth as a coarse map: who counts, who nearly counts, and where."""

from __future__ import annotations

import numpy as np

from models.reference.boxes import box_bits, map_target

SIZE = (320, 180)


def bits(kind: str, xywh: list[float], pixels: int) -> np.ndarray:
    return box_bits([{"kind": kind, "xywh": xywh, "pixels": pixels}], SIZE, 112, 192)


def test_a_visible_person_marks_its_squares_alone() -> None:
    found = bits("civ", [160, 90, 32, 60], 1500)
    assert found.shape == (28, 48)
    rows, columns = np.nonzero(found)
    # A little inside the box: x from 160 to 192 of 320 is square 24 to 28.8 of 48.
    assert (columns.min(), columns.max()) == (24, 28)
    assert (rows.min(), rows.max()) == (14, 22)
    assert set(found[found > 0]) == {1 << 1}


def test_a_person_too_low_for_the_definition_is_in_doubt_or_nothing() -> None:
    nearly = bits("hostile", [100, 90, 8, 11], 80)
    assert set(nearly[nearly > 0]) == {1 << 4}
    assert not bits("hostile", [100, 90, 4, 6], 20).any()


def test_a_body_counts_by_its_area_whatever_its_height() -> None:
    found = bits("dead", [100, 90, 30, 6], 100)
    assert set(found[found > 0]) == {1 << 3}


def test_a_kind_that_no_label_speaks_of_is_left_out() -> None:
    assert not bits("barrel", [100, 90, 40, 60], 2000).any()


def test_a_box_beyond_the_edge_stays_inside_the_map() -> None:
    found = bits("civ", [300, 150, 40, 60], 1200)
    assert found[22:, 45:].any()


def test_the_networks_map_joins_four_squares_and_asks_nothing_of_doubt() -> None:
    stored = np.zeros((1, 4, 4), np.uint8)
    stored[0, 0, 1] = 1 << 2
    stored[0, 3, 3] = 1 << (4 + 1)
    target, weight = map_target(stored)
    assert target.shape == (1, 4, 2, 2)
    assert target[0, 2].tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert target.sum() == 1.0
    assert weight[0, 1].tolist() == [[1.0, 1.0], [1.0, 0.0]]
    assert weight[0, 2].all()
