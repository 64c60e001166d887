"""The sets of rendered scenes: apart from one another, and frozen."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from models.reference import footage, sets
from models.reference.render.scene import Scene, build_wad
from models.reference.render.truth import LABELS
from models.reference.render.wad import Lump


def all_sets() -> dict[str, list[Scene]]:
    return {name: sets.scenes_of(name) for name in sets.SETS}


def test_no_set_leaks() -> None:
    assert sets.leaks(all_sets()) == []


def test_the_freedoom_maps_kept_for_evaluation_are_in_their_set_alone() -> None:
    kept = {*(f"MAP{n:02d}" for n in range(4, 33, 4)), *(f"E4M{n}" for n in range(1, 10))}
    for name, scenes in all_sets().items():
        maps = {scene.map for scene in scenes} - {""}
        assert maps == kept if name == "held_maps" else not maps & kept


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("held_seeds", {"seed": 1_000_003}, "seed 1000003 is in train and held_seeds"),
        ("held_maps", {"map": "MAP01"}, "map MAP01"),
        ("unseen_layouts", {"layouts": "common"}, "layouts common"),
        ("unseen_textures", {"look": "common"}, "look common"),
        ("unseen_weapon", {"weapons": ("rifle", "pistol")}, "weapon pistol"),
        ("val", {"map": "MAP02"}, "map MAP02"),
    ],
)
def test_a_leak_is_named(name: str, change: dict[str, object], says: str) -> None:
    changed = all_sets()
    changed[name][0] = dataclasses.replace(changed[name][0], **change)  # type: ignore[arg-type]
    assert any(says in line for line in sets.leaks(changed))


def test_the_manifest_freezes_the_scenes_the_code_plans() -> None:
    frozen = sets.read_manifest().rows
    assert set(frozen) == set(sets.SETS)
    for name, rows in frozen.items():
        assert [sets.frozen_scene(row) for row in rows] == sets.scenes_of(name)
        for row in rows:
            assert len(row["truth_sha256"]) == len(row["pictures_sha256"]) == 64


def test_every_set_has_every_label_on_and_off_in_several_scenes() -> None:
    never = {("held_maps", "env_transport"), ("held_maps", "env_water")}
    for name, table in sets.read_manifest().prevalence.items():
        for label in LABELS:
            share, scenes = table[label]
            if (name, label) in never:
                assert share == 0
            else:
                assert 0 < share < 1, (name, label)
                assert scenes >= 2, (name, label)


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    scene = sets.scenes_of("val")[0]
    row = sets.frozen_row(scene, {"truth_sha256": "a", "pictures_sha256": "b"})
    manifest = sets.Manifest({"val": [row]}, {"val": {"shot_fired": [0.25, 1]}})
    sets.write_manifest(manifest, tmp_path / "sets.json")
    assert sets.read_manifest(tmp_path / "sets.json") == manifest
    assert sets.frozen_scene(row) == scene


def test_every_way_to_differ_from_the_manifest_is_one_line() -> None:
    scene = sets.scenes_of("val")[0]
    row = sets.frozen_row(scene, {"truth_sha256": "a", "pictures_sha256": "b"})
    assert footage.differences("val", [row], [row]) == []
    changed = footage.differences("val", [{**row, "truth_sha256": "c"}], [row])
    assert changed == [f"val/{scene.name}: differs from the manifest in truth_sha256"]
    assert "not in the manifest" in footage.differences("val", [row], [])[0]
    assert "not rendered" in footage.differences("val", [], [row])[0]


def note(folder: Path, scene: Scene) -> None:
    (folder / f"{scene.name}.truth.json").write_text("{}")
    row = sets.frozen_row(scene, {"truth_sha256": "", "pictures_sha256": ""})
    (folder / f".{scene.name}.digests").write_text(json.dumps(row))


def test_footage_of_another_recipe_in_the_folder_is_refused(tmp_path: Path) -> None:
    scenes = sets.scenes_of("val")[:2]
    (tmp_path / "val").mkdir()
    note(tmp_path / "val", sets.quick("val", scenes)[0])
    with pytest.raises(RuntimeError, match="another recipe"):
        footage.render_set("val", scenes, tmp_path, 1)


def test_a_strange_clip_in_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "holiday.truth.json").write_text("{}")
    with pytest.raises(RuntimeError, match="another recipe"):
        footage.render_set("val", [], tmp_path, 1)


def test_prevalence_counts_known_frames_and_scenes(tmp_path: Path) -> None:
    rows = [dict.fromkeys(LABELS, value) for value in (1, 0, 0, -1)]
    document = {"frames": [{"labels": row} for row in rows]}
    (tmp_path / "a.truth.json").write_text(json.dumps(document))
    (tmp_path / "b.truth.json").write_text(json.dumps({"frames": document["frames"][1:3]}))
    assert footage.prevalence(tmp_path)["shot_fired"] == (pytest.approx(1 / 5), 1)


def test_a_scene_on_a_carved_map_is_written_the_same_twice(tmp_path: Path) -> None:
    scene = next(s for s in sets.scenes_of("held_seeds") if s.theme == "ferry")
    palette = [Lump("PLAYPAL", bytes(768))]
    for name in ("a.wad", "b.wad"):
        assert build_wad(scene, palette, tmp_path / name) is not None
    assert (tmp_path / "a.wad").read_bytes() == (tmp_path / "b.wad").read_bytes()
