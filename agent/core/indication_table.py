"""What lamps and motor say: one table of patterns. README shows it (`markdown`), a test compares.

The rhythm alone tells the states apart, so one lamp of any colour does, for a colour-blind eye as
well; gloves and ear protection leave the buzz, so each confirmation has a buzz of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Output: TypeAlias = Literal["red", "green", "motor"]
Lit: TypeAlias = frozenset[Output]
Step: TypeAlias = tuple[Lit, int]  # what is on, for so many ms

NOTHING: Lit = frozenset()
RED: Lit = frozenset({"red"})
GREEN: Lit = frozenset({"green"})
AMBER: Lit = RED | GREEN
MOTOR: Lit = frozenset({"motor"})
_COLOURS = {RED: "red", GREEN: "green", AMBER: "amber"}

Base: TypeAlias = Literal[
    "alarm", "not_ready", "recording", "post_roll", "uploading", "filling", "standby"
]
Note: TypeAlias = Literal[
    "lens_covered", "low_battery", "card_nearly_full", "part_at_fault", "clock_not_trusted"
]
Confirmation: TypeAlias = Literal["start", "stop", "mark", "mute", "card", "refused"]


@dataclass(frozen=True, slots=True)
class Beat:
    """`times` pulses of `on_ms`, `off_ms` between them."""

    times: int
    on_ms: int
    off_ms: int = 0

    def steps(self, lit: Lit) -> tuple[Step, ...]:
        pulse = ((lit, self.on_ms), (NOTHING, self.off_ms))
        return (pulse * self.times)[:-1]

    @property
    def length_ms(self) -> int:
        return self.times * (self.on_ms + self.off_ms) - self.off_ms


@dataclass(frozen=True, slots=True)
class Pattern:
    """`meaning` is for the reader of the table. A state's light repeats every `every_ms`; a note's
    is put between two rounds of the state's. The buzz comes at the beginning (unless
    `quiet_begin`) and again every `again_s` while the state lasts, if that is not 0."""

    meaning: str
    colour: Lit
    light: Beat
    every_ms: int = 0
    buzz: Beat | None = None
    again_s: int = 0
    quiet_begin: bool = False

    def round(self) -> tuple[Step, ...]:
        """The light once, with the dark up to the next round."""
        rest_ms = self.every_ms - self.light.length_ms
        return (*self.light.steps(self.colour), (NOTHING, rest_ms))


_WARNING = Beat(2, 400, 400)

# The first that holds is shown.
STATES: dict[Base, Pattern] = {
    "alarm": Pattern(
        "footage is being lost, or the session ended by itself (card full, camera lost, battery);"
        " until a press or a start",
        RED,
        Beat(1, 100),
        200,
        Beat(3, 800, 300),
        10,
    ),
    "not_ready": Pattern(
        "a start press would be refused: a part is at fault, see `status`",
        RED,
        Beat(1, 250),
        500,
        Beat(4, 200, 200),
    ),
    "recording": Pattern(
        "a session is being recorded",
        RED,
        Beat(1, 1800),
        2000,
        Beat(2, 100, 150),
        120,
        quiet_begin=True,
    ),
    "post_roll": Pattern("stopped, the post-roll is being recorded", RED, Beat(1, 1000), 2000),
    "uploading": Pattern(
        "standby, clips are being sent: leave the camera where it is",
        GREEN,
        Beat(2, 200, 200),
        2000,
    ),
    "filling": Pattern("standby, the pre-roll is not full yet", GREEN, Beat(1, 500), 1000),
    "standby": Pattern("standby, the whole pre-roll is there", GREEN, Beat(1, 100), 2000),
}

# Beside a state that is no alarm: the first that holds.
NOTES: dict[Note, Pattern] = {
    "lens_covered": Pattern(
        "recording, but the lens is covered or blurred",
        AMBER,
        Beat(6, 150, 250),
        buzz=Beat(4, 200, 200),
        again_s=15,
    ),
    "low_battery": Pattern(
        "battery low, charge it soon", AMBER, Beat(2, 150, 250), buzz=_WARNING, again_s=300
    ),
    "card_nearly_full": Pattern(
        "card nearly full", AMBER, Beat(3, 150, 250), buzz=_WARNING, again_s=600
    ),
    "part_at_fault": Pattern(
        "not fit, or a part is at fault; recording works, see `status`",
        AMBER,
        Beat(5, 150, 250),
    ),
    "clock_not_trusted": Pattern("clock not trusted", AMBER, Beat(4, 150, 250)),
}
NOTE_LEAD_MS, NOTE_TAIL_MS = 400, 600

# Once each, over whatever is shown; the lamps follow the motor.
CONFIRMATIONS: dict[Confirmation, Beat] = {
    "start": Beat(1, 1000),
    "stop": Beat(2, 600, 300),
    "mark": Beat(1, 250),
    "mute": Beat(3, 250, 250),
    "card": Beat(2, 150, 150),
    "refused": Beat(7, 100, 80),
}
_CONFIRMED = {
    "start": "start: the session runs",
    "stop": "stop: the session ends",
    "mark": "mark: the moment is kept",
    "mute": "mute: no sound from now on, or again",
    "card": "card: what the scenario card declares is kept",
    "refused": "refused: nothing was done; `status` or the log says why",
}


def markdown() -> str:
    """The whole table, as README shows it."""
    lines = ["| shown while | light | buzz |", "|---|---|---|"]
    for state in STATES.values():
        light = f"{_beat(state.light, _COLOURS[state.colour])} every {_s(state.every_ms)}"
        lines.append(f"| {state.meaning} | {light} | {_buzz(state)} |")
    for note in NOTES.values():
        light = f"between: {_beat(note.light, _COLOURS[note.colour])}"
        lines.append(f"| {note.meaning} | {light} | {_buzz(note)} |")
    for name, beat in CONFIRMATIONS.items():
        lines.append(f"| confirms {_CONFIRMED[name]} | amber, as the buzz | {_beat(beat, '')} |")
    return "\n".join(lines)


def _buzz(pattern: Pattern) -> str:
    if pattern.buzz is None:
        return "-"
    words = _beat(pattern.buzz, "")
    if pattern.quiet_begin:
        return f"{words} every {pattern.again_s} s"
    return f"{words}, again every {pattern.again_s} s" if pattern.again_s else words


def _beat(beat: Beat, colour: str) -> str:
    words = f"{beat.times} x {_s(beat.on_ms)}" if beat.times > 1 else _s(beat.on_ms)
    return f"{colour} {words}".strip()


def _s(ms: int) -> str:
    return f"{ms / 1000:g} s"
