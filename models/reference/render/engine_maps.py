"""The engine's own maps (Freedoom): where there is sky, and where a wearer may start.

Reads the classic map lumps THINGS, LINEDEFS, SIDEDEFS, SEGS, SSECTORS, NODES and SECTORS.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from models.reference.render.grid import SKY
from models.reference.render.wad import Lump

THING = struct.Struct("<hhhhh")
LINEDEF = struct.Struct("<HHHHHHH")
SIDEDEF = struct.Struct("<hh8s8s8sH")
SEG = struct.Struct("<HHhHHh")
SUBSECTOR = struct.Struct("<HH")
NODE = struct.Struct("<hhhh8hHH")
SECTOR = struct.Struct("<hh8s8shhh")
LEAF = 0x8000
# Where a player gets to: pick-ups a classic map puts on open floor, and player starts.
PICKUP_KINDS = frozenset({1, 2007, 2008, 2011, 2012, 2014, 2015, 2048, 2049, 2018})
PARTS = ("THINGS", "LINEDEFS", "SIDEDEFS", "VERTEXES", "SEGS", "SSECTORS", "NODES", "SECTORS")


@dataclass(frozen=True)
class EngineMap:
    """One map's geometry, enough to ask `open_sky` and `starts`."""

    starts: tuple[tuple[int, int, int], ...]
    nodes: tuple[tuple[int, ...], ...]
    leaf_sectors: tuple[int, ...]
    skies: tuple[bool, ...]

    def open_sky(self, x: float, y: float) -> bool:
        """Whether the sector under (x, y) has the sky for a ceiling."""
        child = len(self.nodes) - 1 if self.nodes else LEAF
        while not child & LEAF:
            node = self.nodes[child]
            # A point is on the right (child 0) of the partition line when the product is positive.
            right = (x - node[0]) * node[3] - (y - node[1]) * node[2] > 0
            child = node[12] if right else node[13]
        return self.skies[self.leaf_sectors[child & ~LEAF]]


def read_map(lumps: list[Lump], name: str) -> EngineMap:
    """Raises KeyError when the WAD has no such map."""
    parts = _parts(lumps, name)
    sides = [side[5] for side in SIDEDEF.iter_unpack(parts["SIDEDEFS"])]
    lines = list(LINEDEF.iter_unpack(parts["LINEDEFS"]))
    segs = list(SEG.iter_unpack(parts["SEGS"]))
    leaves = []
    for _, first in SUBSECTOR.iter_unpack(parts["SSECTORS"]):
        seg = segs[first]
        leaves.append(sides[lines[seg[3]][6 if seg[4] else 5]])
    skies = tuple(
        sector[3].rstrip(b"\0").decode("latin-1").upper() == SKY
        for sector in SECTOR.iter_unpack(parts["SECTORS"])
    )
    nodes = tuple(NODE.iter_unpack(parts["NODES"]))
    return EngineMap(tuple(_starts(parts["THINGS"])), nodes, tuple(leaves), skies)


def worn_textures(lumps: list[Lump], name: str) -> set[str]:
    """The names of all textures on the map's walls, floors and ceilings."""
    parts = _parts(lumps, name)
    worn = {text for side in SIDEDEF.iter_unpack(parts["SIDEDEFS"]) for text in side[2:5]}
    worn |= {text for sector in SECTOR.iter_unpack(parts["SECTORS"]) for text in sector[2:4]}
    return {text.split(b"\0")[0].decode("latin-1").upper() for text in worn}


def _parts(lumps: list[Lump], name: str) -> dict[str, bytes]:
    index = next((i for i, lump in enumerate(lumps) if lump.name == name), None)
    if index is None:
        raise KeyError(f"no map {name}")
    parts = {
        lump.name: lump.content for lump in lumps[index + 1 : index + 11] if lump.name in PARTS
    }
    return parts


def _starts(things: bytes) -> Iterator[tuple[int, int, int]]:
    for x, y, angle, kind, flags in THING.iter_unpack(things):
        # 0x10: for games of several players alone.
        if kind in PICKUP_KINDS and not flags & 0x10:
            yield x, y, angle
