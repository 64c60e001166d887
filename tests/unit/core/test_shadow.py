"""A new model beside the active one: what is compared, how long, and what comes of it."""

from __future__ import annotations

from agent.core.shadow import Shadow, Tally

FRAME_NS = 66_666_667
LABELS = {"hands": 0.5, "barrel": 0.7}


def session(shadow: Shadow, minutes: float, *, begin_ns: int = 0, hands: float = 0.9) -> int:
    """A session whose new model says `hands`, the active 0.9; how many frames were due."""
    due = 0
    for n in range(int(minutes * 900)):
        if shadow.is_due(begin_ns + n * FRAME_NS):
            due += 1
            shadow.compare((0.9, 0.1), (hands, 0.2))
    return due


def test_a_quarter_of_the_frames_is_compared_in_stretches() -> None:
    shadow = Shadow(10, LABELS, LABELS)
    due = [n for n in range(900) if shadow.is_due(n * FRAME_NS)]
    assert 220 < len(due) < 250
    assert due[:30] == list(range(30))


def test_time_counts_in_sessions_alone_and_gaps_do_not() -> None:
    shadow = Shadow(2, LABELS, LABELS)
    session(shadow, 1.5)
    assert not shadow.is_done
    session(shadow, 0.6, begin_ns=10**13)
    assert shadow.is_done
    assert shadow.line.startswith("shadow 2 of 2 min")


def test_agreement_is_told_for_the_worst_label() -> None:
    shadow = Shadow(1, LABELS, LABELS)
    session(shadow, 0.5)
    assert shadow.worst == ("barrel", 1.0)
    session(shadow, 0.5, begin_ns=10**13, hands=0.1)
    label, share = shadow.worst
    assert label == "hands"
    assert 0.4 < share < 0.6
    assert "(hands)" in shadow.line


def test_labels_that_only_one_has_are_not_compared() -> None:
    shadow = Shadow(1, {"hands": 0.5, "old": 0.5}, {"new": 0.5, "hands": 0.5})
    shadow.is_due(0)
    shadow.compare((0.9, 0.0), (0.0, 0.9))
    assert shadow.tally.agreed == {"hands": 1}


def test_each_decides_by_its_own_threshold() -> None:
    shadow = Shadow(1, {"hands": 0.3}, {"hands": 0.8})
    shadow.compare((0.4,), (0.5,))
    assert shadow.tally.agreed == {"hands": 0}


def test_a_count_goes_on_after_a_restart() -> None:
    first = Shadow(2, LABELS, LABELS)
    session(first, 1.5)
    again = Shadow(2, LABELS, LABELS, first.tally)
    session(again, 0.6, begin_ns=10**13)
    assert again.is_done
    assert Shadow(2, LABELS, LABELS, Tally()).worst == ("", 0.0)
