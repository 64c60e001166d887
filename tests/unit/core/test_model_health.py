"""When a running model is called broken: crash loops, slowness, scores that say nothing."""

from __future__ import annotations

from agent.core.model_health import ModelHealth, Starts

FRAME_NS = 66_666_667
MINUTE = 901


def minute(
    health: ModelHealth, *, took_ms: float = 5, constant: bool = False, swing: int = 40
) -> str:
    """A minute of frames; what is said of it."""
    said = []
    for n in range(MINUTE):
        scores = (0.5, 0.1) if constant else (n / MINUTE, 0.1)
        brightness = 100 + (n % 2) * swing
        said.append(health.scored(n * FRAME_NS, int(took_ms * 1e6), scores, brightness))
    assert not any(said[:-1])
    return said[-1]


def test_a_good_minute_proves_a_model() -> None:
    health = ModelHealth(10.0)
    assert minute(health) == ""
    assert health.is_proven


def test_a_minute_above_the_budget_is_told_with_both_figures() -> None:
    assert minute(ModelHealth(10.0), took_ms=12) == (
        "took 12.0 ms a frame for a minute, 10.0 is allowed"
    )


def test_a_few_slow_frames_are_no_broken_budget() -> None:
    health = ModelHealth(10.0)
    for n in range(MINUTE):
        took_ns = 50_000_000 if n % 3 == 0 else 5_000_000
        assert health.scored(n * FRAME_NS, took_ns, (n / MINUTE,), 100 + n % 50) == ""


def test_constant_scores_are_broken_only_while_the_picture_changes() -> None:
    assert "same scores for a minute" in minute(ModelHealth(10.0), constant=True)
    in_a_bag = ModelHealth(10.0)
    assert minute(in_a_bag, constant=True, swing=3) == ""


def test_a_minute_with_few_frames_is_not_judged() -> None:
    health = ModelHealth(10.0)
    for n in range(10):
        assert health.scored(n * 10**10, 10**9, (0.5,), n * 20) == ""


def test_the_fourth_start_in_one_boot_is_a_loop() -> None:
    starts = Starts()
    for _ in range(3):
        starts = starts.begun("m 2", "boot-a")
        assert not starts.is_loop
    assert starts.begun("m 2", "boot-a").is_loop


def test_power_cuts_are_no_loop_until_there_are_many_in_a_row() -> None:
    starts = Starts()
    for n in range(6):
        starts = starts.begun("m 2", f"boot-{n}")
        assert not starts.is_loop
    assert starts.begun("m 2", "boot-7").is_loop


def test_another_model_begins_at_one() -> None:
    starts = Starts(model="m 2", os_boot="boot-a", in_boot=3, in_all=3)
    assert starts.begun("m 3", "boot-a") == Starts(
        model="m 3", os_boot="boot-a", in_boot=1, in_all=1
    )
