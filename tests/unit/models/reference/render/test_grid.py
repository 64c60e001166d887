"""Carved maps: closed sectors, exact look-up of where a point stands, open posts."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.reference.render import layouts, layouts_unseen
from models.reference.render.grid import CELL, SKY, Bend, Grid, Surface, Thing, udmf
from models.reference.render.looks import draw_look

FLOOR = Surface(0, 128, "FLAT1", "CEIL1_1", "BRICK1", 160)
YARD = Surface(0, 256, "GRASS1", SKY, "BRICK6", 200)
LINE = re.compile(r"linedef\{v1=(\d+);v2=(\d+);sidefront=(\d+);(?:sideback=(\d+);)?")
SIDE = re.compile(r"sidedef\{sector=(\d+);")


def lines_by_sector(text: str) -> dict[int, list[tuple[int, int]]]:
    """sector -> its directed border: front sides as drawn, back sides the other way round."""
    sectors = [int(m.group(1)) for m in SIDE.finditer(text)]
    border: dict[int, list[tuple[int, int]]] = {}
    for match in LINE.finditer(text):
        a, b, front, back = match.groups()
        border.setdefault(sectors[int(front)], []).append((int(a), int(b)))
        if back is not None:
            border.setdefault(sectors[int(back)], []).append((int(b), int(a)))
    return border


def assert_closed(text: str) -> None:
    for border in lines_by_sector(text).values():
        leaving, arriving = Counter(a for a, _ in border), Counter(b for _, b in border)
        assert leaving == arriving


def test_one_room_is_four_walls_with_the_room_on_the_right() -> None:
    grid = Grid(6, 5)
    grid.fill(1, 1, 4, 3, FLOOR)
    text = udmf(grid)
    assert len(LINE.findall(text)) == 4
    assert text.count("blocking=true") == 4
    assert_closed(text)


def test_two_floors_side_by_side_share_one_open_line() -> None:
    grid = Grid(8, 5)
    grid.fill(1, 1, 3, 3, FLOOR)
    grid.fill(4, 1, 3, 3, YARD)
    text = udmf(grid)
    assert text.count("twosided=true") == 1
    assert len(LINE.findall(text)) == 7
    assert_closed(text)


def test_a_fill_never_reaches_the_rim_of_the_map() -> None:
    grid = Grid(5, 5)
    grid.fill(-3, -3, 20, 20, FLOOR)
    assert (grid.cells[0] == -1).all()
    assert (grid.cells[:, -1] == -1).all()
    assert grid.cells[1, 1] == 0


def test_a_point_is_looked_up_in_the_sector_it_stands_on() -> None:
    grid = Grid(8, 5)
    grid.fill(1, 1, 3, 3, FLOOR)
    grid.fill(4, 1, 3, 3, YARD)
    assert grid.surface_at(2 * CELL, 2 * CELL) == FLOOR
    assert grid.surface_at(5 * CELL, 2 * CELL) == YARD
    assert grid.surface_at(0, 0) is None
    assert grid.surface_at(-1e6, 1e6) is None


@given(st.floats(0, 80), st.floats(0, 40), st.floats(60, 300))
def test_a_bend_is_undone_exactly(x: float, y: float, radius: float) -> None:
    bend = Bend(radius)
    assert bend.to_grid(*bend.to_map(x, y)) == pytest.approx((x, y), abs=1e-6)


def test_a_thing_on_a_bend_turns_with_it() -> None:
    grid = Grid(40, 5, Bend(40.0))
    grid.fill(1, 1, 38, 3, FLOOR)
    grid.things.append(Thing(20.0, 2.0, 0, 1))
    assert "angle=29;type=1;" in udmf(grid)


PLANS = [("common", name) for name in layouts.LAYOUTS]
PLANS += [("unseen", name) for name in layouts_unseen.LAYOUTS]


@pytest.mark.parametrize(("pool", "theme"), PLANS)
def test_every_layout_is_a_closed_map_with_open_floor_for_its_people(pool: str, theme: str) -> None:
    plans = layouts.LAYOUTS if pool == "common" else layouts_unseen.LAYOUTS
    for seed in range(4):
        rng = random.Random(seed)
        place = plans[theme](rng, draw_look(rng, "common"))
        layouts.place_people(place, rng, ("hostile", "civ", "hostage", "dead"))
        text = udmf(place.grid)
        assert_closed(text)
        people = [t for t in place.grid.things if t.kind >= 12000 and t.kind != 12050]
        assert len(people) == 4, "no post was left for somebody"
        for thing in people:
            surface = place.grid.surface_at(*place.grid.bend.to_map(thing.x, thing.y))
            assert surface is not None
            assert not surface.blocks
        start = place.grid.surface_at(*place.grid.bend.to_map(*place.start[:2]))
        assert start is not None
        assert start.ceiling - start.floor >= 64


def test_the_same_seed_carves_the_same_map() -> None:
    def text(seed: int) -> str:
        rng = random.Random(seed)
        return udmf(layouts.street(rng, draw_look(rng, "common")).grid)

    assert text(5) == text(5)
    assert text(5) != text(6)
