"""The scripted wearer: walks, looks about, aims, shoots, hides its weapon. Pure and seeded.

It decides from what it sees (boxes, depth) and how far it got, never from the map.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from models.reference.render.truth import Box

WEAPON_SWITCH_FRAMES = 45


@dataclass(frozen=True)
class Sight:
    """What the wearer sees: boxes of people and targets (kind "target"), depth by column.

    `depth`: float32 [3], how far left, ahead and right it is open; 0 is at the nose, one step about
    14 map units. `moved`: map units since the picture before. `pitch`: degrees, up is positive.
    """

    boxes: tuple[Box, ...]
    depth: NDArray[np.float32]
    moved: float
    width: int
    height: int
    fov: float
    pitch: float


@dataclass(frozen=True)
class Action:
    """Speeds a tic: forward, right in units; turn (degrees, right), look (degrees, up)."""

    forward: float = 0.0
    right: float = 0.0
    turn: float = 0.0
    look: float = 0.0
    attack: bool = False
    use: bool = False
    select: str = ""


@dataclass
class Player:
    """`style`: patrol, engage, range, watch. Holds the plan of the next moments."""

    rng: random.Random
    style: str
    weapons: tuple[str, ...]
    third_person: bool = False
    holstered: bool = False
    frame: int = 0
    heading: float = 0.0
    mode: str = "walk"
    mode_left: int = 0
    turn_bias: float = 0.0
    stuck: int = 0
    burst: int = 0
    cooldown: int = 0
    busy: int = 20
    sway: float = 0.0
    target_kinds: tuple[str, ...] = field(default=("hostile",))

    def act(self, sight: Sight) -> Action:
        """The next action; call once a picture."""
        self.frame += 1
        self.busy = max(0, self.busy - 1)
        self.cooldown = max(0, self.cooldown - 1)
        if self.mode_left <= 0:
            self._plan()
        self.mode_left -= 1
        chosen = self._switch()
        target = self._target(sight)
        if target is not None and self.mode in ("fight", "aim", "walk") and self.style != "watch":
            action = self._engage(sight, target)
        elif self.mode == "look":
            action = self._look_about(sight)
        elif self.mode == "fire" and self._armed():
            action = Action(
                turn=self.rng.gauss(0, 0.3), look=-sight.pitch * 0.1, attack=self._trigger()
            )
        else:
            action = self._walk(sight)
        return replace(action, attack=False, select=chosen) if chosen else action

    def _armed(self) -> bool:
        return not self.holstered and not self.third_person

    def _plan(self) -> None:
        roll = self.rng.random()
        self.turn_bias = self.rng.choice((-1, 0, 0, 1)) * self.rng.uniform(0.2, 1.2)
        if self.style == "range":
            self.turn_bias = 0.0
            self.mode = "fight" if roll < 0.7 else "look"
        elif self.style == "watch":
            self.mode = "look" if roll < 0.5 else "walk"
        else:
            self.mode = "look" if roll < 0.18 else "fire" if roll < 0.34 else "walk"
        self.mode_left = self.rng.randrange(30, 110)
        if self.mode == "fire":
            self.mode_left = self.rng.randrange(15, 50)
        # Whom to point the weapon at: hostiles are shot at, others only looked at.
        kinds = ("target",) if self.style == "range" else ("hostile",)
        if self.rng.random() < 0.5:
            kinds += ("civ", "hostage")
        self.target_kinds = kinds

    def _switch(self) -> str:
        if self.busy == 0 and len(self.weapons) > 1 and self.rng.random() < 1 / 260:
            self.busy = WEAPON_SWITCH_FRAMES
            return self.rng.choice(self.weapons)
        return ""

    def _target(self, sight: Sight) -> Box | None:
        area = sight.width * sight.height
        seen = [b for b in sight.boxes
                if b.kind in self.target_kinds and b.pixels > 0.0004 * area]  # fmt: skip
        centre = sight.width / 2
        return min(seen, key=lambda b: abs(b.x + b.width / 2 - centre) - b.height, default=None)

    def _engage(self, sight: Sight, target: Box) -> Action:
        degrees = sight.fov / sight.width
        self.sway = 0.92 * self.sway + self.rng.gauss(0, 0.15)
        error_x = (target.x + target.width / 2 - sight.width / 2) * degrees
        error_y = (target.y + target.height * 0.4 - sight.height / 2) * degrees
        turn = float(np.clip(error_x * 0.22 + self.sway, -7, 7))
        look = float(np.clip(-error_y * 0.2 + self.sway * 0.3, -3, 3))
        on_target = abs(error_x) < max(2.0, target.width * degrees * 0.45)
        shoots = target.kind in ("hostile", "target") and on_target and self._armed()
        size = target.height / sight.height
        forward = (
            0.0 if self.style == "range" else 5.0 if size < 0.25 else -4.0 if size > 0.75 else 0.0
        )
        if forward > 0 and sight.depth[1] < 5:
            forward = 0.0
        right = 0.0 if self.style == "range" else 4.0 * np.sin(self.frame / 23.0)
        attack = self._trigger() if shoots else False
        return Action(forward, float(right), turn, look, attack)

    def _trigger(self) -> bool:
        """Bursts and single shots with pauses."""
        if self.busy or self.cooldown:
            return False
        if self.burst <= 0:
            self.burst = self.rng.choice((2, 2, 3, 16, 28))
        self.burst -= 1
        if self.burst == 0:
            self.cooldown = self.rng.randrange(8, 45)
        return True

    def _look_about(self, sight: Sight) -> Action:
        turn = 2.6 * np.sin(self.frame / 17.0) + self.turn_bias
        look = 0.8 * np.sin(self.frame / 29.0) - sight.pitch * 0.04
        return Action(turn=float(turn), look=float(look))

    def _walk(self, sight: Sight) -> Action:
        left, ahead, right = (float(d) for d in sight.depth)
        self.stuck = self.stuck + 1 if sight.moved < 1.0 else max(0, self.stuck - 2)
        level = -sight.pitch * 0.1
        if self.style == "range":
            return Action(turn=self.rng.gauss(0, 0.4), look=level)
        if self.stuck > 12:
            if self.stuck > 40:
                self.stuck = 0
                self.turn_bias = -self.turn_bias
            way = 5.0 if self.turn_bias >= 0 else -5.0
            return Action(forward=-3.0 if self.stuck < 20 else 4.0, turn=way, look=level,
                          use=self.stuck == 13)  # fmt: skip
        wish = 0.0
        if ahead < 10:
            wish = 4.5 if right > left else -4.5
        elif min(left, right) < 4.5:
            wish = 2.2 if right > left else -2.2
        wish += self.turn_bias + self.rng.gauss(0, 0.3)
        self.heading = 0.8 * self.heading + 0.2 * wish
        speed = 9.0 if ahead > 14 else 5.0 if ahead > 6 else 1.5
        return Action(forward=speed, turn=self.heading, look=level)
