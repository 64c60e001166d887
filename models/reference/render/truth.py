"""What is true on each picture: the label rules, from what the engine knows. Pure.

The definitions and thresholds are those of the reference model's label table (see the model card):
a person counts from 0.15 % of the picture and 7 % of its height, a body from 0.1 %, the wearer's
firearm from 0.2 %; the flash sprite stays 7 tics of 1/35 s after a shot, the chaingun's 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.reference.render.actors import AUTOMATICS, FIREARMS, LONG_GUNS

FRAME_RATE_HZ = 35
WEAPON_SHARE, PERSON_SHARE, BODY_SHARE, PERSON_HEIGHT = 0.002, 0.0015, 0.001, 0.07
FLASH_FRAMES, AUTOMATIC_FLASH_FRAMES = 7, 5
PERSON_KINDS = ("hostile", "civ", "hostage")
LABELS = (
    "weapon_in_view", "shot_fired", "muzzle_flash", "long_gun", "automatic", "person_visible",
    "person_in_sights", "armed_hostile_visible", "civilian_visible", "hostage_visible",
    "casualty_visible", "first_person", "env_outdoor", "env_transport", "env_water",
)  # fmt: skip
_KINDS = (("SLHostile", "hostile"), ("SLZombie", "hostile"), ("SLCiv", "civ"), ("SLRole", "civ"),
          ("SLHostage", "hostage"), ("SLCasualty", "dead"))  # fmt: skip
# Decorations of the engine's maps that are bodies.
_BODIES = frozenset({"DeadMarine", "GibbedMarine", "GibbedMarineExtra", "DeadZombieMan",
                     "DeadShotgunGuy", "DeadDoomImp", "DeadDemon", "DeadCacodemon"})  # fmt: skip


@dataclass(frozen=True)
class Box:
    """One actor in the picture: `kind`, x, y, width, height in pixels, pixels really visible."""

    kind: str
    x: int
    y: int
    width: int
    height: int
    pixels: int


@dataclass(frozen=True)
class Moment:
    """What the engine knows about one picture. `ammunition`: rounds of the weapon in hand."""

    weapon: str
    ammunition: int
    weapon_pixels: int
    boxes: tuple[Box, ...]
    first_person: bool
    outdoor: bool


@dataclass(frozen=True)
class Setting:
    width: int
    height: int
    transport: bool
    water: bool


def kind_of(class_name: str) -> str | None:
    """The kind of an actor class; None for what is no person. Bodies of the shot say `Dead...`."""
    if class_name in _BODIES:
        return "dead"
    living = class_name.removeprefix("Dead")
    for prefix, kind in _KINDS:
        if living.startswith(prefix):
            return kind if living == class_name else "dead"
    return None


class TruthKeeper:
    """Turns moments, in order, into the truth file's frames."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._before: Moment | None = None
        self._flash_left = 0
        self.frames: list[dict[str, Any]] = []

    def add(self, moment: Moment) -> dict[str, int]:
        index = len(self.frames)
        labels = self._labels(moment)
        self.frames.append({
            "frame": index,
            "t_s": round(index / FRAME_RATE_HZ, 4),
            "labels": labels,
            "boxes": [
                {"kind": b.kind, "xywh": [b.x, b.y, b.width, b.height], "pixels": b.pixels}
                for b in moment.boxes
            ],
        })  # fmt: skip
        self._before = moment
        return labels

    def document(self) -> dict[str, Any]:
        return {
            "frame_rate_hz": FRAME_RATE_HZ,
            "resolution": [self._setting.width, self._setting.height],
            "frames": self.frames,
        }

    def _labels(self, moment: Moment) -> dict[str, int]:
        area = self._setting.width * self._setting.height
        shot = self._shot(moment)
        if shot:
            automatic = moment.weapon in AUTOMATICS
            self._flash_left = AUTOMATIC_FLASH_FRAMES if automatic else FLASH_FRAMES
        in_hand = moment.first_person and moment.weapon in FIREARMS
        seen = in_hand and moment.weapon_pixels > WEAPON_SHARE * area
        # The sprite is drawn with the weapon alone: not in third person, not while holstered.
        flash = self._flash_left > 0 and in_hand and moment.weapon_pixels > 0
        self._flash_left = max(0, self._flash_left - 1)
        people = {kind: self._people(moment, kind) for kind in PERSON_KINDS}
        living = [box for boxes in people.values() for box in boxes]
        x, y = self._setting.width / 2, self._setting.height / 2
        sighted = any(b.x <= x < b.x + b.width and b.y <= y < b.y + b.height for b in living)
        return {
            "weapon_in_view": int(seen),
            "shot_fired": int(shot),
            "muzzle_flash": int(flash),
            "long_gun": int(seen and moment.weapon in LONG_GUNS),
            "automatic": int(seen and moment.weapon in AUTOMATICS),
            "person_visible": int(bool(living)),
            "person_in_sights": int(sighted and in_hand and moment.weapon_pixels > 0),
            "armed_hostile_visible": int(bool(people["hostile"])),
            "civilian_visible": int(bool(people["civ"])),
            "hostage_visible": int(bool(people["hostage"])),
            "casualty_visible": int(
                any(b.kind == "dead" and b.pixels > BODY_SHARE * area for b in moment.boxes)
            ),
            "first_person": int(moment.first_person),
            "env_outdoor": int(moment.outdoor),
            "env_transport": int(self._setting.transport),
            "env_water": int(self._setting.water),
        }

    def _shot(self, moment: Moment) -> bool:
        before = self._before
        return (
            before is not None
            and before.weapon == moment.weapon
            and moment.weapon in FIREARMS
            and moment.ammunition < before.ammunition
        )

    def _people(self, moment: Moment, kind: str) -> list[Box]:
        least_pixels = PERSON_SHARE * self._setting.width * self._setting.height
        least_height = PERSON_HEIGHT * self._setting.height
        return [
            box
            for box in moment.boxes
            if box.kind == kind and box.pixels > least_pixels and box.height >= least_height
        ]
