"""The button's thread: what was pressed comes through, and a button that goes is opened again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent.core.gestures import Edge
from agent.drivers.button_fake import FakeButton
from agent.services.button_watch import ButtonLost, ButtonWatch
from tests.clock import ManualClock


def test_edges_come_through_in_order() -> None:
    button = FakeButton()
    button.open()
    watch = ButtonWatch(button, ManualClock())
    watch._is_open = True
    button.edge(True, 5)
    button.edge(False, 9)
    assert watch.turn() == 0
    assert watch.take() == [Edge(True, 5), Edge(False, 9)]
    assert watch.take() == []


def test_what_it_has_seen_is_no_later_than_what_it_has_queued() -> None:
    button, clock = FakeButton(), ManualClock()
    watch = ButtonWatch(button, clock)
    read = button._read

    def slow_read(timeout_s: float) -> Sequence[Edge]:
        edges = read(timeout_s)
        clock.advance(1)  # the thread was not let run; a press in that second is not read yet
        return edges

    button._read = slow_read  # type: ignore[method-assign]
    began_ns = clock.boot_ns()
    watch.turn()
    assert watch.seen_through_ns == began_ns


def test_a_lost_button_is_told_between_the_edges_and_tried_with_longer_waits() -> None:
    button = FakeButton()
    watch = ButtonWatch(button, ManualClock())
    button.lose("cable out")
    assert [watch.turn() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert "connect it" in watch.fault
    assert watch.take() == []  # it never was there, so nothing was cut off
    button.restore()
    button._open()
    watch._is_open = button._is_open = True
    button.lose("cable out")
    watch.turn()
    (lost,) = watch.take()
    assert isinstance(lost, ButtonLost)


def test_a_driver_that_makes_a_mistake_does_not_end_the_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    button = FakeButton()

    def fail(_timeout_s: float) -> list[Edge]:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(button, "_read", fail)
    watch = ButtonWatch(button, ManualClock())
    assert watch.turn() > 0
    assert "oops" in watch.fault
