"""A map as a grid of square cells, and its UDMF text.

Each cell is solid (-1) or shows one `Surface`; walls stand wherever two different cells meet. So
every carved grid is a valid map, and where a point stands is looked up exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

CELL = 32
SOLID = -1
SKY = "F_SKY1"


@dataclass(frozen=True)
class Surface:
    """One sector: heights in map units, texture names, light 0 to 255."""

    floor: int
    ceiling: int
    floor_texture: str
    ceiling_texture: str
    wall: str
    light: int
    scroll: bool = False
    blocks: bool = False
    horizon: bool = False


@dataclass(frozen=True)
class Thing:
    """An actor at (x, y) in cells; `angle` in degrees, 0 = east, counter-clockwise."""

    x: float
    y: float
    angle: int
    kind: int


@dataclass(frozen=True)
class Bend:
    """Bends the grid's x axis round an arc of `radius` cells; infinite leaves it straight."""

    radius: float = math.inf

    def to_map(self, x: float, y: float) -> tuple[float, float]:
        if math.isinf(self.radius):
            return x * CELL, y * CELL
        angle, reach = x / self.radius, self.radius - y
        return reach * math.sin(angle) * CELL, (self.radius - reach * math.cos(angle)) * CELL

    def turn(self, x: float) -> int:
        """Degrees by which the bend turns a direction at `x`."""
        return round(math.degrees(x / self.radius))

    def to_grid(self, x_units: float, y_units: float) -> tuple[float, float]:
        x, y = x_units / CELL, y_units / CELL
        if math.isinf(self.radius):
            return x, y
        angle = math.atan2(x, self.radius - y)
        return angle % (2 * math.pi) * self.radius, self.radius - math.hypot(x, self.radius - y)


@dataclass
class Grid:
    """A map being carved: `cells[x, y]` is an index into `surfaces`, or SOLID."""

    width: int
    height: int
    bend: Bend = field(default_factory=Bend)
    surfaces: list[Surface] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cells: NDArray[np.int16] = np.full((self.width, self.height), SOLID, np.int16)

    def add(self, surface: Surface) -> int:
        if surface not in self.surfaces:
            self.surfaces.append(surface)
        return self.surfaces.index(surface)

    def fill(self, x: int, y: int, width: int, height: int, surface: Surface) -> None:
        """Lay `surface` over a rectangle; what is outside the grid's rim is left out."""
        left, bottom = max(x, 1), max(y, 1)
        right, top = min(x + width, self.width - 1), min(y + height, self.height - 1)
        if right > left and top > bottom:
            self.cells[left:right, bottom:top] = self.add(surface)

    def surface_at(self, x_units: float, y_units: float) -> Surface | None:
        """The sector under a point of the map, None inside a wall or off the map."""
        x, y = self.bend.to_grid(x_units, y_units)
        column, row = math.floor(x), math.floor(y)
        if not (0 <= column < self.width and 0 <= row < self.height):
            return None
        index = int(self.cells[column, row])
        return None if index == SOLID else self.surfaces[index]

    def free(self, x: float, y: float, reach: int = 0) -> bool:
        """Whether the cells within `reach` are one open, walkable floor."""
        column, row = math.floor(x), math.floor(y)
        if not (reach < column < self.width - reach - 1 and reach < row < self.height - reach - 1):
            return False
        block = self.cells[column - reach : column + reach + 1, row - reach : row + reach + 1]
        first = int(block.flat[0])
        if first == SOLID or (block != first).any():
            return False
        surface = self.surfaces[first]
        return surface.ceiling - surface.floor >= 64 and not surface.blocks


def udmf(grid: Grid) -> str:
    """The map's TEXTMAP lump (UDMF, namespace ZDoom)."""
    return _Writer(grid).text()


class _Writer:
    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.vertices: dict[tuple[int, int], int] = {}
        self.parts = ['namespace = "ZDoom";']
        self.sides = 0

    def text(self) -> str:
        lines = self._lines()
        for (ax, ay), (bx, by), front, back in lines:
            self._line((ax, ay), (bx, by), front, back)
        for x, y in self.vertices:
            at_x, at_y = self.grid.bend.to_map(x, y)
            self.parts.append(f"vertex{{x={at_x:.3f};y={at_y:.3f};}}")
        for s in self.grid.surfaces:
            self.parts.append(
                f"sector{{heightfloor={s.floor};heightceiling={s.ceiling};"
                f'texturefloor="{s.floor_texture}";textureceiling="{s.ceiling_texture}";'
                f"lightlevel={s.light};}}"
            )
        for thing in self.grid.things:
            x, y = self.grid.bend.to_map(thing.x, thing.y)
            angle = (thing.angle + self.grid.bend.turn(thing.x)) % 360
            self.parts.append(
                f"thing{{x={x:.3f};y={y:.3f};angle={angle};type={thing.kind};"
                "skill1=true;skill2=true;skill3=true;skill4=true;skill5=true;"
                "single=true;coop=true;dm=true;class1=true;class2=true;class3=true;}"
            )
        return "\n".join(self.parts) + "\n"

    def _lines(self) -> list[tuple[tuple[int, int], tuple[int, int], int, int]]:
        """Unit edges between different cells, front side on the right, runs joined."""
        cells = self.grid.cells
        lines = []
        for x in range(1, self.grid.width):
            for y in range(self.grid.height):
                left, right = int(cells[x - 1, y]), int(cells[x, y])
                if left != right:
                    lines.append(_oriented((x, y), (x, y + 1), right, left))
        for y in range(1, self.grid.height):
            for x in range(self.grid.width):
                below, above = int(cells[x, y - 1]), int(cells[x, y])
                if below != above:
                    lines.append(_oriented((x + 1, y), (x, y), above, below))
        return lines if not math.isinf(self.grid.bend.radius) else _joined(lines)

    def _line(self, a: tuple[int, int], b: tuple[int, int], front: int, back: int) -> None:
        start, end = self._vertex(a), self._vertex(b)
        along = (a[0] + a[1]) * CELL % 1024
        first = self._side(front, back, along)
        surface = self.grid.surfaces[front]
        text = f"linedef{{v1={start};v2={end};sidefront={first};"
        if back == SOLID:
            text += "blocking=true;"
            if surface.scroll:
                text += "special=100;arg0=64;"  # Scroll_Texture_Left
            elif surface.horizon:
                text += "special=9;"  # Line_Horizon
        else:
            other = self.grid.surfaces[back]
            text += f"sideback={self._side(back, front, along)};twosided=true;"
            if surface.blocks or other.blocks:
                text += "blocking=true;"
        self.parts.append(text + "}")

    def _vertex(self, at: tuple[int, int]) -> int:
        return self.vertices.setdefault(at, len(self.vertices))

    def _side(self, sector: int, other: int, along: int) -> int:
        wall = self.grid.surfaces[sector].wall
        if other == SOLID:
            textures = f'texturemiddle="{wall}";'
        else:
            # A lintel is part of the wall one looks at, a step or crate part of itself.
            far = self.grid.surfaces[other]
            textures = f'texturetop="{wall}";texturebottom="{far.wall}";'
        self.parts.append(f"sidedef{{sector={sector};offsetx={along};{textures}}}")
        self.sides += 1
        return self.sides - 1


def _oriented(
    a: tuple[int, int], b: tuple[int, int], right: int, left: int
) -> tuple[tuple[int, int], tuple[int, int], int, int]:
    return (a, b, right, left) if right != SOLID else (b, a, left, right)


def _joined(
    lines: list[tuple[tuple[int, int], tuple[int, int], int, int]],
) -> list[tuple[tuple[int, int], tuple[int, int], int, int]]:
    """Join edges in a row with the same sectors, never across a vertex where others meet."""
    degree: dict[tuple[int, int], int] = {}
    for a, b, _, _ in lines:
        degree[a] = degree.get(a, 0) + 1
        degree[b] = degree.get(b, 0) + 1
    starts = {(a, _way(a, b), f, k): (a, b, f, k) for a, b, f, k in lines}
    ends = {(b, _way(a, b), f, k) for a, b, f, k in lines}
    joined = []
    for a, b, front, back in lines:
        way = _way(a, b)
        if degree[a] == 2 and (a, way, front, back) in ends:
            continue
        end = b
        while degree[end] == 2 and (end, way, front, back) in starts:
            end = starts[end, way, front, back][1]
        joined.append((a, end, front, back))
    return joined


def _way(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return (b[0] > a[0]) - (b[0] < a[0]), (b[1] > a[1]) - (b[1] < a[1])
