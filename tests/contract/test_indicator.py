"""What every Indicator promises, over every driver, fake and real (over a made-up sysfs)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.indication_table import AMBER, GREEN, MOTOR, NOTHING, RED, Lit
from agent.errors import IndicatorError
from tests.contract.indicator_benches import BENCHES, Bench


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with BENCHES[request.param](tmp_path) as made:
        yield made
        made.indicator.close()


def test_open_says_what_there_is_and_leaves_all_of_it_off(bench: Bench) -> None:
    assert bench.indicator.open() == AMBER | MOTOR
    assert bench.lit() == NOTHING


@pytest.mark.parametrize("lit", [RED, GREEN, MOTOR, AMBER, AMBER | MOTOR, NOTHING])
def test_what_is_shown_is_lit_and_nothing_else(bench: Bench, lit: Lit) -> None:
    bench.indicator.open()
    bench.indicator.show(RED | MOTOR)
    bench.indicator.show(lit)
    assert bench.lit() == lit


def test_close_turns_everything_off_and_may_come_twice(bench: Bench) -> None:
    bench.indicator.open()
    bench.indicator.show(AMBER | MOTOR)
    bench.indicator.close()
    assert bench.lit() == NOTHING
    bench.indicator.close()
    with pytest.raises(IndicatorError, match="not open"):
        bench.indicator.show(RED)


def test_an_indicator_can_be_opened_again_and_begins_dark(bench: Bench) -> None:
    bench.indicator.open()
    bench.indicator.show(RED)
    bench.indicator.open()
    assert bench.lit() == NOTHING
    bench.indicator.show(RED)
    assert bench.lit() == RED


@pytest.mark.parametrize("name", BENCHES)
def test_outputs_that_are_not_there_are_left_out(name: str, tmp_path: Path) -> None:
    with BENCHES[name](tmp_path) as bench:
        one = bench.only_green()
        assert one.open() == GREEN
        one.show(AMBER | MOTOR)
        assert bench.lit() == GREEN
        one.close()


def test_an_output_that_refuses_is_an_error_and_comes_back(bench: Bench) -> None:
    bench.indicator.open()
    bench.lose()
    with pytest.raises(IndicatorError) as caught:
        bench.indicator.show(RED)
    assert "\n" not in str(caught.value)
    with pytest.raises(IndicatorError, match="not open"):
        bench.indicator.show(RED)
    bench.restore()
    bench.indicator.open()
    bench.indicator.show(GREEN)
    assert bench.lit() == GREEN


@pytest.mark.parametrize("name", BENCHES)
def test_an_indicator_that_is_not_there_is_one_line(name: str, tmp_path: Path) -> None:
    with BENCHES[name](tmp_path) as bench:
        missing = bench.absent()
        with pytest.raises(IndicatorError) as caught:
            missing.open()
        assert "\n" not in str(caught.value)
        missing.close()
