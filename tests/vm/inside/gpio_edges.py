"""Inside a guest: what a real kernel alone shows of buttons: bounces, taken lines, clickers."""

from __future__ import annotations

import fcntl
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.gestures import Edge
from agent.drivers.button_evdev import EvdevButton
from agent.drivers.button_gpiod import GpiodButton
from agent.errors import ButtonError
from agent.ports.button import Button
from tests.contract.real_lines import RealLines
from tests.contract.test_button import boot_ns, read, until_lost
from tests.vm import board

DEBOUNCE_S = 0.1
CLICKER = "Presenter 3000"
PAGE_UP, PAGE_DOWN = 104, 109


@pytest.fixture
def lines() -> Iterator[RealLines]:
    made = RealLines()
    made.set(board.BUTTON, 1)
    made.set(board.KEY, 1)
    yield made
    made.close()


def button(line: str = "BUTTON", chip: str = "", debounce_s: float = DEBOUNCE_S) -> Button:
    return GpiodButton(chip=chip, line=line, active_low=True, bias="pull_up", debounce_s=debounce_s)


def test_two_presses_come_through_and_their_bounces_vanish(lines: RealLines) -> None:
    pressed = button()
    pressed.open()
    edges: list[Edge] = []
    for _press in range(2):
        for levels in ((0, 1, 0, 1, 0), (1, 0, 1, 0, 1)):
            before_ns = boot_ns()
            lines.set(board.BUTTON, *levels)
            edges += read(pressed, 1)
            # The line must have been still for so long before it is believed.
            assert edges[-1].at_ns >= before_ns + DEBOUNCE_S * 1e9
    assert [edge.pressed for edge in edges] == [True, False, True, False]
    assert pressed.read(2 * DEBOUNCE_S) == []
    pressed.close()


@pytest.mark.parametrize(("line", "chip"), [("BUTTON", board.CHIP), ("0", board.CHIP)])
def test_a_line_is_found_by_its_chips_label(lines: RealLines, line: str, chip: str) -> None:
    found = button(line, chip, debounce_s=0)
    assert board.CHIP in found.open()
    lines.set(board.BUTTON, 0)
    assert any(edge.pressed for edge in read(found, 1))
    found.close()


@pytest.mark.parametrize(
    ("line", "chip", "says"),
    [
        ("BUTTON", "pinctrl-rp1", board.CHIP),
        ("99", board.CHIP, "not there"),
        ("KEY", "", "gpioinfo"),
    ],
)
def test_a_line_that_cannot_be_had_is_one_line(line: str, chip: str, says: str) -> None:
    with pytest.raises(ButtonError, match=says):
        button(line, chip).open()


def test_one_that_is_taken_says_so(lines: RealLines) -> None:
    with pytest.raises(ButtonError, match="cannot be taken"):
        button("KEY").open()
    keys = EvdevButton(device=board.KEY_DEVICE, key=0)
    keys.open()
    with pytest.raises(ButtonError, match="cannot be had alone"):
        EvdevButton(device=board.KEY_DEVICE, key=0).open()
    keys.close()
    keys.open()
    keys.close()


def test_gpio_keys_debounces_by_itself(lines: RealLines) -> None:
    keys = EvdevButton(device=board.KEY_DEVICE, key=0)
    keys.open()
    lines.set(board.KEY, 0, 1, 0, 1, 0)
    assert [edge.pressed for edge in read(keys, 1)] == [True]
    lines.set(board.KEY, 1, 0, 1)
    assert [edge.pressed for edge in read(keys, 1)] == [False]
    assert keys.read(0.1) == []
    keys.close()


class Clicker:
    """A USB presenter, as far as the kernel's input layer can tell: a device of uinput."""

    _SET_EVBIT, _SET_KEYBIT = 0x40045564, 0x40045565
    _DEV_SETUP, _DEV_CREATE = 0x405C5503, 0x5501

    def __init__(self) -> None:
        self._file = Path("/dev/uinput").open("wb", buffering=0)  # noqa: SIM115 (until `unplug`)
        fcntl.ioctl(self._file, self._SET_EVBIT, 1)
        for key in (PAGE_UP, PAGE_DOWN):
            fcntl.ioctl(self._file, self._SET_KEYBIT, key)
        setup = struct.pack("4H80sI", 3, 1, 2, 3, CLICKER.encode(), 0)
        fcntl.ioctl(self._file, self._DEV_SETUP, setup)
        fcntl.ioctl(self._file, self._DEV_CREATE)

    def key(self, code: int, value: int) -> None:
        for kind, number, word in ((1, code, value), (0, 0, 0)):
            self._file.write(struct.pack("llHHi", 0, 0, kind, number, word))

    def unplug(self) -> None:
        self._file.close()


@pytest.fixture
def clicker() -> Iterator[Clicker]:
    made = Clicker()
    yield made
    made.unplug()


def opened(key: int) -> Button:
    """The clicker, as soon as its node is there."""
    made = EvdevButton(device=CLICKER, key=key)
    deadline = time.monotonic() + 10
    while True:
        try:
            assert CLICKER in made.open()
            return made
        except ButtonError:
            assert time.monotonic() < deadline
            time.sleep(0.05)  # a pause between two looks


def test_any_key_of_a_clicker_is_the_button_and_repeats_are_nothing(clicker: Clicker) -> None:
    pressed = opened(0)
    for code, value in ((PAGE_UP, 1), (PAGE_UP, 2), (PAGE_DOWN, 1), (PAGE_UP, 0), (PAGE_DOWN, 0)):
        clicker.key(code, value)
    assert [edge.pressed for edge in read(pressed, 2)] == [True, False]
    assert pressed.read(0.1) == []
    pressed.close()


def test_one_key_of_a_clicker_is_the_button_and_the_other_nothing(clicker: Clicker) -> None:
    pressed = opened(PAGE_DOWN)
    for code in (PAGE_UP, PAGE_DOWN):
        before_ns = boot_ns()
        clicker.key(code, 1)
        clicker.key(code, 0)
    down, up = read(pressed, 2)
    assert (down.pressed, up.pressed) == (True, False)
    assert before_ns - 1_000 <= down.at_ns <= up.at_ns <= boot_ns()
    pressed.close()


def test_a_clicker_that_is_unplugged_and_plugged_in_again(clicker: Clicker) -> None:
    pressed = opened(0)
    clicker.unplug()
    assert "lost" in str(until_lost(pressed))
    again = Clicker()
    back = opened(0)
    again.key(PAGE_UP, 1)
    assert [edge.pressed for edge in read(back, 1)] == [True]
    back.close()
    again.unplug()


def test_presses_that_the_kernel_could_not_keep_are_an_error_and_no_guess(
    clicker: Clicker,
) -> None:
    pressed = opened(0)
    for _press in range(2_000):
        clicker.key(PAGE_UP, 1)
        clicker.key(PAGE_UP, 0)
    assert "ran over" in str(until_lost(pressed))


@pytest.mark.parametrize("path", ["/dev/input/event99", "/dev/null"])
def test_a_path_that_is_no_input_device_is_one_line(path: str) -> None:
    with pytest.raises(ButtonError) as caught:
        EvdevButton(device=path, key=0).open()
    assert path in str(caught.value)
    assert Path(path).name in caught.value.what
