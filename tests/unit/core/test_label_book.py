from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.label_book import (
    MODEL_CHANGED,
    NOT_SCORED,
    QUEUE_FULL,
    TAGGER_NOT_RUNNING,
    TOO_LATE,
    FramePacer,
    LabelBook,
    TagPiece,
)

LABELS = ("shot", "draw")


def book_with(due: int) -> LabelBook[str]:
    book: LabelBook[str] = LabelBook()
    book.model_ready("m1", LABELS)
    for pts in range(0, due * 10, 10):
        book.frame_due(pts)
    return book


def test_scores_come_back_for_the_frames_of_the_interval_alone() -> None:
    book = book_with(5)
    for pts in (10, 20, 30):
        assert book.scores(pts, (pts / 100, 0.0))
    view = book.view(10, 30, silent=False)
    assert view.scored_pts_ns == (10, 20)
    assert view.values == ((0.1, 0.0), (0.2, 0.0))
    assert (view.due, view.scored, view.share, view.model) == (2, 2, 1.0, "m1")


def test_every_frame_that_was_not_scored_has_its_cause() -> None:
    book = book_with(3)
    book.frame_due(30, QUEUE_FULL)
    book.scores(0, (0.1, 0.2))
    book.watermark(10)
    assert book.view(0, 40, silent=False).lost == {NOT_SCORED: 1, TOO_LATE: 1, QUEUE_FULL: 1}
    assert book.view(0, 40, silent=True).lost == {
        NOT_SCORED: 1,
        TAGGER_NOT_RUNNING: 1,
        QUEUE_FULL: 1,
    }


def test_a_fault_said_once_explains_all_frames_until_scores_come_again() -> None:
    book = book_with(4)
    book.model_failed("NPU gone")
    book.watermark(10)
    assert book.view(0, 40, silent=False).lost == {"model fault: NPU gone": 4}
    book.scores(20, (0.0, 0.0))
    assert book.fault is None
    assert book.view(0, 40, silent=False).lost == {"model fault: NPU gone": 2, TOO_LATE: 1}


def test_the_same_model_after_a_restart_keeps_its_earlier_scores() -> None:
    book = book_with(2)
    book.scores(0, (0.5, 0.5))
    book.model_ready("m1", LABELS)
    book.scores(10, (0.5, 0.5))
    assert book.view(0, 20, silent=False).scored == 2


def test_scores_of_the_model_before_are_not_mixed_with_those_of_the_new_one() -> None:
    book = book_with(2)
    book.scores(0, (0.5, 0.5))
    book.model_ready("m2", ("other",))
    assert not book.scores(10, (0.5, 0.5))
    assert book.scores(10, (0.5,))
    view = book.view(0, 20, silent=False)
    assert (view.model, view.labels, view.lost) == ("m2", ("other",), {MODEL_CHANGED: 1})


def test_a_tag_is_cut_to_the_interval_and_says_so() -> None:
    book = book_with(4)
    for pts in (0, 10, 20, 30):
        book.scores(pts, (0.5, 0.5))
    book.span_closed(7, "shot", 5, 35, 0.9, 0.8)
    assert book.view(10, 30, silent=False).tags == (
        TagPiece("shot", 10, 30, 0.9, 0.8, continued=True, continues=True),
    )
    assert book.view(0, 40, silent=False).tags == (
        TagPiece("shot", 5, 35, 0.9, 0.8, continued=False, continues=False),
    )


def test_an_open_tag_holds_only_as_far_as_the_tagger_looked() -> None:
    book = book_with(4)
    book.scores(10, (0.6, 0.1))
    book.scores(20, (0.8, 0.1))
    book.span_opened(1, "shot", 10)
    book.watermark(20)
    (piece,) = book.view(0, 40, silent=False).tags
    assert (piece.start_pts_ns, piece.end_pts_ns, piece.continues) == (10, 21, True)
    assert (piece.peak, piece.mean) == (0.8, 0.7)


def test_a_restarted_tagger_ends_the_tags_it_knew_nothing_of() -> None:
    book = book_with(4)
    book.scores(0, (0.6, 0.1))
    book.span_opened(1, "shot", 0)
    book.watermark(10)
    book.model_ready("m1", LABELS)
    book.span_opened(1, "draw", 20)
    book.scores(30, (0.0, 0.7))
    book.watermark(30)
    tags = book.view(0, 40, silent=False).tags
    assert [(tag.label, tag.end_pts_ns) for tag in tags] == [("shot", 10), ("draw", 31)]


def test_waiting_ends_when_every_due_frame_is_answered() -> None:
    book = book_with(2)
    assert not book.is_answered(20)
    book.scores(0, (0.1, 0.1))
    book.watermark(0)
    assert book.is_answered(10)
    book.watermark(10)
    assert book.is_answered(20)


def test_a_scored_frame_waits_for_the_tag_that_may_have_begun_on_it() -> None:
    book = book_with(3)
    for pts in (0, 10, 20):
        book.scores(pts, (0.9, 0.1))
    book.watermark(0)
    assert not book.is_answered(20)
    book.span_opened(1, "shot", 10)
    book.watermark(10)
    assert book.is_answered(20)
    assert [tag.label for tag in book.view(0, 20, silent=False).tags] == ["shot"]


def test_what_lies_before_is_forgotten() -> None:
    book = book_with(1_000)
    book.span_closed(1, "shot", 0, 50, 1.0, 1.0)
    book.forget_before(9_900)
    assert book.frames == 10
    assert book.view(0, 10_000, silent=False).tags == ()


@given(st.lists(st.sampled_from(["score", "fault", "mark", "lost", "ready"]), max_size=50))
def test_due_is_always_scored_plus_lost(steps: list[str]) -> None:
    book = book_with(1)
    pts = 0
    for step in steps:
        pts += 10
        book.frame_due(pts, QUEUE_FULL if step == "lost" else None)
        if step == "score":
            book.scores(pts, (0.1, 0.2))
        elif step == "fault":
            book.model_failed("broken")
        elif step == "mark":
            book.watermark(pts - 10)
        elif step == "ready":
            book.model_ready(f"m{pts}", LABELS)
    view = book.view(0, pts + 1, silent=False)
    assert view.due == view.scored + sum(view.lost.values())


def test_the_pacer_takes_frames_at_its_rate_and_every_one_of_a_slower_stream() -> None:
    pacer = FramePacer(15.0)
    taken = [n for n in range(300) if pacer.is_due(round(n * 1e9 / 30))]
    assert len(taken) == 150
    slow = FramePacer(15.0)
    assert all(slow.is_due(round(n * 1e9 / 10)) for n in range(100))
    assert all(FramePacer().is_due(n) for n in range(10))
