"""What is lit when: states by their order, notes beside them, confirmations over both."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.indication import Facts, Indication, base_of, fold, note_of
from agent.core.indication_table import (
    AMBER,
    CONFIRMATIONS,
    GREEN,
    MOTOR,
    NOTES,
    NOTHING,
    RED,
    STATES,
    Confirmation,
    Lit,
    markdown,
)

MS = 1_000_000
S = 1_000_000_000
NOW = 5_000 * S
README = Path(__file__).resolve().parents[3] / "README.md"

RECORDING = Facts(session="recording")


def film(shown: Indication, seconds: float, since_ns: int = NOW) -> list[tuple[int, Lit]]:
    """(ms since `since_ns`, what is lit) at each change, as a loop that looks in time sees it."""
    seen: list[tuple[int, Lit]] = []
    now_ns, end_ns = since_ns, since_ns + round(seconds * S)
    while now_ns < end_ns:
        lit, until_ns = shown.look(now_ns)
        if not seen or seen[-1][1] != lit:
            seen.append(((now_ns - since_ns) // MS, lit))
        assert until_ns > now_ns
        now_ns = until_ns
    return seen


def buzzes(seen: list[tuple[int, Lit]]) -> list[int]:
    """The ms at which the motor begins."""
    befores = [NOTHING, *(lit for _at, lit in seen)]
    return [
        at
        for (at, lit), before in zip(seen, befores, strict=False)
        if "motor" in lit and "motor" not in before
    ]


def test_readme_shows_the_table_that_the_code_plays() -> None:
    assert markdown() in README.read_text(encoding="utf-8")


def test_rhythms_alone_tell_the_states_apart() -> None:
    rhythms = [tuple(ms for _lit, ms in state.round()) for state in STATES.values()]
    assert len(set(rhythms)) == len(rhythms)
    flashes = [note.light.times for note in NOTES.values()]
    assert len(set(flashes)) == len(flashes)


def test_each_confirmation_feels_different() -> None:
    assert len({(beat.times, beat.on_ms >= 500) for beat in CONFIRMATIONS.values()}) == len(
        CONFIRMATIONS
    )


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        (Facts(), "standby"),
        (Facts(pre_roll_full=False), "filling"),
        (Facts(uploading=True), "uploading"),
        (RECORDING, "recording"),
        (Facts(session="recording", fit=False, uploading=True, pre_roll_full=False), "recording"),
        (Facts(session="post_roll"), "post_roll"),
        (Facts(session="closing", pre_roll_full=False), "filling"),
        (Facts(fit=False, uploading=True), "not_ready"),
        (Facts(session="recording", losing=True), "alarm"),
        (Facts(losing=True), "standby"),
        (Facts(ended_by_itself=True, fit=False), "alarm"),
        (Facts(session="recording", ended_by_itself=True), "recording"),
    ],
)
def test_the_state_that_matters_most_is_shown(facts: Facts, shown: str) -> None:
    assert base_of(facts) == shown


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        (Facts(), None),
        (Facts(part_at_fault=True), "part_at_fault"),
        (Facts(clock_trusted=False), "clock_not_trusted"),
        (Facts(part_at_fault=True, clock_trusted=False), "part_at_fault"),
        (Facts(part_at_fault=True, card_nearly_full=True), "card_nearly_full"),
        (Facts(lens_covered=True), None),
        (Facts(session="recording", lens_covered=True, low_battery=True), "lens_covered"),
        (Facts(card_nearly_full=True, low_battery=True), "low_battery"),
    ],
)
def test_the_note_that_matters_most_is_beside_it(facts: Facts, shown: str | None) -> None:
    assert note_of(facts) == shown


def test_standby_with_its_pre_roll_is_a_short_green_flash() -> None:
    shown = Indication(NOW)
    shown.show(Facts(), NOW)
    assert film(shown, 4) == [(0, GREEN), (100, NOTHING), (2000, GREEN), (2100, NOTHING)]


def test_recording_reminds_every_two_minutes_and_not_at_once() -> None:
    shown = Indication(NOW)
    shown.show(RECORDING, NOW)
    shown.confirm("start", NOW)
    felt = buzzes(film(shown, 245))
    assert felt == [0, 120_000, 120_250, 240_000, 240_250]


def test_the_alarm_comes_again_until_it_is_over() -> None:
    shown = Indication(NOW)
    shown.show(Facts(ended_by_itself=True, low_battery=True), NOW)
    seen = film(shown, 14)
    assert buzzes(seen) == [0, 1100, 2200, 10_000, 11_100, 12_200]
    assert {lit - MOTOR for _at, lit in seen} == {RED, NOTHING}
    shown.show(Facts(), NOW + 14 * S)
    assert buzzes(film(shown, 30, NOW + 14 * S)) == []


def test_a_note_flashes_between_the_rounds_of_the_state() -> None:
    shown = Indication(NOW)
    shown.show(Facts(session="recording", clock_trusted=False), NOW)
    seen = film(shown, 4.4)
    assert seen[:2] == [(0, RED), (1800, NOTHING)]
    amber = [at for at, lit in seen if lit == AMBER]
    assert amber == [2400, 2800, 3200, 3600]


def test_a_note_that_comes_does_not_bring_the_reminder_forward() -> None:
    shown = Indication(NOW)
    shown.show(RECORDING, NOW)
    film(shown, 60)
    shown.show(Facts(session="recording", low_battery=True), NOW + 60 * S)
    felt = buzzes(film(shown, 70, NOW + 60 * S))
    assert felt == [0, 800, 60_000, 60_250]


def test_a_confirmation_is_felt_and_seen_and_then_the_state_comes_back() -> None:
    shown = Indication(NOW)
    shown.show(Facts(), NOW)
    film(shown, 1)
    shown.confirm("refused", NOW + S)
    seen = film(shown, 4, NOW + S)
    assert len(buzzes(seen)) == CONFIRMATIONS["refused"].times
    assert all(lit in (AMBER | MOTOR, NOTHING) for at, lit in seen if at < 1000)
    assert seen[-2:] == [(3000, GREEN), (3100, NOTHING)]


def test_a_newer_confirmation_takes_the_place_of_one_that_plays() -> None:
    shown = Indication(NOW)
    shown.show(RECORDING, NOW)
    shown.confirm("stop", NOW)
    shown.confirm("mark", NOW + 100 * MS)
    lit, until_ns = shown.look(NOW + 100 * MS)
    assert "motor" in lit
    assert until_ns == NOW + 350 * MS


def test_one_lamp_shines_for_every_colour() -> None:
    assert fold(RED | MOTOR, GREEN) == GREEN
    assert fold(AMBER | MOTOR, GREEN | MOTOR) == GREEN | MOTOR
    assert fold(RED, AMBER) == RED
    assert fold(NOTHING, GREEN) == NOTHING
    assert fold(RED | MOTOR, MOTOR) == MOTOR


HAPPENS = (
    Facts(),
    RECORDING,
    Facts(ended_by_itself=True, low_battery=True),
    Facts(low_battery=True, uploading=True),
    "mark",
    "refused",
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5_000), st.sampled_from(HAPPENS)), max_size=20))
def test_whatever_happens_it_looks_ahead_and_never_stays_stuck(
    happens: list[tuple[int, Facts | Confirmation]],
) -> None:
    shown, now_ns = Indication(NOW), NOW
    for wait_ms, what in happens:
        if isinstance(what, Facts):
            shown.show(what, now_ns)
        else:
            shown.confirm(what, now_ns)
        film(shown, wait_ms / 1000, now_ns)
        now_ns += wait_ms * MS
    shown.show(Facts(), now_ns)
    later_ns = now_ns + 10 * S
    assert {lit for _at, lit in film(shown, 4, later_ns)} == {GREEN, NOTHING}
