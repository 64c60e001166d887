"""The plan of the kill matrix, and what it says of a round that went wrong."""

from __future__ import annotations

from collections import Counter

from tests.kill_matrix.__main__ import table
from tests.kill_matrix.faults import FAULTS, VICTIMS
from tests.kill_matrix.matrix import LATEST_FAULT_S, Round, plan


def test_same_seed_plays_the_same_rounds() -> None:
    assert plan(40, 7) == plan(40, 7)
    assert plan(40, 7) != plan(40, 8)


def test_every_pair_comes_as_often_as_the_others() -> None:
    pairs = len(VICTIMS) * len(FAULTS)
    drawn = Counter((victim, fault) for victim, fault, _ in plan(3 * pairs, 1))
    assert set(drawn.values()) == {3}
    assert len(drawn) == pairs
    assert all(0 <= moment_s <= LATEST_FAULT_S for _, _, moment_s in plan(3 * pairs, 1))


def test_table_gives_median_and_worst_of_each_pair() -> None:
    done = [
        Round(victim="broker", fault="kill", moment_s=1.0, recovery_s=seconds)
        for seconds in (1.0, 5.0, 2.0)
    ]
    row = next(line for line in table(done).splitlines() if line.startswith("broker"))
    assert "2.0 / 5.0 (3)" in row
    assert row.split()[-1] == "-"
