"""People drawn from capsules: each with clothes and a role that shows, as sprite lumps.

A figure stands in its own axes: r to its right, u up, f forward, with a height of 1. Turning it
gives the engine's rotations 1 to 8 (5 are drawn, 3 mirrored by name).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.reference.render.wad import Lump, png

Point = tuple[float, float, float]
Colour = tuple[int, int, int]

CANVAS = 140
FEET = (CANVAS // 2, CANVAS - 6)
TALL = 116
# A drawn pixel is half a map unit, so a figure of 116 pixels is 58 units tall.
SPRITE_SCALE = 0.5
ROTATIONS = {1: "1", 2: "2{f}8", 3: "3{f}7", 4: "4{f}6", 5: "5"}
SKINS = ((238, 200, 170), (214, 164, 124), (160, 110, 76), (104, 70, 50), (246, 214, 190))
HAIRS = ((40, 30, 22), (92, 62, 36), (170, 130, 70), (120, 120, 120), (24, 22, 24))
DARK = ((38, 40, 44), (52, 58, 46), (70, 62, 48), (44, 50, 66), (84, 84, 80))
LIVELY = ((190, 50, 46), (60, 110, 190), (224, 200, 90), (120, 170, 90), (220, 220, 214),
          (150, 90, 160), (210, 130, 60), (90, 160, 170), (236, 150, 170))  # fmt: skip
TROUSERS = ((48, 56, 84), (60, 56, 52), (120, 104, 76), (36, 36, 38), (96, 104, 116))


@dataclass(frozen=True)
class Figure:
    """What one drawn person looks like. `role`: hostile, civ, hostage, role (a role player)."""

    role: str
    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    gun: str = ""
    masked: bool = False
    vest: Colour | None = None
    blindfold: bool = False
    skirt: bool = False
    stout: float = 1.0
    pose: str = "stand"


@dataclass(frozen=True)
class Capsule:
    a: Point
    b: Point
    radius: float
    colour: Colour


def draw_figure(rng: random.Random, role: str) -> Figure:
    """A random person of a role. Clothes overlap between roles: what is held tells them apart."""
    skin, hair = rng.choice(SKINS), rng.choice(HAIRS)
    trousers, stout = rng.choice(TROUSERS), rng.uniform(0.85, 1.2)
    base = {"role": role, "skin": skin, "hair": hair, "trousers": trousers, "stout": stout}
    if role == "hostile":
        dark = rng.random() < 0.75
        return Figure(
            **base,  # type: ignore[arg-type]
            shirt=rng.choice(DARK if dark else LIVELY),
            gun=rng.choice(("rifle", "rifle", "pistol")),
            masked=rng.random() < 0.55,
            vest=rng.choice((None, None, (48, 50, 40))),
        )
    if role == "hostage":
        return Figure(
            **base,  # type: ignore[arg-type]
            shirt=rng.choice(LIVELY + DARK[:2]),
            blindfold=rng.random() < 0.6,
            pose=rng.choice(("kneel", "hands_up", "hands_up")),
        )
    vest = rng.choice(((230, 230, 60), (240, 130, 40))) if role == "role" else None
    return Figure(
        **base,  # type: ignore[arg-type]
        shirt=rng.choice(LIVELY if rng.random() < 0.75 else DARK),
        vest=vest,
        gun=rng.choice(("", "", "phone", "bag")),
        skirt=role == "civ" and rng.random() < 0.3,
    )


def sprite_lumps(prefix: str, figure: Figure) -> list[Lump]:
    """Walk A to D, aim E, fire F, pain G, falling H and I, lying J; 4-letter `prefix`.

    Only what the role does is drawn: hostages stand still, hostiles alone aim.
    """
    lumps = _turned(prefix, "A", body(figure, "walk", 0.0))
    if figure.role != "hostage":
        lumps += _turned(prefix, "B", body(figure, "walk", 0.25))
        # The legs pass each other in A and C alike.
        lumps += [Lump(prefix + at.name[4:].replace("A", "C"), at.content) for at in lumps[:5]]
        lumps += _turned(prefix, "D", body(figure, "walk", 0.75))
    if figure.role == "hostile":
        lumps += _turned(prefix, "E", body(figure, "aim", 0.0))
        lumps += _turned(prefix, "F", body(figure, "fire", 0.0))
    lumps.append(_flat(prefix, "G", body(figure, "walk", 0.3), 8.0))
    for frame, lean in (("H", 35.0), ("I", 65.0), ("J", 88.0)):
        lumps.append(_flat(prefix, frame, body(figure, "fall", 0.0), lean))
    return lumps


def lying_lumps(prefix: str, figure: Figure) -> list[Lump]:
    """One frame A: the figure lies on the floor."""
    return [_flat(prefix, "A", body(figure, "fall", 0.0), 90.0)]


def target_lumps(prefix: str, rng: random.Random) -> list[Lump]:
    """A paper target on a stand: a silhouette, no person."""
    canvas = np.zeros((CANVAS, CANVAS, 4), np.uint8)
    x, y = FEET
    canvas[y - 40 : y, x - 2 : x + 2] = (110, 84, 50, 255)
    paper = rng.choice(((236, 232, 214), (206, 172, 120), (235, 235, 240)))
    ink = rng.choice(((40, 40, 44), (30, 60, 120), (150, 40, 36)))
    canvas[y - 112 : y - 40, x - 24 : x + 24] = (*paper, 255)
    _stamp(canvas, (x, y - 98), (x, y - 98), 8.0, ink)
    _stamp(canvas, (x, y - 78), (x, y - 54), 15.0, ink)
    return [Lump(f"{prefix}A0", png(canvas, FEET))]


def body(figure: Figure, action: str, phase: float) -> list[Capsule]:
    """The figure's capsules in its own axes (r, u, f)."""
    kneels = figure.pose == "kneel" and action not in ("fall",)
    drop = 0.26 if kneels else 0.0
    swing = 0.13 * math.sin(2 * math.pi * phase) if action == "walk" else 0.0
    wide = 0.095 * figure.stout
    parts = _legs(figure, swing, drop, kneels)
    torso = figure.vest or figure.shirt
    for side in (-1, 1):
        parts.append(
            Capsule((side * 0.035, 0.53 - drop, 0), (side * 0.06, 0.76 - drop, 0), wide, torso)
        )
    parts += _head(figure, drop)
    parts += _arms(figure, action, swing, drop)
    return parts


def _legs(figure: Figure, swing: float, drop: float, kneels: bool) -> list[Capsule]:
    parts = []
    shoe = (34, 30, 28)
    for side in (-1, 1):
        hip = (side * 0.06, 0.5 - drop, 0.0)
        step = side * swing
        if kneels:
            knee, foot = (side * 0.07, 0.05, 0.1), (side * 0.07, 0.04, -0.14)
        else:
            knee, foot = (side * 0.07, 0.27, step * 0.7), (side * 0.075, 0.05, step * 1.3)
        parts.append(Capsule(hip, knee, 0.062 * figure.stout, figure.trousers))
        shin = figure.skin if figure.skirt else figure.trousers
        parts.append(Capsule(knee, foot, 0.045, shin))
        parts.append(Capsule(foot, (foot[0], 0.035, foot[2] + 0.07), 0.035, shoe))
    if figure.skirt:
        parts.append(Capsule((0, 0.5 - drop, 0), (0, 0.36 - drop, 0), 0.13, figure.trousers))
    return parts


def _head(figure: Figure, drop: float) -> list[Capsule]:
    face = (30, 30, 32) if figure.masked else figure.skin
    top = (30, 30, 32) if figure.masked else figure.hair
    parts = [
        Capsule((0, 0.83 - drop, 0), (0, 0.86 - drop, 0), 0.04, figure.skin),
        Capsule((0, 0.915 - drop, 0.008), (0, 0.93 - drop, 0.008), 0.06, face),
        Capsule((0, 0.955 - drop, -0.012), (0, 0.945 - drop, -0.02), 0.058, top),
    ]
    if figure.masked:
        parts.append(Capsule((-0.03, 0.93 - drop, 0.05), (0.03, 0.93 - drop, 0.05), 0.016,
                             figure.skin))  # fmt: skip
    if figure.blindfold:
        parts.append(Capsule((-0.04, 0.93 - drop, 0.045), (0.04, 0.93 - drop, 0.045), 0.022,
                             (236, 236, 232)))  # fmt: skip
    return parts


def _arms(figure: Figure, action: str, swing: float, drop: float) -> list[Capsule]:
    parts: list[Capsule] = []
    hands: list[Point] = []
    sleeve = figure.shirt
    for side in (-1, 1):
        shoulder = (side * 0.135 * figure.stout, 0.77 - drop, 0.0)
        elbow, hand = _reach(figure, action, side, swing, drop)
        hands.append(hand)
        parts.append(Capsule(shoulder, elbow, 0.043, sleeve))
        parts.append(Capsule(elbow, hand, 0.034, sleeve))
        parts.append(Capsule(hand, hand, 0.034, figure.skin))
    return parts + _held(figure, action, hands[1], hands[0])


def _reach(
    figure: Figure, action: str, side: int, swing: float, drop: float
) -> tuple[Point, Point]:
    if action == "fall":
        return (side * 0.22, 0.66, 0.0), (side * 0.3, 0.56, 0.05)
    if figure.role == "hostage" and figure.pose == "kneel":
        return (side * 0.25, 0.84 - drop, -0.02), (side * 0.07, 0.93 - drop, -0.08)
    if figure.role == "hostage":
        return (side * 0.24, 0.82, 0.04), (side * 0.2, 1.0, 0.06)
    if figure.gun == "rifle":
        lift = 0.72 if action in ("aim", "fire") else 0.62
        return (side * 0.18, 0.62, 0.05), (0.06 if side > 0 else -0.03, lift, 0.14 - side * 0.08)
    if figure.gun == "pistol" and action in ("aim", "fire"):
        return (side * 0.15, 0.7, 0.12), (side * 0.02, 0.76, 0.27)
    if figure.gun in ("pistol", "phone") and side > 0:
        return (0.18, 0.6, 0.02), (0.13, 0.66 if figure.gun == "phone" else 0.55, 0.16)
    return (side * 0.17, 0.6, -side * swing * 0.4), (side * 0.18, 0.45, -side * swing)


def _held(figure: Figure, action: str, right: Point, left: Point) -> list[Capsule]:
    metal = (26, 26, 30)
    if action == "fall" or figure.role == "hostage":
        return []
    if figure.gun == "rifle":
        lift = right[1]
        aims = action in ("aim", "fire")
        muzzle = (0.0, lift + 0.01, 0.46) if aims else (-0.2, lift + 0.06, 0.3)
        parts = [
            Capsule((0.1, lift, -0.04), muzzle, 0.022, metal),
            Capsule((0.1, lift, -0.06), (0.06, lift, 0.06), 0.034, (56, 44, 34)),
            Capsule((0.05, lift - 0.03, 0.1), (0.05, lift - 0.1, 0.13), 0.02, metal),
        ]
    elif figure.gun == "pistol":
        muzzle = (right[0], right[1] + 0.03, right[2] + 0.12)
        if action == "walk":
            muzzle = (right[0] - 0.03, right[1], right[2] + 0.12)
        parts = [Capsule((right[0], right[1] + 0.02, right[2]), muzzle, 0.022, metal)]
    elif figure.gun == "phone":
        return [Capsule(right, (right[0], right[1] + 0.06, right[2]), 0.02, (20, 22, 40))]
    elif figure.gun == "bag":
        at = (left[0], left[1] - 0.08, left[2])
        return [Capsule(at, (at[0], at[1] - 0.04, at[2] + 0.06), 0.06, (140, 96, 60))]
    else:
        return []
    if action == "fire":
        parts.append(
            Capsule(muzzle, (muzzle[0], muzzle[1], muzzle[2] + 0.05), 0.06, (255, 236, 150))
        )
    return parts


def _turned(prefix: str, frame: str, parts: list[Capsule]) -> list[Lump]:
    lumps = []
    for rotation, suffix in ROTATIONS.items():
        angle = math.radians(45 * (rotation - 1))
        picture = _paint(parts, angle, 0.0)
        lumps.append(Lump(f"{prefix}{frame}{suffix.format(f=frame)}", png(picture, FEET)))
    return lumps


def _flat(prefix: str, frame: str, parts: list[Capsule], lean: float) -> Lump:
    """One picture for all rotations, tipped over sideways by `lean` degrees."""
    picture = _paint(parts, 0.35, math.radians(lean))
    # A lying body is drawn about its middle.
    rows = np.flatnonzero(picture[..., 3].any(axis=1))
    columns = np.flatnonzero(picture[..., 3].any(axis=0))
    origin = ((int(columns[0]) + int(columns[-1])) // 2, int(rows[-1]) + 1)
    return Lump(f"{prefix}{frame}0", png(picture, origin))


def _paint(parts: list[Capsule], angle: float, lean: float) -> NDArray[np.uint8]:
    canvas = np.zeros((CANVAS, CANVAS, 4), np.uint8)
    cos, sin = math.cos(angle), math.sin(angle)

    def project(p: Point) -> tuple[float, float, float]:
        across, up, depth = -p[0] * cos - p[2] * sin, p[1], p[2] * cos - p[0] * sin
        if lean:
            across, up = (
                across * math.cos(lean) + (up - 0.5) * math.sin(lean),
                up * math.cos(lean) + abs(across) * 0.35 * math.sin(lean) + 0.06,
            )
        return FEET[0] + across * TALL, FEET[1] - up * TALL, depth

    placed = [(project(c.a), project(c.b), c) for c in parts]
    placed.sort(key=lambda p: (p[0][2] + p[1][2]) / 2)
    for a, b, part in placed:
        _stamp(canvas, a[:2], b[:2], part.radius * TALL, part.colour)
    return canvas


def _stamp(
    canvas: NDArray[np.uint8],
    a: tuple[float, float],
    b: tuple[float, float],
    radius: float,
    colour: Colour,
) -> None:
    """Paint one capsule, lit from the upper left, with a darker rim."""
    left = max(0, int(min(a[0], b[0]) - radius - 1))
    right = min(CANVAS, int(max(a[0], b[0]) + radius + 2))
    top = max(0, int(min(a[1], b[1]) - radius - 1))
    bottom = min(CANVAS, int(max(a[1], b[1]) + radius + 2))
    ys, xs = np.mgrid[top:bottom, left:right].astype(np.float32)
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = dx * dx + dy * dy
    share = np.clip(((xs - a[0]) * dx + (ys - a[1]) * dy) / length, 0, 1) if length > 0 else 0.0
    off_x, off_y = (xs - a[0] - share * dx) / radius, (ys - a[1] - share * dy) / radius
    distance = off_x * off_x + off_y * off_y
    inside = distance <= 1
    shade = 0.95 - 0.3 * off_x * 0.7 - 0.3 * off_y * 0.7 - 0.25 * distance
    lit = np.clip(np.asarray(colour, np.float32) * shade[..., None], 0, 255)
    region = canvas[top:bottom, left:right]
    region[inside, :3] = lit[inside].astype(np.uint8)
    region[inside, 3] = 255
