from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.upload_order import (
    WORDS_AHEAD_CLIPS,
    Job,
    Priority,
    UploadQueue,
    Waiting,
    rank,
    words_run_ahead,
)

PRIORITIES: tuple[Priority, ...] = ("record", "marked", "rare", "tagged", "plain")


def clip(clip_id: str, priority: Priority, words_bytes: int = 0) -> Waiting:
    return Waiting(clip_id=clip_id, priority=priority, total_bytes=1000, words_bytes=words_bytes)


WAITING = [
    clip("a-1", "plain", 10),
    clip("a-2", "tagged", 10),
    clip("a-3", "marked", 10),
    clip("a-4", "record"),
    clip("a-5", "plain", 10),
    clip("a-6", "rare", 10),
    clip("a-7", "plain"),  # recovered without a sheet: no words
]


def queue(waiting: list[Waiting]) -> UploadQueue:
    made = UploadQueue()
    for each in waiting:
        made.add(each)
    return made


def order(waiting: list[Waiting], requested: set[str], *, words_first: bool) -> list[str]:
    """Every job until nothing waits, each done before the next is chosen."""
    waits, done = queue(waiting), []
    while (job := waits.next(requested=requested, taken=(), words_first=words_first)) is not None:
        done.append(f"{job.clip.clip_id}{' words' if job.only_words else ''}")
        if job.only_words:
            waits.words_arrived(job.clip.clip_id)
        else:
            waits.remove(job.clip.clip_id)
    assert len(waits) == waits.total_bytes == 0
    return done


def test_records_then_marked_rare_tagged_and_plain_oldest_first() -> None:
    assert order(WAITING, set(), words_first=False) == [
        "a-4", "a-3", "a-6", "a-2", "a-1", "a-5", "a-7",
    ]  # fmt: skip


def test_words_of_all_clips_run_ahead_of_every_body() -> None:
    assert order(WAITING, set(), words_first=True) == [
        "a-4", "a-3 words", "a-6 words", "a-2 words", "a-1 words", "a-5 words",
        "a-3", "a-6", "a-2", "a-1", "a-5", "a-7",
    ]  # fmt: skip


def test_requested_clip_goes_first_of_all_with_its_body() -> None:
    assert order(WAITING, {"a-5"}, words_first=True)[:3] == ["a-5", "a-4", "a-3 words"]
    assert order(WAITING, {"a-5"}, words_first=False)[:2] == ["a-5", "a-4"]


def test_clip_that_is_taken_is_passed_over() -> None:
    found = queue(WAITING).next(requested=(), taken={"a-4", "a-3"}, words_first=True)
    assert found == Job(WAITING[5], only_words=True)


def test_nothing_waiting_is_nothing() -> None:
    assert UploadQueue().next(requested={"a-1"}, taken=(), words_first=True) is None


def test_words_do_not_run_further_ahead_than_the_collector_keeps() -> None:
    many = [clip(f"a-{number:04d}", "plain", 10) for number in range(WORDS_AHEAD_CLIPS + 10)]
    done = order(many, set(), words_first=True)
    assert [name.endswith("words") for name in done[:WORDS_AHEAD_CLIPS]] == [True] * 512
    assert done[WORDS_AHEAD_CLIPS : WORDS_AHEAD_CLIPS + 2] == ["a-0000", "a-0512 words"]


def test_words_run_ahead_only_where_the_link_needs_more_than_a_minute() -> None:
    assert words_run_ahead(900_000_000, 62_500)
    assert not words_run_ahead(900_000_000, 0)  # not measured yet
    assert not words_run_ahead(3_000_000, 62_500)
    assert not words_run_ahead(900_000_000, 50_000_000)


@given(
    waiting=st.lists(
        st.tuples(st.integers(0, 99), st.sampled_from(PRIORITIES), st.sampled_from([0, 10])),
        unique_by=lambda one: one[0],
    ),
    requested=st.sets(st.integers(0, 99), max_size=3),
    taken=st.sets(st.integers(0, 99), max_size=6),
    with_words=st.sets(st.integers(0, 99)),
    words_first=st.booleans(),
)
def test_queue_gives_what_the_rank_puts_first(
    waiting: list[tuple[int, Priority, int]],
    requested: set[int],
    taken: set[int],
    with_words: set[int],
    words_first: bool,
) -> None:
    clips = [clip(f"a-{number:02d}", name, words) for number, name, words in waiting]
    asked = {f"a-{number:02d}" for number in requested}
    busy = {f"a-{number:02d}" for number in taken}
    waits = queue(clips)
    for number in with_words:
        waits.words_arrived(f"a-{number:02d}")
    jobs = [Job(each) for each in clips if each.clip_id not in busy]
    if words_first:
        jobs += [
            Job(each, only_words=True)
            for each in clips
            if each.words_bytes
            and each.priority != "record"
            and each.clip_id not in busy
            and each.clip_id not in asked
            and int(each.clip_id[2:]) not in with_words
        ]
    best = min(jobs, key=lambda job: (rank(job, asked), job.clip.clip_id), default=None)
    assert waits.next(requested=asked, taken=busy, words_first=words_first) == best
