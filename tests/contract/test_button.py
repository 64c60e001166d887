"""What every Button promises, over every driver, fake and real."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.gestures import Edge
from agent.drivers.button_fake import FakeButton
from agent.drivers.button_pipe import PipeButton
from agent.errors import ButtonError
from agent.ports.button import Button
from tests.contract.button_benches import BENCHES, Bench

WAIT_S = 30.0


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with BENCHES[request.param](tmp_path) as made:
        yield made
        made.button.close()


def boot_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def read(button: Button, count: int) -> list[Edge]:
    """The next `count` edges."""
    edges: list[Edge] = []
    deadline = time.monotonic() + WAIT_S
    while len(edges) < count:
        assert time.monotonic() < deadline, f"only {edges} came"
        edges += button.read(0.1)
    return edges


def until_lost(button: Button) -> ButtonError:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        try:
            button.read(0.1)
        except ButtonError as exc:
            return exc
    raise AssertionError("nothing was said")


def test_presses_are_told_in_order_at_the_time_they_were_made(bench: Bench) -> None:
    assert bench.button.open()
    for pressed in (True, False, True, False):
        before_ns = boot_ns()
        bench.press(pressed)
        after_ns = boot_ns()
        (edge,) = read(bench.button, 1)
        assert edge.pressed == pressed
        # A kernel may count in microseconds.
        assert before_ns - 1_000 <= edge.at_ns <= after_ns + bench.late_ns
    assert bench.button.read(0) == []


def test_an_edge_is_as_old_as_its_press_however_late_it_is_read(bench: Bench) -> None:
    bench.button.open()
    bench.press(True)
    pressed_ns = boot_ns()
    while boot_ns() < pressed_ns + bench.late_ns + 50_000_000:
        bench.settle()
    (edge,) = read(bench.button, 1)
    assert edge.at_ns <= pressed_ns + bench.late_ns


def test_presses_before_open_are_not_told(bench: Bench) -> None:
    for pressed in (True, False):
        bench.press(pressed)
        bench.settle()
    bench.button.open()
    bench.press(True)
    assert [edge.pressed for edge in read(bench.button, 1)] == [True]


def test_a_closed_button_can_be_opened_again(bench: Bench) -> None:
    bench.button.open()
    bench.button.close()
    bench.button.close()
    with pytest.raises(ButtonError, match="not open"):
        bench.button.read(0)
    bench.button.open()
    bench.press(True)
    assert len(read(bench.button, 1)) == 1


def test_without_a_press_nothing_is_told(bench: Bench) -> None:
    bench.button.open()
    assert not any(edge.pressed for edge in bench.button.read(0.01))


@pytest.mark.parametrize("timeout_s", [-1.0, float("nan"), float("inf")])
def test_a_wait_that_cannot_be_is_refused(bench: Bench, timeout_s: float) -> None:
    bench.button.open()
    with pytest.raises(ButtonError):
        bench.button.read(timeout_s)


def test_a_button_that_goes_is_said_and_comes_back(bench: Bench) -> None:
    bench.button.open()
    bench.lose()
    assert "\n" not in str(until_lost(bench.button))
    with pytest.raises(ButtonError, match="not open"):
        bench.button.read(0)
    bench.restore()
    bench.button.open()
    bench.press(True)
    assert [edge.pressed for edge in read(bench.button, 1)] == [True]


@pytest.mark.parametrize("name", BENCHES)
def test_a_button_that_is_not_there_is_one_line_with_a_remedy(name: str, tmp_path: Path) -> None:
    with BENCHES[name](tmp_path) as bench, pytest.raises(ButtonError) as caught:
        bench.absent().open()
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_times_never_go_back_whatever_a_driver_says() -> None:
    button = FakeButton()
    button.open()
    for at_ns in (5, 3, 7):
        button.edge(True, at_ns)
    assert [edge.at_ns for edge in button.read(0)] == [5, 5, 7]


@pytest.mark.parametrize(
    ("line", "edges"),
    [
        (b"down\nup\n", [True, False]),
        (b"up 12\ndown 13\n", [False, True]),
        (b"\nsideways\ndown x\ndown 1 2\n\xff\xfe\nup\n", [False]),
        (b"x" * 5000 + b"\ndown\n", [True]),
    ],
)
def test_a_line_that_is_no_edge_is_passed_over(
    tmp_path: Path, line: bytes, edges: list[bool]
) -> None:
    button = PipeButton(tmp_path / "button.fifo")
    button.open()
    (tmp_path / "button.fifo").write_bytes(line)
    assert [edge.pressed for edge in read(button, len(edges))] == edges
    button.close()


def test_a_time_to_come_is_not_believed(tmp_path: Path) -> None:
    button = PipeButton(tmp_path / "button.fifo")
    button.open()
    (tmp_path / "button.fifo").write_text(f"down {boot_ns() + 10**12}\n")
    (edge,) = read(button, 1)
    assert edge.at_ns <= boot_ns()
    button.close()
