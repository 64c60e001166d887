"""Scores to tags: the rules one by one, then what must hold for any scores."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.tagging import Change, OpenSpan, Span, TagRule, TagTracker

MS = 1_000_000
PERIOD = 100 * MS
MAX_GAP = 250 * MS


def rule(**changes: Any) -> TagRule:
    words: dict[str, Any] = {
        "label": "a",
        "group": "g",
        "kind": "state",
        "threshold_on": 0.6,
        "threshold_off": 0.4,
        "smoothing_ns": 0,
        "min_on_ns": 0,
        "min_off_ns": 0,
        "cooldown_ns": 0,
    }
    return TagRule(**(words | changes))


def tracker(*rules: TagRule) -> TagTracker:
    return TagTracker(rules or (rule(),), frame_period_ns=PERIOD, max_gap_ns=MAX_GAP)


def run(tested: TagTracker, scores: list[float], start: int = 0) -> list[Change]:
    changes: list[Change] = []
    for i, score in enumerate(scores):
        changes += tested.push(start + i * PERIOD, [score])
    return changes


def closed(changes: list[Change]) -> list[tuple[int, int]]:
    return [(c.start_ns // MS, c.end_ns // MS) for c in changes if isinstance(c, Span)]


def test_a_span_opens_at_the_first_frame_above_and_ends_at_the_first_below() -> None:
    changes = run(tracker(), [0.1, 0.7, 0.9, 0.5, 0.3, 0.1])
    assert closed(changes) == [(100, 400)]
    assert isinstance(changes[0], OpenSpan)


def test_peak_and_mean_are_of_the_frames_inside() -> None:
    span = run(tracker(), [0.1, 0.7, 0.9, 0.5, 0.3])[-1]
    assert span.peak == 0.9
    assert span.mean == pytest.approx(0.7)


def test_a_span_is_known_only_after_min_on_but_starts_at_the_first_frame() -> None:
    tested = tracker(rule(min_on_ns=200 * MS))
    assert run(tested, [0.7, 0.7]) == []
    opened = tested.push(200 * MS, [0.7])
    assert [c.start_ns for c in opened] == [0]


def test_a_rise_shorter_than_min_on_is_no_tag() -> None:
    assert run(tracker(rule(min_on_ns=200 * MS)), [0.7, 0.7, 0.5, 0.7, 0.7, 0.1]) == []


def test_a_dip_shorter_than_min_off_does_not_end_a_tag() -> None:
    changes = run(tracker(rule(min_off_ns=200 * MS)), [0.7, 0.1, 0.1, 0.7, 0.1, 0.1, 0.1])
    assert closed(changes) == [(0, 400)]
    assert changes[-1].mean == pytest.approx((0.7 + 0.1 + 0.1 + 0.7) / 4)


def test_between_the_thresholds_a_tag_holds_but_does_not_begin() -> None:
    assert closed(run(tracker(), [0.5, 0.7, 0.5, 0.5, 0.39])) == [(100, 400)]


def test_after_a_tag_the_next_waits_for_the_cooldown() -> None:
    changes = run(tracker(rule(cooldown_ns=300 * MS)), [0.9, 0.1, 0.9, 0.9, 0.9, 0.9, 0.1])
    assert closed(changes) == [(0, 100), (400, 600)]


def test_smoothing_delays_by_its_time_constant() -> None:
    tested = tracker(rule(smoothing_ns=200 * MS))
    changes = run(tested, [0.0, 1.0, 1.0, 1.0, 1.0])
    # 1 - exp(-t / 200 ms) passes 0.6 between the first and the second frame after the step.
    assert [c.start_ns // MS for c in changes] == [200]


def test_a_gap_ends_the_span_one_period_after_the_last_frame_and_forgets_smoothing() -> None:
    tested = tracker(rule(smoothing_ns=10_000 * MS))
    run(tested, [0.9, 0.9])
    changes = tested.push(100 * MS + MAX_GAP + 1, [0.0])
    assert closed(changes) == [(0, 200)]
    assert tested.open_spans() == []


def test_a_gap_while_falling_ends_the_span_where_it_began_to_fall() -> None:
    tested = tracker(rule(min_off_ns=1000 * MS))
    run(tested, [0.9, 0.9, 0.1, 0.1])
    assert closed(tested.push(10_000 * MS, [0.0])) == [(0, 200)]


def test_flush_closes_at_the_asked_time_when_that_is_sooner() -> None:
    tested = tracker()
    run(tested, [0.9, 0.9])
    assert [(s.start_ns, s.end_ns) for s in tested.flush(150 * MS)] == [(0, 150 * MS)]


def test_flush_before_any_frame_is_empty() -> None:
    assert tracker().flush(5) == []


def test_a_candidate_that_did_not_last_is_dropped_by_a_flush() -> None:
    tested = tracker(rule(min_on_ns=500 * MS))
    run(tested, [0.9, 0.9])
    assert tested.flush(10_000 * MS) == []


def test_open_spans_tell_peak_and_mean_so_far() -> None:
    tested = tracker()
    run(tested, [0.7, 0.9])
    span = tested.open_spans()[0]
    assert (span.start_ns, span.peak) == (0, 0.9)
    assert span.mean == pytest.approx(0.8)


def test_what_is_settled_waits_for_a_rise_and_for_a_fall() -> None:
    tested = tracker(rule(min_on_ns=200 * MS, min_off_ns=200 * MS))
    settled = []
    for i, score in enumerate([0.1, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1]):
        tested.push(i * PERIOD, [score])
        settled.append(tested.settled_through_ns)
    assert settled == [
        0, PERIOD - 1, PERIOD - 1, 3 * PERIOD, 4 * PERIOD - 1, 4 * PERIOD - 1, 6 * PERIOD,
    ]  # fmt: skip


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_a_score_outside_0_and_1_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match="not in"):
        tracker().push(0, [score])


def test_a_frame_that_is_not_later_is_refused() -> None:
    tested = tracker()
    tested.push(5, [0.0])
    with pytest.raises(ValueError, match="not after"):
        tested.push(5, [0.0])


def test_thresholds_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ValueError, match="threshold_off"):
        rule(threshold_off=0.7)


TIMES = st.sampled_from([0, 50 * MS, 100 * MS, 250 * MS])
RULES = st.builds(
    lambda on, off, s, a, b, c: rule(
        threshold_on=max(on, off),
        threshold_off=min(on, off),
        smoothing_ns=s,
        min_on_ns=a,
        min_off_ns=b,
        cooldown_ns=c,
    ),
    st.floats(0, 1),
    st.floats(0, 1),
    TIMES,
    TIMES,
    TIMES,
    TIMES,
)
FRAMES = st.lists(
    st.tuples(st.integers(1, 400).map(lambda ms: ms * MS), st.floats(0, 1), st.floats(0, 1)),
    max_size=60,
)


def play(rules: list[TagRule], frames: list[tuple[int, float, float]], ask: bool) -> list[Change]:
    tested = tracker(*rules)
    now, settled, changes = 0, -1, list[Change]()
    for step, first, second in frames:
        now += step
        fresh = tested.push(now, [first, second])
        for change in fresh:
            # What was called settled stays as it was said.
            assert change.start_ns > settled or isinstance(change, Span)
            assert not isinstance(change, Span) or change.end_ns > settled
        changes += fresh
        assert tested.settled_through_ns is not None
        assert tested.settled_through_ns >= settled
        settled = tested.settled_through_ns
        if ask:
            tested.open_spans()
    return changes + list(tested.flush(now + 10_000 * MS))


@given(st.lists(RULES, min_size=2, max_size=2), FRAMES)
def test_spans_are_ordered_disjoint_inside_and_repeatable(
    rules: list[TagRule], frames: list[tuple[int, float, float]]
) -> None:
    rules = [
        rules[0],
        TagRule(**{f: getattr(rules[1], f) for f in TagRule.__slots__} | {"label": "b"}),
    ]
    changes = play(rules, frames, ask=False)
    assert play(rules, frames, ask=True) == changes
    times = [sum(f[0] for f in frames[: i + 1]) for i in range(len(frames))]
    opened = {c.span_id: c for c in changes if isinstance(c, OpenSpan)}
    spans = [c for c in changes if isinstance(c, Span)]
    assert sorted(opened) == list(range(len(opened)))
    assert sorted(s.span_id for s in spans) == sorted(opened)
    for tag in rules:
        mine = [s for s in spans if s.label == tag.label]
        for before, after in pairwise(mine):
            assert before.end_ns + tag.cooldown_ns <= after.start_ns
        for span in mine:
            assert span.start_ns == opened[span.span_id].start_ns
            assert span.start_ns in times
            assert span.start_ns < span.end_ns <= times[-1] + PERIOD
            assert 0.0 <= span.mean <= span.peak <= 1.0
