"""Layouts that never appear in training: other plans, and everything bent round an arc."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from models.reference.render.grid import SOLID, Bend, Grid
from models.reference.render.layouts import (
    Place,
    in_line,
    outside_view,
    peopled,
    props,
    raised,
    room,
    yard,
)
from models.reference.render.looks import Look


def ring_building(rng: random.Random, look: Look) -> Place:
    """A corridor all round, cells off it on its inner side, a pillared court in the middle."""
    width, height, way = rng.randrange(44, 56), rng.randrange(34, 42), rng.randrange(4, 6)
    grid = Grid(width, height, Bend(height + rng.uniform(25, 60)))
    corridor = room(look, rng, 112)
    grid.fill(1, 1, width - 2, height - 2, corridor)
    left, low = 1 + way, 1 + way
    inner_width, inner_height = width - 2 - 2 * way, height - 2 - 2 * way
    grid.cells[left : left + inner_width, low : low + inner_height] = SOLID
    depth = rng.randrange(6, 8)
    for x in range(left + 1, left + inner_width - 7, 8):
        for y, door_y in ((low + 1, low), (low + inner_height - 1 - depth, low + inner_height - 1)):
            cell = room(look, rng)
            grid.fill(x, y, 7, depth, cell)
            grid.fill(x + 2, door_y, 3, 1, replace(cell, ceiling=80))
    court = yard(look, rng, 208) if rng.random() < 0.5 else room(look, rng, 176)
    court_y, court_height = low + depth + 2, inner_height - 2 * depth - 4
    grid.fill(left + 1, court_y, inner_width - 2, court_height, court)
    for x in range(left + 5, left + inner_width - 4, 6):
        grid.cells[x, court_y + court_height // 2] = SOLID
    grid.fill(left, court_y + court_height // 2 - 1, 1, 3, replace(corridor, ceiling=84))
    grid.fill(left + inner_width - 1, court_y + court_height // 2 - 1, 1, 3,
              replace(corridor, ceiling=84))  # fmt: skip
    centres = [(left - way / 2, float(y)) for y in range(4, height - 4, 5)]
    centres += [(float(x), court_y + 1.5) for x in range(left + 3, left + inner_width - 3, 4)]
    return peopled(grid, rng, centres)


def curved_street(rng: random.Random, look: Look) -> Place:
    """A street in a curve: a square with a basin, bollards, niches in the walls."""
    length, narrow, wide = rng.randrange(70, 90), rng.randrange(7, 10), rng.randrange(18, 24)
    grid = Grid(length, wide + 10, Bend(wide + 10 + rng.uniform(40, 80)))
    middle = grid.height // 2
    ground = yard(look, rng, 320)
    at = 1
    while at < length - 1:
        span = rng.randrange(6, 12)
        across = wide if length // 3 < at < 2 * length // 3 else narrow
        part = replace(ground, ceiling=rng.choice((176, 240, 320)), wall=rng.choice(look.facades))
        grid.fill(at, middle - across // 2, span, across, part)
        if rng.random() < 0.6:
            side = middle - across // 2 - 2 if rng.random() < 0.5 else middle + (across + 1) // 2
            niche = replace(
                part, ceiling=112, ceiling_texture=look.ceilings[0], light=part.light - 40
            )
            grid.fill(at + 1, side, 4, 2, niche)
        at += span
    basin = raised(ground, 18, rng.choice(look.objects))
    grid.fill(length // 2 - 4, middle - 3, 8, 6, basin)
    grid.fill(length // 2 - 3, middle - 2, 6, 4, replace(basin, floor=8, floor_texture=look.water))
    for x in range(6, length - 6, rng.randrange(4, 7)):
        if abs(x - length // 2) > 6:
            grid.fill(x, middle + narrow // 2 - 2, 1, 1, raised(ground, 30, look.objects[0]))
    props(grid, rng, rng.randrange(2, 6))
    return peopled(
        grid, rng, [(float(x), middle + rng.uniform(-2, 2)) for x in range(5, length - 5, 4)]
    )


def compartment_train(rng: random.Random, look: Look) -> Place:
    """A carriage with a side corridor and compartments behind it, on a curve."""
    count, pitch, deep = rng.randrange(6, 9), rng.randrange(6, 8), rng.randrange(4, 6)
    way, outside = 3, 4
    length = count * pitch + 8
    grid = Grid(length + 4, way + deep + 7 + 2 * outside, Bend(rng.uniform(60, 140)))
    view = outside_view(rng, look)
    floor = room(look, rng, rng.choice((90, 100)))
    low = outside + 2
    top = low + way + 1 + deep
    grid.fill(1, 1, length, outside, view)
    grid.fill(1, top + 1, length, outside, view)
    grid.fill(2, low, length - 2, way, floor)
    glass = replace(floor, floor=36, ceiling=floor.ceiling - 12, blocks=True)
    bench = replace(raised(floor, 22, rng.choice(look.objects)), blocks=True)
    for n in range(count):
        x = 4 + n * pitch
        cell = replace(floor, light=max(96, floor.light + rng.choice((-32, 0, 16))))
        grid.fill(x, low + way + 1, pitch - 1, deep, cell)
        grid.fill(x + pitch // 2 - 1, low + way, 2, 1, replace(floor, ceiling=78))
        grid.fill(x, low + way + 2, 1, deep - 1, bench)
        grid.fill(x + pitch - 2, low + way + 2, 1, deep - 1, bench)
        grid.fill(x + 1, top, pitch - 3, 1, glass)
        grid.fill(x + 1, low - 1, pitch - 2, 1, glass)
    posts = [(float(x) + 0.5, low + 1.5) for x in range(5, length - 2, 3)]
    posts += [(4 + n * pitch + pitch / 2 - 0.5, low + way + deep - 0.5) for n in range(count)]
    return in_line(grid, rng, posts, low + way / 2)


def twin_ferry(rng: random.Random, look: Look) -> Place:
    """Two cabins port and starboard with an open passage between, on a curved hull."""
    length, beam, sea = rng.randrange(40, 54), rng.randrange(18, 24), 12
    grid = Grid(length + 2 * sea, beam + 2 * sea, Bend(beam + 2 * sea + rng.uniform(60, 120)))
    deck = replace(yard(look, rng, 288), floor_texture=rng.choice(look.decks))
    water = replace(deck, floor=-56, floor_texture=look.water, blocks=True, horizon=True)
    grid.fill(1, 1, grid.width - 2, grid.height - 2, water)
    rail = replace(raised(deck, 32, rng.choice(look.objects)), blocks=True)
    grid.fill(sea, sea, length, beam, rail)
    grid.fill(sea + 1, sea + 1, length - 2, beam - 2, deck)
    long, x = length - 22, sea + 11
    wide = beam // 2 - 4
    near = replace(deck, ceiling=128, wall=rng.choice(look.facades))
    grid.fill(x - 1, sea + 1, long + 2, beam - 2, near)
    for y, inner in ((sea + 2, sea + 2 + wide), (sea + beam - 3 - wide, sea + beam - 4 - wide)):
        grid.cells[x : x + long, min(y, inner) : max(y + wide, inner + 1)] = SOLID
        inside = room(look, rng, 104)
        grid.fill(x + 1, y, long - 2, wide, inside)
        for at in range(x + 3, x + long - 5, 6):
            grid.fill(at, inner, 3, 1, replace(inside, ceiling=80))
    centres = [(sea + 3.0 + n, sea + beam / 2) for n in range(0, length - 6, 3)]
    centres += [(x + long / 2, sea + 2 + wide / 2), (x + 4.0, sea + beam - 3 - wide / 2)]
    return peopled(grid, rng, centres)


LAYOUTS: dict[str, Callable[[random.Random, Look], Place]] = {
    "building": ring_building,
    "street": curved_street,
    "train": compartment_train,
    "ferry": twin_ferry,
}
