"""One scene: what decides it, and all that follows from that by its seed alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.reference.render import actors, layouts, layouts_unseen, looks
from models.reference.render.grid import Grid, udmf
from models.reference.render.wad import Lump, read_wad, write_wad

ENGINE_THEME = "engine"
_STYLES = ("patrol", "patrol", "engage", "engage", "watch")
# Whom one meets: each line leans towards another label.
_MIXES = (
    ("hostile", "hostile", "civ", "hostile", "dead", "hostage", "civ"),
    ("civ", "civ", "role", "hostile", "civ", "civ", "dead"),
    ("hostage", "hostile", "hostage", "civ", "hostage", "hostile"),
    ("hostile", "hostile", "hostile", "hostile", "dead", "hostile"),
    ("dead", "civ", "dead", "role", "hostile", "dead", "civ"),
    ("role", "hostage", "civ", "hostile", "role", "hostage", "dead", "civ"),
    ("target", "hostile", "civ", "target", "hostage"),
    (),
)


@dataclass(frozen=True)
class Scene:
    """`theme`: a layout's name, or "engine" with `map`. Pools name textures and weapons.

    `behind`: the camera follows the wearer from behind; a few do so by their seed besides.
    """

    name: str
    theme: str
    seed: int
    seconds: int
    map: str = ""
    layouts: str = "common"
    look: str = "common"
    weapons: tuple[str, ...] = ("pistol",)
    width: int = 320
    height: int = 180
    behind: bool = False


@dataclass(frozen=True)
class Conduct:
    """How the wearer and the camera behave in one scene."""

    style: str
    fov: int
    bob: float
    third_person: bool
    holstered: bool
    visibility: float
    gain: float
    gamma: float
    tint: tuple[float, float, float]
    player_seed: int


def conduct_of(scene: Scene) -> Conduct:
    rng = random.Random(f"conduct {scene.seed}")
    style = "range" if scene.theme == "range" else rng.choice(_STYLES)
    return Conduct(
        style=style,
        fov=rng.choice((80, 90, 90, 100, 110)),
        bob=rng.choice((0.1, 0.25, 0.5, 0.8)),
        third_person=rng.random() < 0.07 or scene.behind,
        holstered=rng.random() < 0.14,
        visibility=rng.choice((8.0, 8.0, 12.0, 20.0)),
        gain=rng.uniform(0.75, 1.15),
        gamma=rng.uniform(0.75, 1.2),
        tint=(rng.uniform(0.92, 1.06), 1.0, rng.uniform(0.9, 1.08)),
        player_seed=rng.getrandbits(32),
    )


def roles_of(scene: Scene) -> tuple[str, ...]:
    rng = random.Random(f"people {scene.seed}")
    mix = rng.choices(_MIXES, (8, 6, 6, 6, 6, 6, 2, 1))[0]
    roles = list(mix) * rng.choice((1, 2, 2))
    return tuple(roles[: {"train": 9, "range": 3}.get(scene.theme, 14)])


def build_wad(scene: Scene, engine: list[Lump], target: Path) -> Grid | None:
    """Write the scene's WAD; the carved grid, or None on one of the engine's maps."""
    rng = random.Random(f"scene {scene.seed}")
    look = looks.draw_look(rng, scene.look)
    on_engine_map = scene.theme == ENGINE_THEME
    cast = actors.Cast(
        hostiles_fire=rng.random() < 0.6,
        civilians_move=rng.random() < 0.6,
        weapons=("fist", *scene.weapons),
        on_engine_map=on_engine_map,
    )
    pictures = {lump.name: lump.content for lump in engine}
    lumps = [
        Lump("DECORATE", actors.decorate(cast, rng).encode()),
        Lump("S_START", b""), *actors.sprites(rng, pictures), Lump("S_END", b""),
        Lump("TX_START", b""), *look.lumps, Lump("TX_END", b""),
    ]  # fmt: skip
    grid = None
    info = f'GameInfo\n{{\n  PlayerClasses = "{actors.PLAYER_CLASS}"\n}}\n'
    if not on_engine_map:
        plans = layouts.LAYOUTS if scene.layouts == "common" else layouts_unseen.LAYOUTS
        place = plans[scene.theme](rng, look)
        layouts.place_people(place, rng, roles_of(scene))
        grid = place.grid
        info += f'map MAP01 "Scene"\n{{\n  sky1 = "{look.sky}"\n}}\n'
        lumps += [Lump("MAP01", b""), Lump("TEXTMAP", udmf(grid).encode()), Lump("ENDMAP", b"")]
    lumps.append(Lump("MAPINFO", info.encode()))
    write_wad(target, lumps)
    return grid


def engine_wad(vizdoom_folder: Path, scene: Scene) -> Path:
    """The engine's archive the scene needs: E*M* maps are in the first game's."""
    return vizdoom_folder / ("freedoom1.wad" if scene.map.startswith("E") else "freedoom2.wad")


def engine_lumps(file: Path) -> list[Lump]:
    return read_wad(file)


def as_row(scene: Scene) -> dict[str, Any]:
    """The scene for the manifest of the sets."""
    return {key: list(value) if isinstance(value, tuple) else value
            for key, value in vars(scene).items()}  # fmt: skip


def from_row(row: dict[str, Any]) -> Scene:
    return Scene(**{**row, "weapons": tuple(row["weapons"])})
