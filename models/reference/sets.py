"""The sets of scenes: which seeds, maps, looks, layouts and weapons belong to which.

A set is apart from training by what its name says, never by picking frames: `held_seeds` by seed,
`held_maps` by map, `unseen_layouts` by layout, `unseen_textures` by texture pool, `unseen_weapon`
by weapon; and all of them by seed as well.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from models.reference.render.actors import TRAINED_WEAPONS, UNSEEN_WEAPONS
from models.reference.render.scene import ENGINE_THEME, Scene, as_row, from_row

MANIFEST = Path(__file__).with_name("sets.json")
TRAINING, VALIDATION = "train", "val"
EVALUATION = ("held_seeds", "held_maps", "unseen_layouts", "unseen_textures", "unseen_weapon")
SETS = (TRAINING, VALIDATION, *EVALUATION)
HELD_MAPS = (*(f"MAP{n:02d}" for n in range(4, 33, 4)), *(f"E4M{n}" for n in range(1, 10)))
VALIDATION_MAPS = ("MAP07", "MAP19", "E2M5", "E3M2")
# The engine's other maps; not MAP30-like arenas and intermission maps where nothing is to be met.
TRAINING_MAPS = tuple(
    name
    for name in (*(f"MAP{n:02d}" for n in range(1, 32)),
                 *(f"E{e}M{n}" for e in (1, 2, 3) for n in range(1, 10)))
    if name not in HELD_MAPS and name not in VALIDATION_MAPS
)  # fmt: skip
THEMES = ("building", "street", "train", "ferry", "building", "street", "train", "ferry", "range",
          "street")  # fmt: skip
TRAIN_SIZE, EVALUATION_SIZE = (320, 180), (400, 224)


@dataclass(frozen=True)
class Plan:
    """Seeds count on from `first_seed`; one scene in `engine_every` is on an engine map.

    `behind`: scenes filmed from behind where no seed brings one, so that `first_person` is judged.
    """

    scenes: int
    seconds: int
    first_seed: int
    maps: tuple[str, ...] = ()
    engine_every: int = 0
    layouts: str = "common"
    look: str = "common"
    weapons: tuple[str, ...] = TRAINED_WEAPONS
    size: tuple[int, int] = EVALUATION_SIZE
    behind: tuple[int, ...] = ()


PLANS = {
    "train": Plan(100, 20, 1_000_000, TRAINING_MAPS, 5, size=TRAIN_SIZE),
    "val": Plan(20, 20, 2_000_000, VALIDATION_MAPS, 5, size=TRAIN_SIZE, behind=(12, 14)),
    "held_seeds": Plan(18, 20, 3_000_000),
    "held_maps": Plan(17, 22, 4_000_000, HELD_MAPS, 1, behind=(8, 14)),
    "unseen_layouts": Plan(10, 20, 5_000_000, layouts="unseen", behind=(5, 8)),
    "unseen_textures": Plan(18, 20, 6_000_000, look="unseen"),
    "unseen_weapon": Plan(10, 20, 7_000_000, weapons=UNSEEN_WEAPONS, behind=(5, 8)),
}
# `--quick`: the first scenes of each set, each shorter, for a run of minutes.
QUICK_SCENES, QUICK_SECONDS = {"train": 24, "val": 8}, 10
QUICK_EVALUATION_SCENES = 6


def scenes_of(set_name: str) -> list[Scene]:
    """The scenes of one set, in order. Deterministic."""
    plan = PLANS[set_name]
    scenes = []
    for i in range(plan.scenes):
        seed = plan.first_seed + i
        rng = random.Random(f"plan {seed}")
        on_map = bool(plan.engine_every) and i % plan.engine_every == plan.engine_every - 1
        theme = ENGINE_THEME if on_map else THEMES[i % len(THEMES)]
        if theme == "range" and plan.layouts == "unseen":
            theme = "building"
        map_name = plan.maps[i // plan.engine_every % len(plan.maps)] if on_map else ""
        count = rng.choice((1, 1, 2, len(plan.weapons)))
        weapons = tuple(rng.sample(plan.weapons, min(count, len(plan.weapons))))
        label = map_name.lower() or theme
        scenes.append(Scene(
            f"{i:03d}_{label}", theme, seed, plan.seconds, map_name, plan.layouts, plan.look,
            weapons, *plan.size, i in plan.behind,
        ))  # fmt: skip
    return scenes


def quick(set_name: str, scenes: list[Scene]) -> list[Scene]:
    """Fewer and shorter scenes; never checked against the manifest."""
    count = QUICK_SCENES.get(set_name, QUICK_EVALUATION_SCENES)
    return [replace(scene, seconds=QUICK_SECONDS) for scene in scenes[:count]]


@dataclass
class Manifest:
    """What was frozen, by set.

    `rows`: each scene with `truth_sha256` and `pictures_sha256`; `prevalence`: label -> [share of
    known frames where it is true, scenes with any].
    """

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    prevalence: dict[str, dict[str, list[float]]] = field(default_factory=dict)


def read_manifest(file: Path = MANIFEST) -> Manifest:
    """Empty without a file."""
    if not file.exists():
        return Manifest()
    document = json.loads(file.read_text(encoding="utf-8"))
    return Manifest(document["sets"], document["prevalence"])


def write_manifest(manifest: Manifest, file: Path = MANIFEST) -> None:
    """One scene or label a line, so that a difference can be read."""
    sets, shares = [], []
    for name in (name for name in SETS if name in manifest.rows):
        lines = ",\n    ".join(json.dumps(row) for row in manifest.rows[name])
        sets.append(f'  "{name}": [\n    {lines}\n  ]')
        table = manifest.prevalence[name].items()
        lines = ",\n    ".join(f'"{label}": {json.dumps(cell)}' for label, cell in table)
        shares.append(f'  "{name}": {{\n    {lines}\n  }}')
    text = '{"sets": {\n' + ",\n".join(sets) + '\n},\n"prevalence": {\n' + ",\n".join(shares)
    file.write_text(text + "\n}}\n", encoding="utf-8")


def frozen_row(scene: Scene, digests: dict[str, str]) -> dict[str, Any]:
    return {**as_row(scene), **digests}


def frozen_scene(row: dict[str, Any]) -> Scene:
    return from_row({key: value for key, value in row.items() if not key.endswith("_sha256")})


def leaks(sets: dict[str, list[Scene]]) -> list[str]:
    """One line for each way an evaluation or validation set is not apart from training."""
    found = []
    owners: dict[int, str] = {}
    for name, scenes in sets.items():
        for scene in scenes:
            other = owners.setdefault(scene.seed, name)
            if other != name:
                found.append(f"seed {scene.seed} is in {other} and {name}")
    fitted = [s for name in (TRAINING, VALIDATION) for s in sets.get(name, [])]
    apart = {
        "held_maps": ("map", {s.map for s in fitted}, lambda s: {s.map}),
        "unseen_layouts": ("layouts", {s.layouts for s in fitted}, lambda s: {s.layouts}),
        "unseen_textures": ("look", {s.look for s in fitted}, lambda s: {s.look}),
        "unseen_weapon": (
            "weapon",
            {w for s in fitted for w in s.weapons},
            lambda s: set(s.weapons),
        ),
    }
    for name, (what, known, of) in apart.items():
        for scene in sets.get(name, []):
            found += [f"{name}: {what} {shared} of {scene.name} is known from training"
                      for shared in sorted(of(scene) & known)]  # fmt: skip
    training_maps = {s.map for s in sets.get(TRAINING, [])} - {""}
    for scene in sets.get(VALIDATION, []):
        if scene.map in training_maps:
            found.append(f"val: map {scene.map} of {scene.name} is known from training")
    return found
