"""GPIO lines by libgpiod v2 (`gpiod`), found by name: chip numbers change from board to board, and
from one kernel to the next (the Pi 5's header was gpiochip4, then gpiochip0)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal, TypeAlias

from agent.errors import AgentError

Bias: TypeAlias = Literal["pull_up", "pull_down", "none"]

_DEVICES = Path("/dev")
_CONSUMER = "sightline"


@dataclass(frozen=True, slots=True)
class FoundLine:
    path: str
    label: str
    offset: int


def library(error: type[AgentError]) -> ModuleType:
    """gpiod, imported when a line is first wanted: a camera that has none does without it."""
    try:
        import gpiod
        import gpiod.line
    except ImportError as exc:
        raise error(f"the library gpiod cannot be used ({exc})", remedy="install it") from exc
    module: ModuleType = gpiod
    return module


def input_settings(bias: Bias, error: type[AgentError], **more: object) -> object:
    """LineSettings of an input; `more` as the library takes it."""
    line = library(error).line
    biases = {
        "pull_up": line.Bias.PULL_UP,
        "pull_down": line.Bias.PULL_DOWN,
        "none": line.Bias.AS_IS,
    }
    return library(error).LineSettings(direction=line.Direction.INPUT, bias=biases[bias], **more)


def find_line(chip: str, line: str, error: type[AgentError]) -> FoundLine:
    """The line called `line` on the chip labelled `chip`; "" for `chip`: on whichever has it. With
    a chip, `line` may also be its offset. Raises `error` when there is none, or more than one."""
    gpiod = library(error)
    found: list[FoundLine] = []
    labels: list[str] = []
    for path in sorted(_DEVICES.glob("gpiochip*")):
        try:
            with gpiod.Chip(str(path)) as opened:
                label = opened.get_info().label
                labels.append(label)
                if chip not in ("", label):
                    continue
                if not line.isdigit() or chip:
                    found.append(FoundLine(str(path), label, opened.line_offset_from_id(line)))
        except PermissionError as exc:
            raise error(
                f"{path} may not be read", remedy="put the recorder's user into its group (gpio)"
            ) from exc
        except (OSError, ValueError):  # this chip does not have the line, or has just gone
            continue
    where = f"GPIO line {line!r}" + (f" on chip {chip!r}" if chip else "")
    if not found:
        there = ", ".join(sorted(set(labels))) or "no GPIO chip"
        raise error(f"{where} is not there", remedy=f"`gpioinfo` lists all lines; here: {there}")
    if len(found) > 1:
        both = ", ".join(each.label for each in found)
        raise error(f"{where} is on {both}", remedy="name the chip by its label")
    return found[0]


def request(found: FoundLine, settings: object, error: type[AgentError]):  # type: ignore[no-untyped-def]
    """Take the line. Raises `error` when another program has it."""
    gpiod = library(error)
    try:
        return gpiod.request_lines(
            found.path, consumer=_CONSUMER, config={found.offset: settings}, event_buffer_size=64
        )
    except OSError as exc:
        raise error(
            f"line {found.offset} of {found.label} cannot be taken ({exc.strerror})",
            remedy="`gpioinfo` shows which program has it",
        ) from exc
