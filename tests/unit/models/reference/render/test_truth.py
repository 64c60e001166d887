"""The label rules of rendered footage, one condition each."""

from __future__ import annotations

import dataclasses

import pytest

from models.reference.render.truth import (
    LABELS,
    Box,
    Moment,
    Setting,
    TruthKeeper,
    kind_of,
)

# 320 x 180: 57,600 pixels; a person counts from 87 pixels and 13 rows, a body from 58.
SETTING = Setting(320, 180, transport=False, water=False)
QUIET = Moment("pistol", 50, 2000, (), first_person=True, outdoor=False)


def labels_of(*moments: Moment, setting: Setting = SETTING) -> list[dict[str, int]]:
    keeper = TruthKeeper(setting)
    return [keeper.add(moment) for moment in moments]


def with_box(kind: str, pixels: int = 200, height: int = 40, x: int = 10, y: int = 10) -> Moment:
    return dataclasses.replace(QUIET, boxes=(Box(kind, x, y, 20, height, pixels),))


def test_every_label_of_the_table_is_answered_on_every_frame() -> None:
    assert tuple(labels_of(QUIET)[0]) == LABELS


def test_a_shot_is_one_frame_and_its_flash_seven() -> None:
    after = dataclasses.replace(QUIET, ammunition=49)
    rows = labels_of(QUIET, *[after] * 9)
    assert [r["shot_fired"] for r in rows] == [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert [r["muzzle_flash"] for r in rows] == [0, 1, 1, 1, 1, 1, 1, 1, 0, 0]


def test_the_flash_of_an_automatic_stays_five_frames() -> None:
    gun = dataclasses.replace(QUIET, weapon="chaingun")
    after = dataclasses.replace(gun, ammunition=49)
    rows = labels_of(gun, *[after] * 7)
    assert [r["muzzle_flash"] for r in rows] == [0, 1, 1, 1, 1, 1, 0, 0]


def test_another_weapon_with_fewer_rounds_is_no_shot() -> None:
    other = dataclasses.replace(QUIET, weapon="shotgun", ammunition=8)
    assert [r["shot_fired"] for r in labels_of(QUIET, other)] == [0, 0]


@pytest.mark.parametrize(
    ("weapon", "long_gun", "automatic"),
    [("pistol", 0, 0), ("shotgun", 1, 0), ("double", 1, 0), ("chaingun", 0, 1), ("rifle", 0, 1)],
)
def test_what_is_in_hand_is_named(weapon: str, long_gun: int, automatic: int) -> None:
    row = labels_of(dataclasses.replace(QUIET, weapon=weapon))[0]
    assert (row["weapon_in_view"], row["long_gun"], row["automatic"]) == (1, long_gun, automatic)


def test_the_bare_hand_is_no_weapon() -> None:
    row = labels_of(dataclasses.replace(QUIET, weapon="fist"))[0]
    assert row["weapon_in_view"] == 0


@pytest.mark.parametrize(("pixels", "seen"), [(115, 0), (116, 1)])
def test_a_weapon_counts_from_more_than_a_500th_of_the_picture(pixels: int, seen: int) -> None:
    assert labels_of(dataclasses.replace(QUIET, weapon_pixels=pixels))[0]["weapon_in_view"] == seen


@pytest.mark.parametrize(("pixels", "height", "seen"), [(86, 40, 0), (87, 40, 1), (87, 12, 0)])
def test_a_person_counts_by_area_and_height(pixels: int, height: int, seen: int) -> None:
    assert labels_of(with_box("hostile", pixels, height))[0]["armed_hostile_visible"] == seen


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("hostile", "armed_hostile_visible"),
        ("civ", "civilian_visible"),
        ("hostage", "hostage_visible"),
        ("dead", "casualty_visible"),
    ],
)
def test_a_role_lights_its_own_label_alone(kind: str, label: str) -> None:
    row = labels_of(with_box(kind))[0]
    roles = ("armed_hostile_visible", "civilian_visible", "hostage_visible", "casualty_visible")
    assert [r for r in roles if row[r]] == [label]
    assert row["person_visible"] == (kind != "dead")


def test_in_sights_needs_the_centre_and_a_firearm_in_hand() -> None:
    centred = with_box("civ", x=150, y=80)
    assert labels_of(centred)[0]["person_in_sights"] == 1
    assert labels_of(with_box("civ"))[0]["person_in_sights"] == 0
    for change in ({"weapon": "fist"}, {"weapon_pixels": 0}, {"first_person": False}):
        other = dataclasses.replace(centred, **change)
        assert labels_of(other)[0]["person_in_sights"] == 0


def test_third_person_shows_no_own_weapon_and_no_flash() -> None:
    before = dataclasses.replace(QUIET, first_person=False)
    row = labels_of(before, dataclasses.replace(before, ammunition=49))[1]
    assert (row["first_person"], row["weapon_in_view"], row["muzzle_flash"]) == (0, 0, 0)


def test_the_place_comes_from_the_scene_and_the_sky() -> None:
    row = labels_of(
        dataclasses.replace(QUIET, outdoor=True), setting=Setting(320, 180, False, water=True)
    )[0]
    assert (row["env_outdoor"], row["env_transport"], row["env_water"]) == (1, 0, 1)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SLHostile2", "hostile"),
        ("SLZombie0", "hostile"),
        ("SLCiv3", "civ"),
        ("SLRole0", "civ"),
        ("SLHostage1", "hostage"),
        ("SLCasualty0", "dead"),
        ("DeadSLCiv1", "dead"),
        ("DeadMarine", "dead"),
        ("SLTarget", None),
        ("SLWearer", None),
        ("TechLamp", None),
    ],
)
def test_a_class_name_tells_the_kind(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind


def test_the_document_has_the_format_of_the_footage() -> None:
    keeper = TruthKeeper(SETTING)
    keeper.add(with_box("civ"))
    keeper.add(QUIET)
    document = keeper.document()
    assert list(document) == ["frame_rate_hz", "resolution", "frames"]
    assert document["resolution"] == [320, 180]
    assert document["frames"][0]["boxes"] == [
        {"kind": "civ", "xywh": [10, 10, 20, 40], "pixels": 200}
    ]
    assert document["frames"][1]["frame"] == 1
    assert document["frames"][1]["t_s"] == 0.0286
