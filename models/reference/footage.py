"""Render the sets of scenes the reference model learns from and is judged on.

    python -m models.reference.footage --out DIR [--sets train,val] [--jobs 2] [--quick] [--freeze]

Writes DIR/<set>/NAME.mp4 and NAME.truth.json, and DIR/<set>/DONE when a set is whole. What is there
already stays, so that a run can be continued. Every scene is checked against `sets.json`; --freeze
writes there what was rendered. Needs the extra `train` (ViZDoom); never runs on a camera.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from models.reference import sets
from models.reference.render.scene import Scene, as_row
from models.reference.render.truth import LABELS

ROOT = Path(__file__).resolve().parents[2]
ENGINE_LIMIT_S = 600
NOTICE = """\
Pictures of a game engine (ViZDoom), of scenes and people drawn for this project and of Freedoom's
art and maps. They say nothing about real places or people.

Freedoom: Copyright (C) 2001-2024 contributors to the Freedoom project, BSD-3-Clause; keep this
notice beside any copy of the clips.
"""


def render(scene: Scene, out: Path) -> dict[str, str]:
    """Render one scene in a process of its own. Raises RuntimeError in one line when it fails."""
    command = [
        sys.executable,
        "-m",
        "models.reference.render.record",
        json.dumps(as_row(scene)),
        str(out),
    ]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=ENGINE_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{scene.name}: no end after {ENGINE_LIMIT_S} s; run it again") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise RuntimeError(f"{scene.name}: the engine ended with {done.returncode}: {last}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def render_set(name: str, scenes: list[Scene], out: Path, jobs: int) -> list[dict[str, Any]]:
    """Render what is missing of a set; a row for each scene with its digests."""
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_strangers(folder, scenes)
    (folder / "DONE").unlink(missing_ok=True)

    def one(scene: Scene) -> dict[str, Any]:
        digests = _kept(folder, scene)
        if digests is None:
            digests = render(scene, folder)
            (folder / f".{scene.name}.digests").write_text(
                json.dumps({**as_row(scene), **digests}), encoding="utf-8"
            )
            print(f"{name}/{scene.name}: {scene.seconds} s", flush=True)
        return sets.frozen_row(scene, digests)

    with ThreadPoolExecutor(jobs) as pool:
        rows = list(pool.map(one, scenes))
    (folder / "DONE").write_text(f"{len(rows)} scenes\n", encoding="utf-8")
    return rows


def _refuse_strangers(folder: Path, scenes: list[Scene]) -> None:
    """Raises RuntimeError when the folder has footage of another recipe: it would be trained on."""
    wanted = {scene.name: scene for scene in scenes}
    for truth in sorted(folder.glob("*.truth.json")):
        name = truth.name.removesuffix(".truth.json")
        note = folder / f".{name}.digests"
        known = name in wanted
        if known and note.exists():
            known = wanted[name] == sets.frozen_scene(json.loads(note.read_text("utf-8")))
        if known:
            continue
        raise RuntimeError(f"{truth} is of another recipe: empty the folder or give another --out")


def _kept(folder: Path, scene: Scene) -> dict[str, str] | None:
    """The digests of a scene rendered before, None when it is missing or another."""
    note, truth = folder / f".{scene.name}.digests", folder / f"{scene.name}.truth.json"
    if not (note.exists() and truth.exists() and (folder / f"{scene.name}.mp4").exists()):
        return None
    row = json.loads(note.read_text(encoding="utf-8"))
    if sets.frozen_scene(row) != scene:
        return None
    if hashlib.sha256(truth.read_bytes()).hexdigest() != row["truth_sha256"]:
        return None
    return {key: row[key] for key in ("truth_sha256", "pictures_sha256")}


def differences(name: str, rows: list[dict[str, Any]], frozen: list[dict[str, Any]]) -> list[str]:
    """One line for each scene that is not what the manifest froze."""
    known = {row["name"]: row for row in frozen}
    found = []
    for row in rows:
        other = known.pop(row["name"], None)
        if other is None:
            found.append(f"{name}/{row['name']}: not in the manifest")
        elif other != row:
            changed = ", ".join(key for key in row if row[key] != other.get(key))
            found.append(f"{name}/{row['name']}: differs from the manifest in {changed}")
    return found + [f"{name}/{missing}: in the manifest, not rendered" for missing in known]


def prevalence(folder: Path) -> dict[str, tuple[float, int]]:
    """label -> (share of known frames where it is true, scenes with any)."""
    true: dict[str, int] = dict.fromkeys(LABELS, 0)
    known, scenes = dict(true), dict(true)
    for file in sorted(folder.glob("*.truth.json")):
        frames = json.loads(file.read_text(encoding="utf-8"))["frames"]
        for label in LABELS:
            values = [frame["labels"][label] for frame in frames]
            true[label] += values.count(1)
            known[label] += len(values) - values.count(-1)
            scenes[label] += 1 in values
    return {label: (true[label] / max(1, known[label]), scenes[label]) for label in LABELS}


def print_prevalence(out: Path, names: list[str]) -> None:
    tables = {name: prevalence(out / name) for name in names}
    print("share of frames (scenes with any)".ljust(34) + "".join(n.rjust(18) for n in names))
    for label in LABELS:
        cells = (f"{share:.3f} ({count})".rjust(18) for share, count in
                 (tables[n][label] for n in names))  # fmt: skip
        print(label.ljust(34) + "".join(cells))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--sets", default=",".join(sets.SETS), help="names, by comma")
    parser.add_argument("--jobs", type=int, default=2, help="engines at a time")
    parser.add_argument("--quick", action="store_true", help="few, short scenes, in minutes")
    parser.add_argument("--freeze", action="store_true", help="write the manifest anew")
    arguments = parser.parse_args()
    names = [name for name in arguments.sets.split(",") if name]
    unknown = [name for name in names if name not in sets.SETS]
    if unknown:
        parser.error(f"no set {unknown[0]!r}; there are {', '.join(sets.SETS)}")
    if arguments.freeze and arguments.quick:
        parser.error("--quick renders other scenes than those to freeze")
    frozen = sets.read_manifest()
    mismatches: list[str] = []
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "NOTICE.txt").write_text(NOTICE, encoding="utf-8")
    for name in names:
        scenes = sets.scenes_of(name)
        if arguments.quick:
            scenes = sets.quick(name, scenes)
        try:
            rows = render_set(name, scenes, arguments.out, arguments.jobs)
        except RuntimeError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        if arguments.freeze:
            frozen.rows[name] = rows
            frozen.prevalence[name] = {
                label: [round(share, 4), scenes_with]
                for label, (share, scenes_with) in prevalence(arguments.out / name).items()
            }
        elif not arguments.quick:
            mismatches += differences(name, rows, frozen.rows.get(name, []))
    if arguments.freeze:
        sets.write_manifest(frozen)
    print_prevalence(arguments.out, names)
    if mismatches:
        print(
            f"{len(mismatches)} scenes are not the frozen ones, first: {mismatches[0]}",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
