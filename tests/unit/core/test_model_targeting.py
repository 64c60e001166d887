"""Which model a camera is to run: cohorts, groups, hardware, halts, withdrawals, ages."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.model_targeting import (
    STAY,
    WHOLE_FLEET,
    Camera,
    Choice,
    Rollout,
    choose,
    fleet_place,
    reaches,
)

CAMERA = Camera("cam01", ("lab",), "onnxruntime", active=("m", 1))


def rollout(push: int, version: int, **changes: object) -> Rollout:
    return replace(Rollout(push, "m", version, ("onnxruntime",)), **changes)  # type: ignore[arg-type]


@given(st.text(max_size=40), st.integers(0, WHOLE_FLEET), st.integers(0, WHOLE_FLEET))
def test_a_cohort_that_grows_keeps_the_cameras_it_had(device: str, one: int, other: int) -> None:
    small, large = sorted((one, other))
    if reaches(rollout(1, 2, basis_points=small), device, ()):
        assert reaches(rollout(1, 2, basis_points=large), device, ())


def test_ten_percent_of_five_thousand_cameras_are_about_five_hundred() -> None:
    part = [n for n in range(5000) if reaches(rollout(1, 2, basis_points=1000), f"cam{n}", ())]
    assert 430 < len(part) < 570


def test_a_camera_stands_at_the_same_place_for_ever() -> None:
    assert fleet_place("cam01") == 6874


def test_the_newest_push_that_reaches_the_camera_wins() -> None:
    assert choose([rollout(1, 2), rollout(2, 3)], CAMERA) == Choice(wanted=("m", 3), push=2)


def test_what_runs_already_is_left_alone() -> None:
    assert choose([rollout(1, 1)], CAMERA) is STAY


@pytest.mark.parametrize(
    ("changes", "is_for_it"),
    [
        ({"devices": ("cam01",)}, True),
        ({"devices": ("cam02",)}, False),
        ({"groups": ("lab",)}, True),
        ({"groups": ("field",)}, False),
        ({"devices": ("cam02",), "groups": ("lab",)}, True),
        ({"basis_points": 0}, False),
        ({"devices": ("cam01",), "basis_points": 0}, False),
    ],
)
def test_devices_groups_and_percent_say_whom_a_push_is_for(
    changes: dict[str, object], is_for_it: bool
) -> None:
    found = choose([rollout(1, 2, **changes)], CAMERA)
    assert (found.wanted == ("m", 2)) is is_for_it
    assert not found.refused


def test_a_bundle_for_other_hardware_is_refused_with_both_names() -> None:
    found = choose([rollout(4, 2, hardware=("hailo", "edgetpu"))], CAMERA)
    assert found == Choice(push=4, refused="made for hailo, edgetpu, this camera is onnxruntime")


def test_an_older_version_is_refused_while_the_active_one_is_not_withdrawn() -> None:
    camera = replace(CAMERA, active=("m", 3))
    assert "older than version 3" in choose([rollout(5, 2)], camera).refused
    withdrawn = [rollout(4, 3, withdrawn=True), rollout(1, 2)]
    assert choose(withdrawn, camera) == Choice(wanted=("m", 2), push=1)


def test_a_withdrawn_model_gives_way_to_the_fallback_when_nothing_else_is_pushed() -> None:
    camera = replace(CAMERA, active=("m", 3), fallback=("m", 1))
    assert choose([rollout(4, 3, withdrawn=True)], camera) == Choice(wanted=("m", 1), push=4)


@pytest.mark.parametrize("fallback", [None, ("m", 3), ("m", 2)])
def test_a_withdrawn_model_stays_when_there_is_no_sound_other_and_says_so(
    fallback: tuple[str, int] | None,
) -> None:
    pushes = [rollout(4, 3, withdrawn=True), rollout(2, 2, withdrawn=True)]
    found = choose(pushes, replace(CAMERA, active=("m", 3), fallback=fallback))
    assert found.wanted is None
    assert "no other model" in found.refused


def test_a_halted_push_reaches_no_further_camera_and_takes_nothing_from_those_that_run_it() -> None:
    assert choose([rollout(4, 2)], CAMERA, halted={4}) is STAY
    assert choose([rollout(4, 2)], replace(CAMERA, active=("m", 2)), halted={4}) is STAY


def test_a_camera_without_any_model_takes_what_is_for_it() -> None:
    assert choose([rollout(1, 1)], replace(CAMERA, active=None)).wanted == ("m", 1)
