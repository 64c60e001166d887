"""The rules about parts: no disk, no clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import WireError
from agent.wire.transfer import unpack_have
from collector.transfers import (
    ACK_PAUSE_S,
    ACK_TIMER_S,
    Transfer,
    agreed_part_bytes,
    window_bytes,
)

PART = 16 * 1024
SHA = "0" * 64
WINDOW = 8 * PART


def test_spans_cover_the_clip_without_overlap() -> None:
    transfer = Transfer(3 * PART + 5, PART)

    assert [transfer.span(n) for n in range(transfer.parts)] == [
        (0, PART), (PART, PART), (2 * PART, PART), (3 * PART, 5)
    ]  # fmt: skip


@pytest.mark.parametrize("part", [-1, 4, 10**9])
def test_part_that_the_clip_does_not_have_is_refused(part: int) -> None:
    with pytest.raises(WireError, match="of a clip of 4 parts"):
        Transfer(3 * PART + 5, PART).span(part)


def test_written_part_is_not_named_before_its_sync_came_back() -> None:
    transfer = Transfer(4 * PART, PART)
    transfer.wrote(0, 1.0)
    transfer.begin_sync()
    transfer.wrote(1, 1.0)
    assert transfer.need(SHA, WINDOW).contiguous == 0

    transfer.synced()

    assert transfer.need(SHA, WINDOW).contiguous == 1
    assert not transfer.is_complete


def test_ack_is_due_at_a_quarter_of_the_window() -> None:
    transfer = Transfer(100 * PART, PART)
    transfer.wrote(0, 1.0)
    assert not transfer.ack_due(1.0, WINDOW)
    transfer.wrote(1, 1.0)
    assert transfer.ack_due(1.0, WINDOW)


def test_ack_is_due_when_the_camera_pauses_and_when_the_timer_ran_out() -> None:
    transfer = Transfer(100 * PART, PART)
    transfer.wrote(0, 1.0)
    assert transfer.ack_due(1.0 + 2 * ACK_PAUSE_S, WINDOW)
    # a camera that never pauses is answered by the timer
    transfer.came_again(1.0 + 2 * ACK_TIMER_S)
    assert transfer.ack_due(1.0 + 2 * ACK_TIMER_S, 100 * WINDOW)


def test_ack_is_due_at_once_when_nothing_more_is_awaited() -> None:
    transfer = Transfer(2 * PART, PART, durable={0})
    transfer.wrote(1, 1.0)
    assert transfer.ack_due(1.0, 1000 * WINDOW)


def test_no_ack_is_due_without_news_or_during_a_sync() -> None:
    transfer = Transfer(4 * PART, PART)
    assert not transfer.ack_due(1e9, WINDOW)
    transfer.wrote(0, 1.0)
    transfer.begin_sync()
    transfer.wrote(1, 2.0)
    assert not transfer.ack_due(1e9, WINDOW)
    transfer.synced()
    assert transfer.ack_due(1e9, WINDOW)


def test_part_that_came_again_is_acknowledged_again() -> None:
    transfer = Transfer(4 * PART, PART, durable={0})
    transfer.came_again(1.0)
    assert transfer.ack_due(1.0 + 2 * ACK_PAUSE_S, WINDOW)


def test_failed_sync_forgets_what_was_not_durable() -> None:
    transfer = Transfer(4 * PART, PART, durable={0})
    transfer.wrote(1, 1.0)
    transfer.begin_sync()
    transfer.wrote(2, 1.0)
    transfer.sync_failed()
    transfer.synced()

    assert transfer.need(SHA, WINDOW).contiguous == 1
    assert transfer.written_bytes == PART
    assert not transfer.is_written(1)
    assert not transfer.is_written(2)


def test_forgetting_a_file_forgets_every_part_that_it_touches() -> None:
    transfer = Transfer(6 * PART, PART, durable=range(6))
    assert transfer.is_complete

    assert transfer.forget(PART + 1, PART) == {1, 2}
    assert transfer.durable == {0, 3, 4, 5}

    need = transfer.need(SHA, WINDOW)
    assert unpack_have(need, 6) == {0, 3, 4, 5}
    assert not transfer.has_all


def test_file_forgotten_during_a_sync_stays_forgotten() -> None:
    transfer = Transfer(2 * PART, PART)
    transfer.wrote(0, 1.0)
    transfer.begin_sync()
    transfer.forget(0, PART)
    transfer.synced()
    assert transfer.durable == set()


def test_bits_beyond_the_clip_are_not_believed() -> None:
    assert Transfer(2 * PART, PART, durable={0, 7, -1}).durable == {0}


@given(
    total=st.integers(1, 40 * PART),
    events=st.lists(
        st.one_of(
            st.tuples(st.just("part"), st.integers(0, 45)),
            st.tuples(st.sampled_from(["begin", "synced", "failed", "forget"]), st.just(0)),
        ),
        max_size=120,
    ),
)
def test_need_never_names_a_part_that_was_not_synced(
    total: int, events: list[tuple[str, int]]
) -> None:
    transfer = Transfer(total, PART)
    written: set[int] = set()
    syncing: set[int] | None = None
    durable: set[int] = set()
    for kind, part in events:
        if kind == "part" and part < transfer.parts and not transfer.is_written(part):
            transfer.wrote(part, 1.0)
            written.add(part)
        elif kind == "begin" and syncing is None:
            syncing = set(transfer.begin_sync())
            assert syncing <= written
        elif kind == "synced" and syncing is not None:
            transfer.synced()
            durable |= syncing
            syncing = None
        elif kind == "failed":
            transfer.sync_failed()
            syncing = None if syncing is None else set()
        elif kind == "forget":
            transfer.forget(0, 1)
            durable.discard(0)
            syncing = None if syncing is None else syncing - {0}
        need = transfer.need(SHA, WINDOW)
        assert unpack_have(need, transfer.parts) == durable
        assert transfer.is_complete == (len(durable) == transfer.parts)
        assert 0 <= transfer.written_bytes <= total


@given(
    per_camera=st.integers(PART, 1 << 26),
    budget=st.integers(1 << 20, 1 << 30),
    cameras=st.integers(1, 10_000),
    part=st.integers(PART, 1 << 20),
)
def test_windows_of_all_cameras_fit_the_budget(
    per_camera: int, budget: int, cameras: int, part: int
) -> None:
    window = window_bytes(per_camera, budget, cameras, part)

    if window is None:
        assert cameras * part > budget
    else:
        assert window >= part
        assert window * cameras <= budget


@pytest.mark.parametrize(("asked", "agreed"), [(10, 20), (25, 25), (99, 40)])
def test_part_size_is_what_was_asked_within_the_limits(asked: int, agreed: int) -> None:
    assert agreed_part_bytes(asked, 20, 40) == agreed
