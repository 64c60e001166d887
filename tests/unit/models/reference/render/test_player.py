"""The scripted wearer: aims at what it may shoot, keeps its finger off the rest."""

from __future__ import annotations

import random

import numpy as np
import pytest

from models.reference.render.player import Action, Player, Sight
from models.reference.render.truth import Box


def sight(*boxes: Box, depth: tuple[float, float, float] = (40, 40, 40), moved: float = 9) -> Sight:
    return Sight(boxes, np.array(depth, np.float32), moved, 320, 180, 90.0, 0.0)


def box(kind: str, x: int, height: int = 60) -> Box:
    return Box(kind, x, 60, 20, height, 1200)


def run(player: Player, seen: Sight, frames: int) -> list[Action]:
    return [player.act(seen) for _ in range(frames)]


def engaging(seed: int = 1, **kwargs: bool) -> Player:
    player = Player(random.Random(seed), "engage", ("pistol",), **kwargs)
    player.mode, player.mode_left = "walk", 400
    return player


def test_it_turns_towards_a_hostile_on_either_side() -> None:
    for x, sign in ((290, 1), (10, -1)):
        turns = [a.turn for a in run(engaging(), sight(box("hostile", x)), 20)]
        assert np.sign(np.mean(turns)) == sign


def test_it_fires_at_a_hostile_in_its_sights() -> None:
    assert any(a.attack for a in run(engaging(), sight(box("hostile", 150)), 120))


@pytest.mark.parametrize("kind", ["civ", "hostage"])
def test_it_aims_at_people_without_firing(kind: str) -> None:
    player = engaging()
    player.target_kinds = ("hostile", kind)
    actions = run(player, sight(box(kind, 150)), 300)
    assert not any(a.attack for a in actions)


@pytest.mark.parametrize("state", [{"holstered": True}, {"third_person": True}])
def test_it_never_fires_with_the_weapon_away(state: dict[str, bool]) -> None:
    for seed in range(5):
        player = Player(random.Random(seed), "engage", ("pistol",), **state)
        assert not any(a.attack for a in run(player, sight(box("hostile", 150)), 400))


def test_it_turns_away_from_a_wall_to_the_open_side() -> None:
    turns = [a.turn for a in run(engaging(), sight(depth=(3, 4, 40)), 20)]
    assert np.mean(turns) > 1


def test_it_walks_faster_where_it_is_open() -> None:
    open_way = run(engaging(), sight(), 5)[-1]
    tight = run(engaging(), sight(depth=(5, 5, 5)), 5)[-1]
    assert open_way.forward > tight.forward


def test_it_backs_off_where_it_is_stuck() -> None:
    assert any(a.forward < 0 for a in run(engaging(), sight(moved=0.0), 30))


def test_the_same_seed_does_the_same() -> None:
    def actions(seed: int) -> list[Action]:
        player = Player(random.Random(seed), "patrol", ("fist", "pistol", "shotgun"))
        return run(player, sight(box("hostile", 200)), 500)

    assert actions(3) == actions(3)
    assert actions(3) != actions(4)


def test_it_changes_its_weapon_now_and_then() -> None:
    player = Player(random.Random(3), "patrol", ("fist", "pistol", "shotgun"))
    chosen = {a.select for a in run(player, sight(), 5000)} - {""}
    assert chosen == {"fist", "pistol", "shotgun"}
