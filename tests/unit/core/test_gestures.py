"""Presses into gestures: by the times of their edges alone."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.gestures import Edge, Gesture, GestureReader, GestureRules, most_presses

MS = 1_000_000
PAUSE_NS, HOLD_NS = 600 * MS, 3_000 * MS
START_NS = 10_000 * MS


def reader(most: int = 3) -> GestureReader:
    return GestureReader(GestureRules(pause_ns=PAUSE_NS, hold_ns=HOLD_NS, most_presses=most))


def edges(*durations_ms: int) -> list[Edge]:
    """Down at START_NS, then each edge so long after the one before it."""
    times = accumulate(durations_ms, lambda at, ms: at + ms * MS, initial=START_NS)
    return [Edge(index % 2 == 0, at) for index, at in enumerate(times)]


def read(presses: list[Edge], most: int = 3, *, later_ns: int = 10**12) -> list[Gesture]:
    of = reader(most)
    said = [gesture for edge in presses for gesture in of.edge(edge)]
    return said + of.passed(START_NS + later_ns)


def test_a_press_is_a_single_one_once_the_pause_is_over() -> None:
    of = reader()
    for edge in edges(150):
        assert of.edge(edge) == []
    assert of.passed(START_NS + 150 * MS + PAUSE_NS) == []
    over_ns = START_NS + 150 * MS + PAUSE_NS
    assert of.passed(over_ns + 1) == [Gesture("single", START_NS, over_ns)]
    assert of.passed(over_ns + PAUSE_NS * 9) == []


@pytest.mark.parametrize(("presses", "kind"), [(2, "double"), (3, "triple")])
def test_presses_in_a_row_count_from_the_first_edge(presses: int, kind: str) -> None:
    (gesture,) = read(edges(*[200, 500] * (presses - 1), 200))
    assert (gesture.kind, gesture.first_ns) == (kind, START_NS)


def test_the_longest_row_that_means_anything_is_decided_at_its_release() -> None:
    of = reader(most=2)
    row = edges(200, 500, 200)
    assert [of.edge(edge) for edge in row[:-1]] == [[], [], []]
    assert of.edge(row[-1]) == [Gesture("double", START_NS, row[-1].at_ns)]


def test_what_a_shaking_hand_adds_is_ignored_until_the_button_rests() -> None:
    row = edges(*[100, 100] * 6, 100, 700, 100)
    kinds = [gesture.kind for gesture in read(row, most=2)]
    assert kinds == ["double", "single"]


def test_presses_with_a_longer_pause_are_presses_of_their_own() -> None:
    row = edges(200, 601, 200)
    assert [gesture.kind for gesture in read(row)] == ["single", "single"]


def test_a_slow_press_of_a_gloved_hand_is_still_a_press() -> None:
    assert [gesture.kind for gesture in read(edges(2_900))] == ["single"]


def test_a_hold_is_said_while_the_button_is_down_and_once() -> None:
    of = reader()
    of.edge(edges()[0])
    assert of.passed(START_NS + HOLD_NS - 1) == []
    assert of.passed(START_NS + HOLD_NS + 50 * MS) == [
        Gesture("hold", START_NS, START_NS + HOLD_NS)
    ]
    assert of.passed(START_NS + 3 * HOLD_NS) == []
    assert of.edge(Edge(False, START_NS + 3 * HOLD_NS)) == []
    assert of.passed(START_NS + 9 * HOLD_NS) == []


def test_a_hold_that_is_looked_at_only_after_the_release_is_one_all_the_same() -> None:
    assert read(edges(3_000)) == [Gesture("hold", START_NS, START_NS + HOLD_NS)]


@pytest.mark.parametrize(
    ("before", "kinds"), [(1, ["single", "hold"]), (2, ["double", "hold"]), (5, ["double", "hold"])]
)
def test_a_hold_right_after_presses_is_one_and_they_count_too(
    before: int, kinds: list[str]
) -> None:
    row = edges(*[100, 200] * before, 3_500)
    said = read(row, most=2)
    assert [gesture.kind for gesture in said] == kinds
    assert [gesture.first_ns for gesture in said] == [START_NS, row[-2].at_ns]


def test_a_lost_release_does_not_make_a_hold_of_two_presses() -> None:
    row = [Edge(True, START_NS), Edge(True, START_NS + 2_900 * MS)]
    row.append(Edge(False, START_NS + 3_100 * MS))
    assert [gesture.kind for gesture in read(row)] == ["double"]


def test_a_release_without_a_press_means_nothing() -> None:
    assert read([Edge(False, START_NS)]) == []


def test_an_edge_that_is_brought_late_keeps_its_time() -> None:
    of = reader()
    assert of.passed(START_NS + 10 * HOLD_NS) == []
    for edge in edges(200):
        of.edge(edge)
    (gesture,) = of.passed(START_NS + 10 * HOLD_NS)
    assert gesture.first_ns == START_NS


def test_a_button_that_was_lost_begins_anew() -> None:
    of = reader()
    of.edge(Edge(True, START_NS))
    of.forget()
    assert of.passed(START_NS + HOLD_NS * 2) == []
    assert of.pressed_since_ns is None


def test_how_many_presses_mean_anything_follows_from_what_is_used() -> None:
    assert most_presses({"single", "double", "hold"}) == 2
    assert most_presses({"triple"}) == 3
    assert most_presses({"hold"}) == 1


@settings(deadline=None)
@given(st.lists(st.integers(1, 5_000), max_size=30), st.lists(st.integers(1, 2_000), max_size=60))
def test_how_often_one_looks_changes_nothing(durations_ms: list[int], looks_ms: list[int]) -> None:
    row = edges(*durations_ms)
    often = reader()
    said: list[Gesture] = []
    now_ns = START_NS
    looks = iter(looks_ms)
    for edge in row:
        while (now_ns := now_ns + next(looks, 10**9) * MS) < edge.at_ns:
            said += often.passed(now_ns)
        now_ns = edge.at_ns
        said += often.edge(edge)
    end_ns = row[-1].at_ns + 10**12
    said += often.passed(end_ns)
    assert said == read(row, later_ns=end_ns - START_NS)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10**11)), max_size=40))
def test_edges_of_any_kind_never_break_it(rubbish: list[tuple[bool, int]]) -> None:
    of = reader()
    for pressed, at_ns in rubbish:
        for gesture in of.edge(Edge(pressed, at_ns)):
            assert gesture.first_ns <= gesture.decided_ns
