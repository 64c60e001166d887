"""WAD archives, pictures in them, and the engine's own maps."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.reference.render import figures
from models.reference.render.actors import (
    ROLE_CLASSES,
    TRAINED_WEAPONS,
    UNSEEN_WEAPONS,
    Cast,
    decorate,
)
from models.reference.render.engine_maps import NODE, read_map
from models.reference.render.looks import POOLS, draw_look
from models.reference.render.wad import Lump, picture_pixels, png, read_wad, write_wad


def test_an_archive_is_read_as_it_was_written(tmp_path: Path) -> None:
    lumps = [Lump("MAP01", b""), Lump("TEXTMAP", b"hello"), Lump("S_START", b"")]
    write_wad(tmp_path / "a.wad", lumps)
    assert read_wad(tmp_path / "a.wad") == lumps


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wad").write_bytes(b"PK\x03\x04" + bytes(20))
    with pytest.raises(ValueError, match="not a WAD"):
        read_wad(tmp_path / "a.wad")


def test_a_long_lump_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="longer than 8"):
        write_wad(tmp_path / "a.wad", [Lump("TOOLONGNAME", b"")])


def test_a_png_has_its_pixels_and_its_origin() -> None:
    pixels = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    raw = png(pixels, (5, -6))
    decoded = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded[..., [2, 1, 0, 3]], pixels)
    assert b"grAb" + struct.pack(">ii", 5, -6) in raw


def test_a_picture_lump_is_read_by_columns() -> None:
    palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    posts = bytes((0, 2, 0, 7, 8, 0, 255)) + bytes((255,))
    header = struct.pack("<HHhhII", 2, 2, 0, 0, 16, 23)
    pixels = picture_pixels(header + posts, palette)
    assert pixels[:, 0, 0].tolist() == [7, 8]
    assert pixels[:, 1, 3].tolist() == [0, 0]


def two_halves() -> list[Lump]:
    """A map cut at x = 0: the right (east) half is under the sky."""
    side = struct.pack("<hh8s8s8sH", 0, 0, b"-", b"-", b"-", 0)
    other = struct.pack("<hh8s8s8sH", 0, 0, b"-", b"-", b"-", 1)
    sector = struct.pack("<hh8s8shhh", 0, 128, b"FLAT1", b"CEIL1_1", 160, 0, 0)
    yard = struct.pack("<hh8s8shhh", 0, 128, b"FLAT1", b"F_SKY1", 160, 0, 0)
    node = NODE.pack(0, 0, 0, 64, *[0] * 8, 0x8001, 0x8000)
    return [
        Lump("MAP01", b""),
        Lump("THINGS", struct.pack("<hhhhh", 5, 6, 0, 2007, 7)),
        Lump("LINEDEFS", struct.pack("<HHHHHHH", 0, 1, 4, 0, 0, 0, 1)),
        Lump("SIDEDEFS", side + other),
        Lump("VERTEXES", b""),
        Lump("SEGS", struct.pack("<HHhHHhHHhHHh", 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0)),
        Lump("SSECTORS", struct.pack("<HHHH", 1, 0, 1, 1)),
        Lump("NODES", node),
        Lump("SECTORS", sector + yard),
    ]  # fmt: skip


def test_the_sky_is_looked_up_through_the_maps_tree() -> None:
    found = read_map(two_halves(), "MAP01")
    assert found.open_sky(50, 10)
    assert not found.open_sky(-50, 10)
    assert found.starts == ((5, 6, 0),)


def test_an_unknown_map_is_refused() -> None:
    with pytest.raises(KeyError, match="MAP99"):
        read_map(two_halves(), "MAP99")


def test_the_texture_pools_share_no_name_and_no_pattern() -> None:
    def everything(pool: str) -> set[str]:
        return {name for names in vars(POOLS[pool]).values() for name in names}

    assert not everything("common") & everything("unseen")


def test_a_look_wears_its_own_pool_alone() -> None:
    for seed in range(8):
        look = draw_look(random.Random(seed), "unseen")
        common = {name for names in vars(POOLS["common"]).values() for name in names}
        worn = {*look.walls, *look.facades, *look.floors, *look.roads, look.water, look.sky}
        assert not worn & common


def test_only_hostiles_hold_and_aim_a_firearm() -> None:
    for seed in range(30):
        for role in ("civ", "hostage", "role"):
            person = figures.draw_figure(random.Random(seed), role)
            assert person.gun not in ("rifle", "pistol")
        assert figures.draw_figure(random.Random(seed), "hostile").gun in ("rifle", "pistol")


def test_a_person_has_all_pictures_its_states_name() -> None:
    for role in ("hostile", "civ", "hostage", "role"):
        lumps = figures.sprite_lumps("QTST", figures.draw_figure(random.Random(1), role))
        frames = {lump.name[4] for lump in lumps}
        wanted = set("AGHIJ") | (set() if role == "hostage" else set("BCD"))
        assert frames == wanted | (set("EF") if role == "hostile" else set())
        assert len({lump.name for lump in lumps}) == len(lumps)


@pytest.mark.parametrize("on_engine_map", [False, True])
def test_the_actors_text_names_every_role_and_keeps_one_state_a_line(on_engine_map: bool) -> None:
    for weapons in (TRAINED_WEAPONS, UNSEEN_WEAPONS):
        cast = Cast(True, True, ("fist", *weapons), on_engine_map)
        text = decorate(cast, random.Random(1))
        assert text.count("{") == text.count("}")
        for names in ROLE_CLASSES.values():
            for name in names:
                assert f"ACTOR {name} " in text
        assert ("replaces" in text) == on_engine_map
