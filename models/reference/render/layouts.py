"""Layouts of the themes building, range, street, train and ferry: seeded, on a grid.

All sizes in cells of 32 map units; the wearer's eye is 41 units above the floor, a step of more
than 24 units stops it, and 56 units of headroom are needed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from models.reference.render.actors import KIND_NUMBERS, ROLE_CLASSES
from models.reference.render.grid import SKY, SOLID, Grid, Surface, Thing
from models.reference.render.looks import Look

START_KIND = 1
PROPS = (85, 2028, 48, 54, 47)


@dataclass(frozen=True)
class Place:
    """A carved map: where the wearer starts, and where people stand (in cells)."""

    grid: Grid
    start: tuple[float, float, int]
    posts: tuple[tuple[float, float], ...]


def room(look: Look, rng: random.Random, ceiling: int | None = None) -> Surface:
    """An indoor floor in this look."""
    return Surface(
        floor=0,
        ceiling=ceiling or rng.choice((104, 112, 128, 160)),
        floor_texture=rng.choice(look.floors),
        ceiling_texture=rng.choice(look.ceilings),
        wall=rng.choice(look.walls),
        light=_lit(look.light, rng),
    )


def yard(look: Look, rng: random.Random, ceiling: int) -> Surface:
    """Open ground under the sky, its outer wall a facade `ceiling` units high."""
    return Surface(0, ceiling, rng.choice(look.roads), SKY, rng.choice(look.facades),
                   min(255, look.light + 24))  # fmt: skip


def raised(surface: Surface, height: int, texture: str) -> Surface:
    """An object standing on `surface`: a crate, a desk, a car."""
    return replace(surface, floor=surface.floor + height, floor_texture=texture, wall=texture,
                   blocks=height > 24)  # fmt: skip


def _lit(light: int, rng: random.Random) -> int:
    return max(80, min(255, light + rng.choice((-48, -24, 0, 0, 16))))


# --- building -------------------------------------------------------------------------------------


def building(rng: random.Random, look: Look) -> Place:
    """Rooms off rooms by halving, doors three cells wide, crates; now and then a yard."""
    grid = Grid(rng.randrange(44, 60), rng.randrange(34, 46))
    walls: list[tuple[bool, int, int, int]] = []
    rooms: list[tuple[int, int, int, int]] = []
    _halve(rng, (1, 1, grid.width - 2, grid.height - 2), rng.randrange(10, 16), rooms, walls)
    outside = rng.randrange(len(rooms)) if rng.random() < 0.6 else -1
    for i, (x, y, width, height) in enumerate(rooms):
        floor = yard(look, rng, 192) if i == outside else room(look, rng)
        grid.fill(x, y, width, height, floor)
    for wall in walls:
        _door(grid, rng, look, wall)
    for x, y, width, height in rooms:
        for _ in range(rng.randrange(0, 4)):
            _crate(grid, rng, look, (x, y, width, height))
    centres = [(x + w / 2, y + h / 2) for x, y, w, h in rooms]
    return peopled(grid, rng, centres)


def _halve(
    rng: random.Random,
    area: tuple[int, int, int, int],
    limit: int,
    rooms: list[tuple[int, int, int, int]],
    walls: list[tuple[bool, int, int, int]],
) -> None:
    """Split `area` (x, y, width, height) into rooms; `walls`: (upright, at, start, length)."""
    x, y, width, height = area
    if max(width, height) < 2 * limit or (len(rooms) > 0 and rng.random() < 0.06):
        rooms.append(area)
        return
    if width >= height:
        cut = rng.randrange(limit // 2 + 2, width - limit // 2 - 2)
        walls.append((True, x + cut, y, height))
        _halve(rng, (x, y, cut, height), limit, rooms, walls)
        _halve(rng, (x + cut + 1, y, width - cut - 1, height), limit, rooms, walls)
    else:
        cut = rng.randrange(limit // 2 + 2, height - limit // 2 - 2)
        walls.append((False, y + cut, x, width))
        _halve(rng, (x, y, width, cut), limit, rooms, walls)
        _halve(rng, (x, y + cut + 1, width, height - cut - 1), limit, rooms, walls)


def _door(grid: Grid, rng: random.Random, look: Look, wall: tuple[bool, int, int, int]) -> None:
    upright, at, start, length = wall
    opening = replace(room(look, rng, 80), light=look.light)
    for _ in range(rng.choice((1, 1, 2))):
        for _ in range(30):
            offset = start + rng.randrange(1, max(2, length - 4))
            sides = (
                grid.cells[at - 1, offset : offset + 3],
                grid.cells[at + 1, offset : offset + 3],
            )
            if not upright:
                sides = (
                    grid.cells[offset : offset + 3, at - 1],
                    grid.cells[offset : offset + 3, at + 1],
                )
            if all((side >= 0).all() for side in sides):
                if upright:
                    grid.fill(at, offset, 1, 3, opening)
                else:
                    grid.fill(offset, at, 3, 1, opening)
                break


def _crate(grid: Grid, rng: random.Random, look: Look, area: tuple[int, int, int, int]) -> None:
    x, y, width, height = area
    if width < 9 or height < 9:
        return
    at_x, at_y = x + rng.randrange(3, width - 5), y + rng.randrange(3, height - 5)
    base = grid.surfaces[int(grid.cells[at_x, at_y])]
    size = rng.choice((1, 2, 2, 3))
    grid.fill(at_x, at_y, size, rng.choice((1, 2)),
              raised(base, rng.choice((20, 28, 40, 56)), rng.choice(look.objects)))  # fmt: skip


# --- firing range ---------------------------------------------------------------------------------


def firing_range(rng: random.Random, look: Look) -> Place:
    """A hall of lanes with paper targets; open above every other time."""
    lanes = rng.randrange(3, 6)
    grid = Grid(rng.randrange(26, 40), lanes * 5 + 2)
    open_air = rng.random() < 0.5
    hall = yard(look, rng, 128) if open_air else room(look, rng, 128)
    grid.fill(1, 1, grid.width - 2, grid.height - 2, hall)
    for lane in range(1, lanes):
        grid.fill(7, lane * 5, 3, 1, raised(hall, 72, rng.choice(look.objects)))
    far = rng.randrange(15, 22)
    for lane in range(lanes):
        for _ in range(rng.choice((1, 2))):
            at = (rng.uniform(far - 7, far), lane * 5 + 3.5 + rng.uniform(-1, 1))
            grid.things.append(Thing(*at, 180, KIND_NUMBERS["SLTarget"]))
    lane = rng.randrange(lanes)
    posts = tuple((6.0 + rng.random(), n * 5 + 3.5) for n in range(lanes) if n != lane)
    far_posts = tuple((rng.uniform(11, far), rng.uniform(3, grid.height - 3)) for _ in range(3))
    return Place(grid, (5.0, lane * 5 + 3.5, 0), posts + far_posts)


# --- street ---------------------------------------------------------------------------------------


def street(rng: random.Random, look: Look) -> Place:
    """A road between facades of many heights, parked cars, shops one can enter."""
    length, road_width = rng.randrange(60, 90), rng.randrange(7, 12)
    deep = 9
    grid = Grid(length, road_width + 8 + 2 * deep)
    low, high = deep, deep + 4 + road_width
    road = yard(look, rng, 384)
    grid.fill(1, low + 4, length - 2, road_width, road)
    doors: list[tuple[float, float]] = []
    x = 1
    while x < length - 1:
        width = rng.randrange(7, 15)
        for y, inward in ((low, -1), (high, 1)):
            walk = replace(yard(look, rng, rng.choice((160, 224, 288, 352))), floor=8)
            grid.fill(x, y, width, 4, walk)
            if rng.random() < 0.5 and x + width < length - 2:
                doors.append(
                    _shop(grid, rng, look, x + width // 2, y if inward < 0 else y + 3, inward)
                )
        x += width
    for _ in range(rng.randrange(2, 6)):
        _car(
            grid,
            rng,
            look,
            road,
            rng.randrange(4, length - 10),
            low + 4 + rng.choice((0, road_width - 3)),
        )
    if rng.random() < 0.25:
        pond = replace(road, floor=-16, floor_texture=look.water, blocks=True)
        grid.fill(rng.randrange(8, length - 12), low + 6, 5, max(2, road_width - 5), pond)
    props(grid, rng, rng.randrange(2, 7))
    centres = [(float(n), low + 4 + road_width / 2) for n in range(6, length - 6, 6)]
    return peopled(grid, rng, centres + doors)


def _shop(
    grid: Grid, rng: random.Random, look: Look, x: int, edge: int, inward: int
) -> tuple[float, float]:
    width, depth = rng.randrange(6, 10), rng.randrange(5, 7)
    floor = replace(room(look, rng, 112), floor=8)
    left = x - width // 2
    if inward < 0:
        grid.fill(left, edge - 1 - depth, width, depth, floor)
        grid.fill(x - 1, edge - 1, 3, 1, replace(floor, ceiling=88))
        return float(x), edge - 1 - depth / 2
    grid.fill(left, edge + 2, width, depth, floor)
    grid.fill(x - 1, edge + 1, 3, 1, replace(floor, ceiling=88))
    return float(x), edge + 2 + depth / 2


def _car(grid: Grid, rng: random.Random, look: Look, road: Surface, x: int, y: int) -> None:
    paint = rng.choice(look.objects)
    grid.fill(x, y, 6, 3, raised(road, 28, paint))
    grid.fill(x + 2, y, 3, 3, raised(road, 46, paint))


# --- train ----------------------------------------------------------------------------------------


def train(rng: random.Random, look: Look) -> Place:
    """Two or three carriages: rows of seats on both sides of an aisle, windows, moving outside."""
    cars, car = rng.choice((2, 3)), rng.randrange(20, 28)
    side = rng.choice((2, 2, 1))
    aisle = rng.choice((2, 3, 3))
    inner = 2 * side + aisle
    outside = 4
    grid = Grid(cars * (car + 3) + 3, inner + 4 + 2 * outside)
    y = outside + 2
    floor = room(look, rng, rng.choice((88, 96, 104)))
    view = outside_view(rng, look)
    grid.fill(1, 1, grid.width - 2, outside, view)
    grid.fill(1, y + inner + 1, grid.width - 2, outside, view)
    pitch = rng.choice((3, 4))
    seat = replace(raised(floor, 22, rng.choice(look.objects)), blocks=True)
    back = replace(raised(floor, 44, seat.floor_texture), blocks=True)
    glass = replace(floor, floor=rng.choice((34, 38)), ceiling=floor.ceiling - 14, blocks=True)
    for n in range(cars):
        x = 2 + n * (car + 3)
        grid.fill(x, y, car, inner, floor)
        if n + 1 < cars:
            grid.fill(
                x + car, y + side, 3, aisle, replace(floor, ceiling=80, light=floor.light - 32)
            )
        for at in range(x + 3, x + car - 3, pitch):
            for row in (y, y + side + aisle):
                grid.fill(at, row, 1, side, seat)
                grid.fill(at + 1, row, 1, side, back)
        for at in range(x + 2, x + car - 3, 4):
            grid.fill(at, y - 1, 3, 1, glass)
            grid.fill(at, y + inner, 3, 1, glass)
    middle = y + side + aisle / 2
    posts = [(float(at) + 0.5, middle + rng.uniform(-0.5, 0.5) * (aisle - 1.5))
             for at in range(4, grid.width - 4, 2)]  # fmt: skip
    return in_line(grid, rng, posts, middle)


def outside_view(rng: random.Random, look: Look) -> Surface:
    if rng.random() < 0.3:
        return Surface(-24, 120, look.roads[0], look.ceilings[0], look.facades[0], 80, True, True)
    return Surface(-24, rng.choice((72, 112, 168)), look.roads[0], SKY, look.facades[0],
                   min(255, look.light + 32), True, True)  # fmt: skip


# --- ferry ----------------------------------------------------------------------------------------


def ferry(rng: random.Random, look: Look) -> Place:
    """A deck with rails on open water, a cabin with windows amidships."""
    length, beam, sea = rng.randrange(40, 60), rng.randrange(14, 20), 14
    grid = Grid(length + 2 * sea, beam + 2 * sea)
    deck = replace(yard(look, rng, 320), floor_texture=rng.choice(look.decks))
    water = replace(deck, floor=-72, floor_texture=look.water, blocks=True, horizon=True)
    grid.fill(1, 1, grid.width - 2, grid.height - 2, water)
    rail = replace(raised(deck, rng.choice((26, 30, 34)), rng.choice(look.objects)), blocks=True)
    grid.fill(sea, sea, length, beam, rail)
    grid.fill(sea + 1, sea + 1, length - 2, beam - 2, deck)
    long, wide = rng.randrange(14, 22), beam - rng.choice((6, 8))
    left, low = sea + rng.randrange(8, length - long - 8), sea + (beam - wide) // 2
    _cabin(grid, rng, look, (left, low, long, wide), deck)
    for _ in range(rng.randrange(1, 5)):
        at_x = sea + rng.choice(
            (rng.randrange(3, left - sea - 3), rng.randrange(left - sea + long + 2, length - 4))
        )
        crate = raised(deck, rng.choice((20, 32, 48)), rng.choice(look.objects))
        grid.fill(at_x, sea + rng.randrange(3, beam - 5), 2, 2, crate)
    centres = [(sea + 3.0 + n, sea + rng.uniform(2, beam - 2)) for n in range(0, length - 6, 4)]
    inside = [(left + long / 2, low + wide / 2), (left + 3.0, low + wide / 2)]
    return peopled(grid, rng, centres + inside)


def _cabin(
    grid: Grid, rng: random.Random, look: Look, area: tuple[int, int, int, int], deck: Surface
) -> None:
    """Solid walls round a room: a door at each end, windows along the sides, benches."""
    x, y, width, height = area
    inside = room(look, rng, 104)
    # A wall is as high as the ceiling before it: a lower sky round the cabin keeps it low.
    near = replace(deck, ceiling=rng.choice((112, 136)), wall=rng.choice(look.facades))
    grid.fill(x - 1, y - 1, width + 2, height + 2, near)
    grid.cells[x : x + width, y : y + height] = SOLID
    grid.fill(x + 1, y + 1, width - 2, height - 2, inside)
    door = replace(inside, ceiling=80)
    middle = y + height // 2 - 1
    grid.fill(x, middle, 1, 3, door)
    grid.fill(x + width - 1, middle, 1, 3, door)
    glass = replace(inside, floor=36, ceiling=84, blocks=True)
    for at in range(x + 2, x + width - 4, 4):
        grid.fill(at, y, 3, 1, glass)
        grid.fill(at, y + height - 1, 3, 1, glass)
        bench = replace(raised(inside, 20, rng.choice(look.objects)), blocks=True)
        grid.fill(at, y + 1, 2, 1, bench)


# --- people ---------------------------------------------------------------------------------------


def peopled(grid: Grid, rng: random.Random, centres: list[tuple[float, float]]) -> Place:
    """A start on open floor, and posts near `centres` and all over the map."""
    posts = [
        (x + dx, y + dy)
        for x, y in centres
        for dx, dy in ((0.5, 0.5), (rng.uniform(-3, 3), rng.uniform(-3, 3)))
    ]
    posts += [(rng.uniform(2, grid.width - 2), rng.uniform(2, grid.height - 2)) for _ in range(60)]
    posts = [post for post in posts if grid.free(*post, reach=1)]
    rng.shuffle(posts)
    if not posts:
        raise ValueError("no open floor in this layout")
    start = posts[0]
    # People stand near: half of the posts are the nearest ones.
    rest = sorted(posts[1:], key=lambda p: (p[0] - start[0]) ** 2 + (p[1] - start[1]) ** 2)
    rest = [p for p in rest if abs(p[0] - start[0]) + abs(p[1] - start[1]) > 3]
    near = rest[: max(10, len(rest) // 3)]
    angle = _towards(start, near[:6]) if rng.random() < 0.8 else rng.choice((0, 90, 180, 270))
    rng.shuffle(near)
    return Place(grid, (*start, angle), tuple(near + rest[len(near) :]))


def _towards(start: tuple[float, float], posts: list[tuple[float, float]]) -> int:
    """The quarter turn that faces most of `posts`."""
    dx = sum(p[0] - start[0] for p in posts)
    dy = sum(p[1] - start[1] for p in posts)
    if abs(dx) > abs(dy):
        return 0 if dx > 0 else 180
    return 90 if dy > 0 else 270


def in_line(
    grid: Grid, rng: random.Random, posts: list[tuple[float, float]], middle: float
) -> Place:
    forward = rng.random() < 0.5
    start = (4.0, middle, 0) if forward else (grid.width - 5.0, middle, 180)
    rest = [p for p in posts if abs(p[0] - start[0]) > 4 and grid.free(*p)]
    rng.shuffle(rest)
    return Place(grid, start, tuple(rest))


def props(grid: Grid, rng: random.Random, count: int) -> None:
    for _ in range(count):
        at = (rng.uniform(2, grid.width - 2), rng.uniform(2, grid.height - 2))
        if grid.free(*at, reach=1):
            grid.things.append(Thing(*at, 0, rng.choice(PROPS)))


def place_people(place: Place, rng: random.Random, roles: tuple[str, ...]) -> None:
    """Stand one person a role at the posts, in order; add the wearer's start."""
    x, y, angle = place.start
    place.grid.things.append(Thing(x, y, angle, START_KIND))
    taken: list[tuple[float, float]] = [(x, y)]
    posts = iter(place.posts)
    for role in roles:
        for post in posts:
            if all(abs(post[0] - t[0]) + abs(post[1] - t[1]) > 1.6 for t in taken):
                taken.append(post)
                kind = KIND_NUMBERS[rng.choice(ROLE_CLASSES[role])]
                place.grid.things.append(Thing(*post, rng.randrange(0, 360, 45), kind))
                break


LAYOUTS: dict[str, Callable[[random.Random, Look], Place]] = {
    "building": building,
    "range": firing_range,
    "street": street,
    "train": train,
    "ferry": ferry,
}
