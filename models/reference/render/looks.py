"""Looks: which textures a scene wears. Two pools that share no name and no pattern."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.reference.render.wad import Lump, png

Pixels = NDArray[np.float32]
SIDE = 64


@dataclass(frozen=True)
class Pool:
    """Texture names of the engine's art, by use, and the patterns that are drawn besides."""

    walls: tuple[str, ...]
    facades: tuple[str, ...]
    floors: tuple[str, ...]
    ceilings: tuple[str, ...]
    roads: tuple[str, ...]
    decks: tuple[str, ...]
    waters: tuple[str, ...]
    objects: tuple[str, ...]
    skies: tuple[str, ...]
    patterns: tuple[str, ...]


POOLS = {
    "common": Pool(
        walls=("STARTAN2", "STARTAN3", "GRAY1", "BROWN1", "STARG1", "STARGR1", "PANEL6", "STUCCO",
               "STUCCO1", "TEKWALL1", "SILVER1", "CEMENT7", "ICKWALL1", "WOOD1", "WOOD5", "METAL1",
               "SHAWN2", "BROWN96", "GRAYTALL", "A-MARBLE"),
        facades=("BRICK1", "BRICK6", "BRICK7", "BRICK10", "BIGBRIK1", "MODWALL1", "MODWALL3",
                 "BSTONE1", "STONE2", "STONE3", "CEMENT1", "BLAKWAL1", "TANROCK2", "BRICK4"),
        floors=("FLOOR0_1", "FLOOR0_3", "FLOOR4_8", "FLOOR5_1", "FLAT1", "FLAT5", "FLAT14",
                "FLAT5_4", "FLOOR1_1", "FLAT8", "MFLR8_1", "FLOOR3_3", "FLAT2"),
        ceilings=("CEIL3_1", "CEIL3_2", "CEIL5_1", "FLAT19", "TLITE6_1", "TLITE6_4", "CEIL1_1",
                  "FLAT3", "CEIL4_2"),
        roads=("FLAT10", "MFLR8_4", "RROCK09", "FLAT1_1", "GRASS1", "RROCK11"),
        decks=("CRATOP2", "FLAT5_1", "FLAT5_2", "FLOOR7_1", "FLAT20", "FLOOR4_1"),
        waters=("FWATER1", "NUKAGE1"),
        objects=("CRATE1", "CRATE2", "METAL2", "SUPPORT2", "SUPPORT3", "COMPBLUE", "WOODMET1"),
        skies=("SKY1", "SKY3"),
        patterns=("plain", "brick", "panel", "plank", "speckle", "tile"),
    ),
    # No map used in training wears any of these; its water and sky are always drawn.
    "unseen": Pool(
        walls=("GRAYTAN1", "GRAYTAN2", "GRAYTAN3", "GRAYTAN4", "GRAYTAN6", "GRAYTAN7", "GRAYTAN8",
               "MODWALL2", "PANEL1", "PANEL3", "PANEL4", "PANEL7", "SHAWN01", "SHAWN03", "AQMETL04",
               "AQCONC02", "AQCONC17", "AQRUST07", "STWALL", "ESPITAN3", "MC8", "MC14", "A-TILE"),
        facades=("AQBRIK02", "AQBRIK03", "A-PBRIK8", "SMSTONE6", "STONEW1", "STONEW5", "STONE7",
                 "BRICK2", "BRICK3", "BRICK11", "A-BROCK2", "A-BROWN3", "A-ROCK", "TANROCK3"),
        floors=("AQF005", "AQF006", "AQF011", "AQF035", "AQF039", "AQF047", "AQF056", "SFLR5_1"),
        ceilings=("AQF062", "AQF063", "SFLR4_1"),
        roads=("AQF064", "RROCK02", "RROCK07"),
        decks=("FLAT5_6B", "SFLR5_4", "FCGRATE1"),
        waters=(),
        objects=("CRLWDH6", "CRLWDL12", "AQSECT01", "AQSECT04", "CARLLF1", "DRFRONT"),
        skies=(),
        patterns=("diamond", "corrugated", "cobble", "blotch"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """The textures of one scene, and the lumps of those that were drawn for it."""

    walls: tuple[str, ...]
    facades: tuple[str, ...]
    floors: tuple[str, ...]
    ceilings: tuple[str, ...]
    roads: tuple[str, ...]
    decks: tuple[str, ...]
    water: str
    objects: tuple[str, ...]
    sky: str
    light: int
    lumps: tuple[Lump, ...]


def draw_look(rng: random.Random, pool_name: str) -> Look:
    """Choose a scene's textures from one pool; about half of them are drawn in random colours."""
    pool, lumps = POOLS[pool_name], []

    def drawn(saturation: float, low: int, high: int) -> str:
        name = f"SLT{len(lumps):02d}"
        colour = _colour(rng, saturation, low, high)
        pattern = PATTERNS[rng.choice(pool.patterns)]
        pixels = pattern(colour, rng, np.random.default_rng(rng.getrandbits(32)))
        lumps.append(Lump(name, png(np.clip(pixels, 0, 255).astype(np.uint8))))
        return name

    def some(
        names: tuple[str, ...], count: int, saturation: float, low: int, high: int
    ) -> tuple[str, ...]:
        return tuple(
            drawn(saturation, low, high) if rng.random() < 0.55 else rng.choice(names)
            for _ in range(count)
        )

    look = {
        "walls": some(pool.walls, 4, 0.35, 90, 220),
        "facades": some(pool.facades, 5, 0.35, 60, 200),
        "floors": some(pool.floors, 3, 0.3, 60, 190),
        "ceilings": some(pool.ceilings, 2, 0.1, 130, 235),
        "roads": some(pool.roads, 2, 0.1, 50, 120),
        "decks": some(pool.decks, 2, 0.4, 80, 190),
        "objects": some(pool.objects, 4, 0.7, 50, 210),
    }
    water = rng.choice((*pool.waters, "SLWATER", "SLWATER"))
    if water == "SLWATER":
        lumps.append(Lump(water, png(_water(rng, pool_name))))
    sky = rng.choice((*pool.skies, "SLSKY", "SLSKY", "SLSKY", "SLSKY"))
    if sky == "SLSKY":
        lumps.append(Lump(sky, png(_sky(rng, pool_name))))
    return Look(**look, water=water, sky=sky, light=rng.choice((112, 144, 160, 176, 192, 208, 232)),
                lumps=tuple(lumps))  # fmt: skip


def _colour(rng: random.Random, saturation: float, low: int, high: int) -> Pixels:
    grey = rng.uniform(low, high)
    tint = np.array([rng.uniform(-1, 1) for _ in range(3)], np.float32)
    return np.clip(grey * (1 + saturation * tint), 12, 245).astype(np.float32)


def _grain(noise: np.random.Generator, strength: float) -> Pixels:
    fine = noise.normal(0, strength, (SIDE, SIDE, 1))
    coarse = np.kron(noise.normal(0, strength, (SIDE // 8, SIDE // 8, 1)), np.ones((8, 8, 1)))
    return (fine + coarse).astype(np.float32)


def _plain(colour: Pixels, rng: random.Random, noise: np.random.Generator) -> Pixels:
    return colour + _grain(noise, rng.uniform(2, 7))


def _speckle(colour: Pixels, rng: random.Random, noise: np.random.Generator) -> Pixels:
    return colour + _grain(noise, 4) + 40 * (noise.random((SIDE, SIDE, 1)) < 0.08)


def _grid_lines(width: int, height: int, offset_rows: bool) -> NDArray[np.bool_]:
    ys, xs = np.mgrid[0:SIDE, 0:SIDE]
    shift = (ys // height % 2) * (width // 2) if offset_rows else 0
    return np.asarray(((xs + shift) % width == 0) | (ys % height == 0))[..., None]


def _brick(colour: Pixels, rng: random.Random, noise: np.random.Generator) -> Pixels:
    lines = _grid_lines(rng.choice((16, 32)), rng.choice((8, 16)), True)
    return np.where(lines, colour * rng.choice((0.55, 1.35)), colour) + _grain(noise, 6)


def _tile(colour: Pixels, rng: random.Random, noise: np.random.Generator) -> Pixels:
    size = rng.choice((8, 16, 32))
    return np.where(_grid_lines(size, size, False), colour * 0.7, colour) + _grain(noise, 3)


def _panel(colour: Pixels, rng: random.Random, noise: np.random.Generator) -> Pixels:
    ys = np.arange(SIDE)[:, None, None]
    band = np.where(ys > rng.randrange(24, 56), colour * rng.uniform(0.45, 0.8), colour)
    return np.where(_grid_lines(64, 64, False), band * 0.6, band) + _grain(noise, 3)


def _plank(colour: Pixels, rng: random.Random, noise: np.random.Generator) -> Pixels:
    width = rng.choice((8, 16))
    tones = noise.normal(1, 0.12, (1, SIDE // width, 1))
    boards = np.kron(tones, np.ones((1, width, 1)))
    streak = noise.normal(0, 6, (1, SIDE, 1))
    seams = (np.arange(SIDE)[None, :, None] % width == 0) * -30
    return np.asarray(colour * boards + streak + seams + _grain(noise, 2), np.float32)


def _diamond(colour: Pixels, rng: random.Random, noise: np.random.Generator) -> Pixels:
    ys, xs = np.mgrid[0:SIDE, 0:SIDE]
    size = rng.choice((16, 32))
    odd = ((xs + ys) // size + (xs - ys) // size) % 2
    return np.where(odd[..., None] == 0, colour, colour * 0.72) + _grain(noise, 4)


def _corrugated(colour: Pixels, rng: random.Random, noise: np.random.Generator) -> Pixels:
    wave = np.sin(np.arange(SIDE) * 2 * np.pi / rng.choice((8, 16)))[None, :, None]
    return np.asarray(colour * (1 + 0.25 * wave) + _grain(noise, 3), np.float32)


def _cobble(colour: Pixels, rng: random.Random, noise: np.random.Generator) -> Pixels:
    seeds = noise.random((30, 2)) * SIDE
    ys, xs = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    dx = np.abs(xs[..., None] - seeds[:, 0])
    dy = np.abs(ys[..., None] - seeds[:, 1])
    far = np.sort(np.hypot(np.minimum(dx, SIDE - dx), np.minimum(dy, SIDE - dy)), axis=-1)
    edge = np.clip((far[..., 1:2] - far[..., 0:1]) / 4, 0.4, 1)
    return np.asarray(colour * edge + _grain(noise, 4), np.float32)


def _blotch(colour: Pixels, rng: random.Random, noise: np.random.Generator) -> Pixels:
    field = np.kron(noise.random((8, 8, 1)), np.ones((8, 8, 1)))
    return np.where(field > 0.5, colour, colour * 0.65 + 20) + _grain(noise, 4)


PATTERNS: dict[str, Callable[[Pixels, random.Random, np.random.Generator], Pixels]] = {
    "plain": _plain, "brick": _brick, "panel": _panel, "plank": _plank, "speckle": _speckle,
    "tile": _tile, "diamond": _diamond, "corrugated": _corrugated, "cobble": _cobble,
    "blotch": _blotch,
}  # fmt: skip


def _water(rng: random.Random, pool_name: str) -> NDArray[np.uint8]:
    ys, xs = np.mgrid[0:SIDE, 0:SIDE] * (2 * np.pi / SIDE)
    twist = 2 if pool_name == "common" else 3
    wave = np.sin(twist * xs + np.sin(2 * ys)) + np.sin(3 * ys + np.sin(xs * twist))
    colour = np.array([rng.uniform(0, 40), rng.uniform(30, 90), rng.uniform(110, 190)], np.float32)
    return np.clip(colour * (1 + 0.18 * wave[..., None]), 0, 255).astype(np.uint8)


_DAYLIGHTS = {
    "common": (((70, 120, 200), (190, 210, 235)), ((120, 130, 145), (200, 204, 208)),
               ((40, 50, 90), (230, 150, 90)), ((90, 140, 190), (230, 225, 200)),
               ((16, 20, 36), (50, 54, 80))),
    "unseen": (((60, 90, 110), (150, 190, 190)), ((90, 84, 100), (214, 170, 160)),
               ((30, 34, 44), (90, 90, 96)), ((150, 170, 200), (240, 240, 240))),
}  # fmt: skip


def _sky(rng: random.Random, pool_name: str) -> NDArray[np.uint8]:
    """256 x 128: a day, dusk or overcast gradient with clouds; repeats sideways."""
    noise = np.random.default_rng(rng.getrandbits(32))
    top, bottom = rng.choice(_DAYLIGHTS[pool_name])
    share = np.linspace(0, 1, 128)[:, None, None]
    sky = np.array(top) * (1 - share) + np.array(bottom) * share
    sky = np.repeat(sky, 256, axis=1)
    xs = np.arange(256)[None, :] * 2 * np.pi / 256
    clouds = np.zeros((128, 256))
    for _ in range(24):
        fx, fy = int(noise.integers(1, 9)), noise.uniform(2, 16)
        phase, lean = noise.uniform(0, 6.3, 2)
        ys = np.linspace(0, 1, 128)[:, None]
        clouds += np.sin(fx * xs + phase + lean * np.sin(ys * 4)) * np.sin(fy * ys + phase) / fx
    cover = np.clip(clouds - noise.uniform(-0.3, 0.8), 0, 1)[..., None] * noise.uniform(0.2, 0.7)
    return np.clip(sky * (1 - cover) + 235 * cover * (np.mean(bottom) / 210), 0, 255).astype(
        np.uint8
    )
