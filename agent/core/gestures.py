"""What the wearer's presses mean. Pure: edges of one button in, gestures out.

A gesture is decided by the times of its edges alone, so a busy machine that looks late decides
the same. Presses follow one another when the pause between them is at most `pause_ns`; so many in
a row are a single, double or triple press. A press of `hold_ns` is a hold; what came
before it in the row is a gesture of its own, so a mark right before a stop is not lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["single", "double", "triple", "hold"]
# "mute" is to come with the microphone.
Action: TypeAlias = Literal["start", "stop", "mark"]

_KINDS: tuple[Kind, ...] = ("single", "double", "triple")


@dataclass(frozen=True, slots=True)
class Edge:
    """The button went down or up. `at_ns`: CLOCK_BOOTTIME, as the kernel stamped it."""

    pressed: bool
    at_ns: int


@dataclass(frozen=True, slots=True)
class Gesture:
    """`first_ns`: its first edge. `decided_ns`: when it could be told from every other one."""

    kind: Kind
    first_ns: int
    decided_ns: int


@dataclass(frozen=True, slots=True)
class GestureRules:
    """`most_presses`: the longest row that means anything (1 to 3). A row of that many is decided
    at its last release; a shorter one when the pause is over."""

    pause_ns: int
    hold_ns: int
    most_presses: int


class GestureReader:
    """Takes edges in the order of their times, and time itself.

    A row of more presses than mean anything counts as its first ones: what a shaking hand adds is
    ignored until the button has been let go for `pause_ns`.
    """

    def __init__(self, rules: GestureRules) -> None:
        self._rules = rules
        self._presses = 0
        self._first_ns = 0
        self._down_ns: int | None = None
        self._up_ns = 0
        self._last_ns = 0
        self._said = self._held = False

    @property
    def pressed_since_ns(self) -> int | None:
        """When the button went down; None while it is up."""
        return self._down_ns

    def edge(self, edge: Edge) -> list[Gesture]:
        """The gestures that were complete by the time of this edge, itself included.

        A second press without a release between them (an edge was lost) begins a press anew; a
        release without a press is ignored."""
        at_ns = max(edge.at_ns, self._last_ns)
        self._last_ns = at_ns
        gestures = self.passed(at_ns)
        if edge.pressed:
            self._press(at_ns)
        elif self._down_ns is not None:
            gestures += self._release(at_ns)
        return gestures

    def passed(self, now_ns: int) -> list[Gesture]:
        """What is decided by time alone, up to `now_ns`. An edge that is brought late keeps its
        time, but what was decided before it came stays so."""
        if self._down_ns is not None:
            held_ns = self._down_ns + self._rules.hold_ns
            if self._held or now_ns < held_ns:
                return []
            self._held, self._last_ns = True, max(self._last_ns, held_ns)
            self._presses -= 1
            before = [self._row(held_ns)] if self._presses and not self._said else []
            return [*before, Gesture("hold", self._down_ns, held_ns)]
        over_ns = self._up_ns + self._rules.pause_ns
        if not self._presses or now_ns <= over_ns:
            return []
        gestures = [] if self._said else [self._row(over_ns)]
        self._last_ns = max(self._last_ns, over_ns)
        self._presses, self._said = 0, False
        return gestures

    def forget(self) -> None:
        """The button was lost: what had begun means nothing."""
        self._presses, self._down_ns = 0, None
        self._said = self._held = False

    def _press(self, at_ns: int) -> None:
        if not self._presses:
            self._first_ns = at_ns
        self._presses += 1
        self._down_ns, self._held = at_ns, False

    def _release(self, at_ns: int) -> list[Gesture]:
        self._down_ns, self._up_ns = None, at_ns
        if self._held:
            self.forget()
        elif self._presses == self._rules.most_presses and not self._said:
            self._said = True
            return [self._row(at_ns)]
        return []

    def _row(self, decided_ns: int) -> Gesture:
        kind = _KINDS[min(self._presses, len(_KINDS)) - 1]
        return Gesture(kind, self._first_ns, decided_ns)


def most_presses(kinds: set[str]) -> int:
    """The longest row of presses among `kinds`; 1 when there is none."""
    return max((_KINDS.index(kind) + 1 for kind in _KINDS if kind in kinds), default=1)
