"""Runs one scene in the engine and writes its film and truth. Always in a process of its own.

    python -m models.reference.render.record '{"name": ..., ...}' OUT_DIR

A mistake in a map or an actor ends the process inside the engine, without a Python exception.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import vizdoom as vzd
from numpy.typing import NDArray

from models.reference.render.engine_maps import EngineMap, read_map
from models.reference.render.grid import SKY, Grid
from models.reference.render.player import Action, Player, Sight
from models.reference.render.scene import (
    ENGINE_THEME,
    Conduct,
    Scene,
    build_wad,
    conduct_of,
    engine_lumps,
    engine_wad,
    from_row,
)  # fmt: skip
from models.reference.render.truth import (
    FRAME_RATE_HZ,
    Box,
    Moment,
    Setting,
    TruthKeeper,
    kind_of,
)  # fmt: skip

WARM_UP_TICS = 60
OWN_WEAPON = 255
# H.264 wants even sizes: the last row of 400 x 225 is left out of picture and truth.
RESOLUTIONS = {
    (320, 180): "RES_320X180",
    (400, 224): "RES_400X225",
    (512, 288): "RES_512X288",
    (640, 360): "RES_640X360",
}
SLOTS = {"fist": 1, "pistol": 2, "shotgun": 3, "double": 3, "chaingun": 4, "rifle": 4}
B, V = vzd.Button, vzd.GameVariable
BUTTONS = (B.MOVE_FORWARD_BACKWARD_DELTA, B.MOVE_LEFT_RIGHT_DELTA, B.TURN_LEFT_RIGHT_DELTA,
           B.LOOK_UP_DOWN_DELTA, B.ATTACK, B.USE, B.SELECT_WEAPON1, B.SELECT_WEAPON2,
           B.SELECT_WEAPON3, B.SELECT_WEAPON4)  # fmt: skip
VARIABLES = (V.SELECTED_WEAPON, V.SELECTED_WEAPON_AMMO, V.CAMERA_POSITION_X, V.CAMERA_POSITION_Y,
             V.POSITION_X, V.POSITION_Y, V.PITCH)  # fmt: skip


def record(scene: Scene, out: Path) -> dict[str, str]:
    """Write NAME.mp4 and NAME.truth.json into `out`; their digests.

    `pictures_sha256` is taken over the rendered RGB pictures, before H.264.
    """
    conduct = conduct_of(scene)
    archive = engine_wad(Path(vzd.__file__).parent, scene)
    lumps = engine_lumps(archive)
    with tempfile.TemporaryDirectory() as room:
        # The engine writes its settings into the working directory.
        os.chdir(room)
        wad = Path(room) / "scene.wad"
        grid = build_wad(scene, lumps, wad)
        engine_map = read_map(lumps, scene.map) if grid is None else None
        game = _start(scene, conduct, archive, wad)
        try:
            return _film(game, scene, conduct, _sky_test(grid, engine_map), engine_map, out)
        finally:
            game.close()
            os.chdir("/")


def _sky_test(grid: Grid | None, engine_map: EngineMap | None) -> Callable[[float, float], bool]:
    if grid is None:
        assert engine_map is not None
        return engine_map.open_sky

    def under_sky(x: float, y: float) -> bool:
        surface = grid.surface_at(x, y)
        return surface is not None and surface.ceiling_texture == SKY

    return under_sky


def _start(scene: Scene, conduct: Conduct, archive: Path, wad: Path) -> vzd.DoomGame:
    game = vzd.DoomGame()
    game.set_doom_game_path(str(archive))
    game.set_doom_scenario_path(str(wad))
    game.set_doom_map((scene.map or "MAP01").lower())
    game.set_screen_resolution(
        getattr(vzd.ScreenResolution, RESOLUTIONS[scene.width, scene.height])
    )
    game.set_screen_format(vzd.ScreenFormat.RGB24)
    game.set_labels_buffer_enabled(True)
    game.set_depth_buffer_enabled(True)
    game.set_window_visible(False)
    game.set_sound_enabled(False)
    game.set_render_hud(False)
    game.set_render_crosshair(False)
    game.set_render_weapon(True)
    game.set_render_decals(True)
    game.set_render_particles(False)
    game.set_render_effects_sprites(True)
    game.set_render_corpses(True)
    game.set_render_messages(False)
    game.set_render_screen_flashes(False)
    game.set_episode_timeout(0)
    game.set_doom_skill(3)
    game.set_seed(scene.seed % 2**31)
    game.set_available_buttons(list(BUTTONS))
    game.set_available_game_variables(list(VARIABLES))
    game.add_game_args(
        f"+sv_cheats 1 +cl_bloodtype 1 +cl_pufftype 0 +cl_showsecretmessage 0"
        f" +movebob {conduct.bob} +stillbob 0 +infighting -1 +sv_nomonsters 0 +cl_capfps 0"
    )
    game.init()
    game.new_episode()
    return game


def _film(
    game: vzd.DoomGame, scene: Scene, conduct: Conduct,
    under_sky: Callable[[float, float], bool], engine_map: EngineMap | None, out: Path,
) -> dict[str, str]:  # fmt: skip
    rng = random.Random(conduct.player_seed)
    setting = Setting(scene.width, scene.height, scene.theme == "train", scene.theme == "ferry")
    keeper, digest = TruthKeeper(setting), hashlib.sha256()
    weapons = ("fist", *scene.weapons) if len(scene.weapons) > 1 else scene.weapons
    player = Player(rng, conduct.style, weapons, conduct.third_person, conduct.holstered)
    _settle(game, scene, conduct, engine_map, rng)
    tone = _tone_table(conduct)
    film = _Film(out / f".{scene.name}.part", scene)
    before: tuple[float, float] | None = None
    for _ in range(scene.seconds * FRAME_RATE_HZ):
        state = game.get_state()
        if state is None:
            raise RuntimeError("the engine ended the scene early")
        values = [float(v) for v in state.game_variables]
        boxes, targets, weapon_pixels = _seen(state, scene)
        keeper.add(Moment(
            weapon=_weapon(int(values[0]), scene),
            ammunition=int(values[1]),
            weapon_pixels=weapon_pixels,
            boxes=boxes,
            first_person=not conduct.third_person,
            outdoor=under_sky(values[2], values[3]),
        ))  # fmt: skip
        picture = cv2.LUT(np.ascontiguousarray(state.screen_buffer[: scene.height]), tone)
        digest.update(picture.tobytes())
        film.add(picture)
        moved = float(np.hypot(values[4] - before[0], values[5] - before[1])) if before else 9.0
        before = (values[4], values[5])
        sight = Sight(
            boxes=boxes + targets,
            depth=_depths(state.depth_buffer),
            moved=moved,
            width=scene.width,
            height=scene.height,
            fov=float(conduct.fov),
            pitch=-values[6],
        )
        game.make_action(_pressed(player.act(sight)))
    film.close()
    text = json.dumps(keeper.document(), separators=(",", ":")).encode()
    film.file.replace(out / f"{scene.name}.mp4")
    (out / f"{scene.name}.truth.json").write_bytes(text)
    return {"truth_sha256": hashlib.sha256(text).hexdigest(), "pictures_sha256": digest.hexdigest()}


def _settle(
    game: vzd.DoomGame,
    scene: Scene,
    conduct: Conduct,
    engine_map: EngineMap | None,
    rng: random.Random,
) -> None:
    """Take the weapon, go to the start, let the people wake; none of it is recorded."""
    game.send_game_command(f"fov {conduct.fov}")
    game.send_game_command(f"r_visibility {conduct.visibility}")
    if conduct.third_person:
        game.send_game_command("chase")
    if conduct.holstered:
        game.send_game_command("r_drawplayersprites 0")
    if engine_map is not None and engine_map.starts:
        x, y, _ = rng.choice(engine_map.starts)
        game.send_game_command(f"warp {x} {y}")
    first = rng.choice(scene.weapons)
    game.make_action(_pressed(Action(select=first)))
    turn = rng.uniform(-1.5, 1.5) if scene.theme == ENGINE_THEME else 0.0
    for _ in range(WARM_UP_TICS):
        game.make_action(_pressed(Action(turn=turn)))


def _weapon(slot: int, scene: Scene) -> str:
    return next((w for w in ("fist", *scene.weapons) if SLOTS[w] == slot), "fist")


def _pressed(action: Action) -> list[float]:
    slot = SLOTS.get(action.select, 0)
    return [action.forward, action.right, action.turn, action.look, float(action.attack),
            float(action.use), *(float(slot == n) for n in (1, 2, 3, 4))]  # fmt: skip


def _seen(state: vzd.GameState, scene: Scene) -> tuple[tuple[Box, ...], tuple[Box, ...], int]:
    """Boxes of people and bodies, of targets, and the pixels of the wearer's own weapon."""
    counts = np.bincount(state.labels_buffer[: scene.height].reshape(-1), minlength=256)
    boxes, targets = [], []
    for label in state.labels:
        kind = kind_of(label.object_name)
        pixels = int(counts[label.value])
        if label.value == OWN_WEAPON or pixels == 0:
            continue
        height = min(label.height, scene.height - label.y)
        box = Box(kind or "target", label.x, label.y, label.width, height, pixels)
        if kind is not None:
            boxes.append(box)
        elif label.object_name == "SLTarget":
            targets.append(box)
    return tuple(boxes), tuple(targets), int(counts[OWN_WEAPON])


def _depths(depth: NDArray[np.uint8]) -> NDArray[np.float32]:
    height, width = depth.shape
    band = depth[height * 46 // 100 : height * 56 // 100]
    columns = np.percentile(band, 30, axis=0)
    third = width // 3
    return np.array([columns[:third].mean(), columns[third : 2 * third].mean(),
                     columns[2 * third :].mean()], np.float32)  # fmt: skip


def _tone_table(conduct: Conduct) -> NDArray[np.uint8]:
    """uint8 [1, 256, 3]: the camera's exposure, gamma and white balance, for cv2.LUT."""
    steps = np.arange(256)[:, None] / 255
    table = 255 * (steps**conduct.gamma) * conduct.gain * np.array(conduct.tint)
    return np.clip(table, 0, 255).astype(np.uint8)[None]


class _Film:
    """H.264 without sound. The pictures are what the model gets; the engine's sound is left out."""

    def __init__(self, file: Path, scene: Scene) -> None:
        self.file = file
        self._container = av.open(str(file), "w", format="mp4")
        stream = self._container.add_stream("libx264", rate=FRAME_RATE_HZ)
        stream.width, stream.height, stream.pix_fmt = scene.width, scene.height, "yuv420p"
        stream.time_base = Fraction(1, FRAME_RATE_HZ)
        stream.options = {"crf": "21", "preset": "superfast", "g": "70", "threads": "1"}
        self._stream, self._index = stream, 0

    def add(self, picture: NDArray[np.uint8]) -> None:
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts, frame.time_base = self._index, Fraction(1, FRAME_RATE_HZ)
        self._index += 1
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()


def main() -> None:
    scene, out = from_row(json.loads(sys.argv[1])), Path(sys.argv[2]).resolve()
    out.mkdir(parents=True, exist_ok=True)
    print(json.dumps(record(scene, out)))


if __name__ == "__main__":
    main()
