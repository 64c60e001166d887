"""Settings of what the wearer touches, sees and feels: button and indicator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from agent.config.base import Contradiction, Section, bounded

# A GPIO chip's label, a line's name, an LED's or an input device's name, as the kernel says them.
KernelName: TypeAlias = Annotated[str, msgspec.Meta(max_length=200)]
LineBias: TypeAlias = Literal["pull_up", "pull_down", "none"]
GestureName: TypeAlias = Literal["single", "double", "triple", "hold", "none"]

# Less than this between the longest pause and a hold, and a hand cannot tell them apart.
_HOLD_OVER_PAUSE_S = 0.5


class Button(Section, frozen=True):
    """The wearer's button. `start`, `stop`, `mark` and `mute` each name the gesture that does it. A
    press counts from its first edge, however long the gesture takes."""

    driver: Literal["none", "gpiod", "evdev", "pipe"] = "none"
    chip: KernelName = ""
    line: KernelName = ""
    active_low: bool = True
    bias: LineBias = "pull_up"
    debounce_s: Annotated[float, bounded(0, 0.1)] = 0.01
    device: KernelName = ""
    key: Annotated[int, bounded(0, 767)] = 0
    start: GestureName = "double"
    stop: GestureName = "hold"
    mark: GestureName = "single"
    mute: GestureName = "triple"
    pause_s: Annotated[float, bounded(0.2, 2)] = 0.6
    hold_s: Annotated[float, bounded(1, 10)] = 3.0


class Indicator(Section, frozen=True):
    """Lamps and vibration motor. One lamp is enough: rhythms tell the states apart. An output that
    is not there is left empty."""

    driver: Literal["none", "gpiod", "sysfs"] = "none"
    chip: KernelName = ""
    red: KernelName = ""
    green: KernelName = ""
    motor: KernelName = ""
    active_low: bool = False
    leds_dir: Path = Path("/sys/class/leds")


def hands_contradictions(button: Button, indicator: Indicator) -> Iterator[Contradiction]:
    """(key, problem, remedy) of each setting that contradicts another."""
    yield from _gestures(button)
    if button.driver == "gpiod":
        yield from line_contradictions("button", button.chip, {"line": button.line})
        if not button.line:
            yield "button.line", "missing", "the gpiod driver needs the line's name"
    if button.driver == "evdev" and not button.device:
        yield "button.device", "missing", "the evdev driver needs the input device's name or path"
    outputs = {"red": indicator.red, "green": indicator.green, "motor": indicator.motor}
    used = [name for name in outputs.values() if name]
    if indicator.driver != "none" and not used:
        yield "indicator.red", "no output is named", "name red, green or motor"
    if len(set(used)) < len(used):
        yield "indicator.red", "two outputs have the same name", "give each its own"
    if indicator.driver == "gpiod":
        yield from line_contradictions("indicator", indicator.chip, outputs)
    same_chip = button.driver == indicator.driver == "gpiod" and button.chip == indicator.chip
    if same_chip and button.line in used:
        yield "button.line", "the indicator has this line", "give each its own"


def line_contradictions(section: str, chip: str, lines: dict[str, str]) -> Iterator[Contradiction]:
    """A line that is named by its number alone: the number means another line on another chip."""
    for key, line in lines.items():
        if line.isdigit() and not chip:
            yield (
                f"{section}.{key}",
                "a number without the label of its chip",
                "give the line's name, or name the chip as well (`gpioinfo` shows both)",
            )


def _gestures(button: Button) -> Iterator[Contradiction]:
    taken: dict[str, str] = {}
    for action in ("start", "stop", "mark", "mute"):
        gesture = getattr(button, action)
        if gesture == "none":
            continue
        if gesture in taken:
            yield (
                f"button.{action}",
                f"{gesture} is button.{taken[gesture]} already: nobody could tell what it did",
                'choose another gesture, or "none"',
            )
        taken[gesture] = action
    if button.start != "none" and button.stop == "none":
        yield (
            "button.stop",
            '"none": a session that the button starts could not be ended by it',
            "name a gesture",
        )
    if button.hold_s < button.pause_s + _HOLD_OVER_PAUSE_S:
        yield (
            "button.hold_s",
            f"less than button.pause_s and {_HOLD_OVER_PAUSE_S} s: a slow press would be a hold",
            "raise it, or lower button.pause_s",
        )
