"""When an order counts: its number, its expiry, and what the camera may believe of the time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.order_rules import LONGEST_LIFE_NS, Moment, Validity, why_refused

DAY_NS = 86_400_000_000_000
NOW = 20_000 * DAY_NS
TRUSTED, UNTRUSTED = Moment(NOW, True), Moment(NOW, False)


def order(seq: int = 5, issued: int = NOW - DAY_NS, expires: int = NOW + DAY_NS) -> Validity:
    return Validity(seq=seq, issued_wall_ns=issued, expires_wall_ns=expires)


def test_newer_order_within_its_time_is_obeyed() -> None:
    assert why_refused(order(), last_seq=4, floor_wall_ns=0, now=TRUSTED) == ""


@pytest.mark.parametrize("last_seq", [5, 6])
def test_number_that_was_used_up_is_a_replay(last_seq: int) -> None:
    why = why_refused(order(), last_seq=last_seq, floor_wall_ns=0, now=TRUSTED)
    assert why == f"it is number 5, and {last_seq} was obeyed already (replayed)"


def test_expired_order_is_refused_by_a_trusted_clock() -> None:
    late = order(expires=NOW)
    assert "it expired at 2024-10-04" in why_refused(late, last_seq=0, floor_wall_ns=0, now=TRUSTED)


def test_clock_that_is_not_trusted_is_not_asked() -> None:
    late = order(expires=NOW - 1)
    assert why_refused(late, last_seq=0, floor_wall_ns=0, now=UNTRUSTED) == ""


def test_what_the_server_signed_shows_an_expiry_without_any_clock() -> None:
    late = order(expires=NOW - 1)
    for moment in (UNTRUSTED, Moment(0, True), Moment(0, False)):
        assert "expired" in why_refused(late, last_seq=0, floor_wall_ns=NOW, now=moment)


def test_order_from_the_far_future_is_refused_by_a_trusted_clock_only() -> None:
    early = order(issued=NOW + 2 * DAY_NS, expires=NOW + 3 * DAY_NS)
    assert "in the future" in why_refused(early, last_seq=0, floor_wall_ns=0, now=TRUSTED)
    assert why_refused(early, last_seq=0, floor_wall_ns=0, now=UNTRUSTED) == ""


@pytest.mark.parametrize("life_ns", [0, -1, LONGEST_LIFE_NS + 1])
def test_expiry_that_makes_no_sense_is_refused(life_ns: int) -> None:
    odd = order(issued=NOW, expires=NOW + life_ns)
    assert "makes no sense" in why_refused(odd, last_seq=0, floor_wall_ns=0, now=TRUSTED)


@given(
    seqs=st.lists(st.integers(1, 50), max_size=40),
    moments=st.lists(st.tuples(st.integers(0, 2 * NOW), st.booleans()), min_size=40, max_size=40),
)
def test_no_number_is_ever_obeyed_twice_or_after_a_higher_one(
    seqs: list[int], moments: list[tuple[int, bool]]
) -> None:
    last, obeyed = 0, []
    for seq, (wall, trusted) in zip(seqs, moments, strict=False):
        if not why_refused(order(seq), last_seq=last, floor_wall_ns=0, now=Moment(wall, trusted)):
            last = seq
            obeyed.append(seq)
    assert obeyed == sorted(set(obeyed))
