"""One scene through the real engine, where a training environment has it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from models.reference import sets
from models.reference.render.engine_maps import worn_textures
from models.reference.render.looks import POOLS
from models.reference.render.scene import as_row
from models.reference.render.truth import LABELS
from models.reference.render.wad import read_wad

ROOT = Path(__file__).resolve().parents[5]


def training_python() -> str:
    for python in (sys.executable, str(ROOT / ".venv-train/bin/python")):
        if not Path(python).exists():
            continue
        found = subprocess.run([python, "-c", "import vizdoom"], capture_output=True, check=False)
        if found.returncode == 0:
            return python
    pytest.skip("no environment with vizdoom: make train-env")


def test_a_second_of_a_scene_is_rendered_alike_twice(tmp_path: Path) -> None:
    python = training_python()
    scene = dataclasses.replace(sets.scenes_of("train")[2], seconds=1)
    digests = []
    for name in ("a", "b"):
        command = [python, "-m", "models.reference.render.record", json.dumps(as_row(scene))]
        done = subprocess.run(
            [*command, str(tmp_path / name)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        digests.append(json.loads(done.stdout.splitlines()[-1]))
    assert digests[0] == digests[1]
    truth = json.loads((tmp_path / "a" / f"{scene.name}.truth.json").read_text())
    assert len(truth["frames"]) == 35
    assert truth["resolution"] == [320, 180]
    assert tuple(truth["frames"][0]["labels"]) == LABELS
    assert truth["frames"][0]["labels"]["env_transport"] == 1
    assert (tmp_path / "a" / f"{scene.name}.mp4").stat().st_size > 10_000


def test_no_map_used_in_training_wears_the_unseen_textures() -> None:
    python = training_python()
    where = "import vizdoom, pathlib; print(pathlib.Path(vizdoom.__file__).parent)"
    done = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True)
    folder = Path(done.stdout.strip())
    unseen = {name for names in vars(POOLS["unseen"]).values() for name in names}
    fitted = [s for name in (sets.TRAINING, sets.VALIDATION) for s in sets.scenes_of(name)]
    for wad in ("freedoom1.wad", "freedoom2.wad"):
        lumps = read_wad(folder / wad)
        names = {lump.name for lump in lumps}
        for used in {s.map for s in fitted if s.map in names}:
            assert not worn_textures(lumps, used) & unseen, used
