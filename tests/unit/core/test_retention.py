from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.retention import (
    Bounds,
    SentClip,
    UnsentClip,
    clips_to_delete,
    clips_to_thin,
    is_full,
    room_bytes,
    thinning_order,
    wanted_bytes,
)

HOUR = 3600 * 10**9
NOW = 1_000 * HOUR
BOUNDS = Bounds(min_free_bytes=100, budget_bytes=0, slack_bytes=50)


def going(sent: list[SentClip], wanted: int = 0, max_age_ns: int = 0) -> list[str]:
    return clips_to_delete(
        sent, now_wall_ns=NOW, keep_ns=24 * HOUR, wanted_bytes=wanted, max_age_ns=max_age_ns
    )


def unsent(
    number: int, priority: str = "plain", size: int = 10, *, recovered: bool = False
) -> UnsentClip:
    return UnsentClip(f"s-{number:04d}", number, priority, size, recovered)  # type: ignore[arg-type]


def test_a_clip_goes_when_it_was_kept_long_enough() -> None:
    sent = [SentClip("old", NOW - 25 * HOUR, 10), SentClip("new", NOW - 23 * HOUR, 10)]
    assert going(sent) == ["old"]


def test_a_clip_goes_when_it_is_too_old_however_fresh_its_receipt() -> None:
    sent = [
        SentClip("aged", NOW - HOUR, 10, closed_wall_ns=NOW - 49 * HOUR),
        SentClip("young", NOW - HOUR, 10, closed_wall_ns=NOW - 47 * HOUR),
    ]
    assert going(sent, max_age_ns=48 * HOUR) == ["aged"]
    assert going(sent) == []


def test_want_of_space_takes_the_oldest_first_and_no_more_than_needed() -> None:
    sent = [SentClip(f"c{age}", NOW - age * HOUR, 30) for age in range(5)]
    assert going(sent, wanted=50) == ["c4", "c3"]


def test_a_clip_from_the_future_counts_as_new() -> None:
    assert going([SentClip("ahead", NOW + 100 * HOUR, 10)]) == []


@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 100)), max_size=20),
    st.integers(0, 500),
)
def test_space_is_made_or_nothing_is_left(ages: list[tuple[int, int]], wanted: int) -> None:
    sent = [
        SentClip(f"{number:03d}", NOW - age * HOUR, size) for number, (age, size) in enumerate(ages)
    ]
    gone = set(going(sent, wanted))
    freed = sum(clip.size_bytes for clip in sent if clip.clip_id in gone)
    assert freed >= wanted or len(gone) == len(sent)
    kept = [clip.sent_wall_ns for clip in sent if clip.clip_id not in gone]
    assert all(
        clip.sent_wall_ns <= min(kept, default=NOW * 2) for clip in sent if clip.clip_id in gone
    )


def test_room_is_what_the_tighter_bound_leaves() -> None:
    both = Bounds(min_free_bytes=100, budget_bytes=500, slack_bytes=50)
    assert room_bytes(both, free_bytes=1_000, spool_bytes=480) == 20
    assert room_bytes(both, free_bytes=110, spool_bytes=0) == 10
    assert room_bytes(BOUNDS, free_bytes=110, spool_bytes=10**9) == 10


@given(st.lists(st.integers(-200, 200), max_size=30))
def test_a_full_card_stays_full_until_it_has_slack(rooms: list[int]) -> None:
    full = False
    for room in rooms:
        before, full = full, is_full(BOUNDS, room, was_full=full)
        if room < 0:
            assert full
        elif room >= BOUNDS.slack_bytes:
            assert not full
        else:
            assert full is before
        wanted = wanted_bytes(BOUNDS, room, was_full=before)
        assert (wanted > 0) is full
        assert not full or room + wanted == BOUNDS.slack_bytes


def test_every_second_plain_clip_goes_first_then_the_rest_then_tagged_ones() -> None:
    clips = [unsent(number) for number in range(5)]
    clips += [unsent(number, "tagged") for number in (5, 6)]
    clips += [unsent(7, "marked"), unsent(9, recovered=True)]
    clips += [UnsentClip("s-record", None, "record", 1)]
    order = [clip.number for clip in thinning_order(clips)]
    assert order == [1, 3, 0, 2, 4, 5, 6]


def test_nothing_is_thinned_in_vain() -> None:
    clips = [unsent(1), unsent(2, "marked", 1000)]
    assert clips_to_thin(clips, room=-100, wanted_bytes=150) == []
    assert clips_to_thin(clips, room=-10, wanted_bytes=60) == ["s-0001"]


PRIORITIES = st.sampled_from(["record", "marked", "rare", "tagged", "plain"])


@given(
    st.lists(st.tuples(PRIORITIES, st.integers(1, 100), st.booleans()), max_size=20),
    st.integers(-500, 500),
    st.integers(0, 800),
)
def test_thinning_never_takes_what_is_marked_and_no_more_than_it_needs(
    made: list[tuple[str, int, bool]], room: int, wanted: int
) -> None:
    clips = [
        unsent(number, priority, size, recovered=recovered)
        for number, (priority, size, recovered) in enumerate(made)
    ]
    by_id = {clip.clip_id: clip for clip in clips}
    gone = [by_id[clip_id] for clip_id in clips_to_thin(clips, room=room, wanted_bytes=wanted)]
    assert len({clip.clip_id for clip in gone}) == len(gone)
    for clip in gone:
        assert clip.priority in ("plain", "tagged", "rare")
        assert not clip.recovered
    assert sum(clip.size_bytes for clip in gone[:-1]) < max(1, wanted)
    if gone:
        assert room + sum(clip.size_bytes for clip in thinning_order(clips)) >= 0
    left = [clip for clip in thinning_order(clips) if clip not in gone]
    worth = ["plain", "tagged", "rare"]
    assert max((worth.index(clip.priority) for clip in gone), default=0) <= min(
        (worth.index(clip.priority) for clip in left), default=2
    )


@given(st.lists(st.integers(0, 400), unique=True, max_size=30), st.integers(0, 30))
def test_asking_again_after_some_went_goes_on_in_the_same_order(
    numbers: list[int], first: int
) -> None:
    clips = [unsent(number) for number in numbers]
    order = thinning_order(clips)
    gone = order[:first]
    assert thinning_order([clip for clip in clips if clip not in gone]) == order[first:]
