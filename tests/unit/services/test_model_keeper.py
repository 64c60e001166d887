"""The keeper: gate, activation and the way back, under the recorder's lease and over restarts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from agent.core.model_health import STARTS_IN_ONE_BOOT
from agent.errors import ModelError
from agent.services.tagger_model import TaggerModel
from agent.storage.model_shelf import ModelShelf
from agent.wire.gate_report import GateReport
from tests.keeper_rig import NEW, OLD, PASSED, Rig, constant, lively


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made = Rig(tmp_path, context)
    yield made
    made.keeper.close()
    made.recorder.socket.close()
    context.term()


def test_what_is_wanted_is_gated_activated_and_noted_with_the_gates_word(rig: Rig) -> None:
    rig.activate()
    assert rig.shelf.linked("fallback") == OLD
    assert [model.provenance.version for model in rig.replaced] == [2]
    assert (rig.outcome().state, rig.outcome().push) == ("active", 7)
    assert rig.keeper.gate_line.startswith("passed: golden scores within")


def test_nothing_happens_without_the_recorders_word(rig: Rig) -> None:
    rig.recorder.answers = False
    rig.want()
    rig.steps(20)
    assert rig.gates == []
    rig.recorder.answers = True
    for _ in range(50):
        if rig.gates:
            break
        rig.steps(1)
    assert len(rig.gates) == 1


def test_in_a_session_nothing_begins_and_after_it_all_goes_on(rig: Rig) -> None:
    rig.recorder.in_session = True
    rig.want()
    rig.steps(10)
    assert rig.gates == []
    rig.recorder.in_session = False
    rig.steps()
    assert len(rig.gates) == 1


def test_a_start_press_ends_the_gate_at_once_and_it_is_run_again_later(rig: Rig) -> None:
    rig.want()
    rig.steps()
    rig.recorder.press()
    assert rig.keeper.wakes.poll(1000)  # type: ignore[attr-defined]
    rig.keeper.step(rig)
    assert rig.gates[0].killed
    assert (rig.outcome().state, rig.outcome().why) == ("waiting", "a session is being recorded")
    rig.recorder.in_session = False
    rig.steps()
    assert len(rig.gates) == 2


def test_a_press_just_before_the_swap_keeps_the_old_model(rig: Rig) -> None:
    rig.want()
    rig.steps()
    rig.gates[0].found = PASSED
    rig.before_confirm = rig.recorder.press
    rig.steps(3)
    assert rig.shelf.linked("active") == OLD
    assert rig.replaced == []
    rig.before_confirm = lambda: None
    rig.recorder.in_session = False
    rig.steps()
    assert len(rig.replaced) == 1


def test_a_press_while_the_card_is_written_keeps_the_old_model_for_that_session(rig: Rig) -> None:
    rig.want()
    rig.steps()
    rig.gates[0].found = PASSED
    confirms = []

    def press_at_the_second() -> None:
        confirms.append(rig.shelf.linked("active"))
        if len(confirms) == 2:
            rig.recorder.press()

    rig.before_confirm = press_at_the_second
    rig.steps(5)
    assert confirms[:2] == [OLD, NEW]
    assert rig.replaced == []
    assert rig.outcome().state == "gating"
    rig.before_confirm = lambda: None
    rig.recorder.in_session = False
    rig.steps()
    assert [model.provenance.version for model in rig.replaced] == [2]


def test_a_cut_after_the_swap_on_the_card_is_an_activation_at_the_next_start(rig: Rig) -> None:
    rig.want()
    rig.steps()
    rig.gates[0].found = PASSED
    confirms = []

    def press_at_the_second() -> None:
        confirms.append(1)
        if len(confirms) == 2:
            rig.recorder.press()

    rig.before_confirm = press_at_the_second
    rig.steps(5)
    again = rig.new_keeper()
    assert again.gate_line.startswith("passed")
    assert rig.outcome().state == "active"
    again.close()


def test_what_the_gate_refuses_is_not_tried_again_until_pushed_anew(rig: Rig) -> None:
    rig.want()
    rig.steps()
    rig.gates[0].found = GateReport(refused="golden scores differ")
    rig.steps(20)
    assert (rig.outcome().state, rig.outcome().why) == ("refused", "golden scores differ")
    assert len(rig.gates) == 1
    assert rig.shelf.linked("active") == OLD
    rig.want(push=8)
    rig.steps()
    assert len(rig.gates) == 2


def test_a_gate_that_hangs_is_ended_and_refused(rig: Rig) -> None:
    rig.want()
    rig.steps()
    rig.clock.advance(200)
    rig.steps(2)
    assert rig.gates[0].killed
    assert "not through after 3 minutes" in rig.outcome().why


def test_constant_scores_lead_back_to_the_fallback_after_the_session(rig: Rig) -> None:
    rig.activate()
    rig.recorder.press()
    rig.minute(constant)
    rig.steps()
    assert rig.shelf.linked("active") == NEW
    rig.recorder.in_session = False
    rig.steps()
    assert rig.shelf.linked("active") == OLD
    assert rig.reloads == 1
    outcome = rig.outcome()
    assert (outcome.state, outcome.push) == ("rolled_back", 7)
    assert "gave the same scores for a minute" in outcome.why
    assert outcome.failed(7, NEW) is not None
    rig.steps(20)
    assert len(rig.gates) == 1  # it is still wanted, and not tried again


def test_a_broken_latency_budget_leads_back_too(rig: Rig) -> None:
    rig.activate()
    rig.minute(lively, took_ms=80)
    rig.steps()
    assert rig.shelf.linked("active") == OLD
    assert rig.outcome().why == "took 80.0 ms a frame for a minute, 66.7 is allowed"


def test_a_model_that_gives_no_scores_twice_gives_way_at_once(rig: Rig) -> None:
    rig.activate()
    rig.recorder.press()
    rig.keeper.broken(rig, "not a finite number")
    assert rig.shelf.linked("active") == NEW
    rig.keeper.broken(rig, "not a finite number")
    assert rig.shelf.linked("active") == OLD
    assert rig.reloads == 1


def test_a_hiccup_and_a_good_minute_are_forgotten(rig: Rig) -> None:
    rig.activate()
    rig.keeper.broken(rig, "hiccup")
    rig.minute(lively)
    rig.keeper.broken(rig, "hiccup")
    assert rig.shelf.linked("active") == NEW


def test_a_model_that_crashes_the_tagger_again_and_again_is_left_at_its_next_start(
    rig: Rig,
) -> None:
    rig.activate()
    for _ in range(STARTS_IN_ONE_BOOT):
        rig.new_keeper().wakes.close(0)  # type: ignore[attr-defined]
        assert rig.shelf.linked("active") == NEW
    rig.new_keeper().wakes.close(0)  # type: ignore[attr-defined]
    assert rig.shelf.linked("active") == OLD
    assert rig.outcome().state == "rolled_back"
    assert "crashed the tagger 3 times in a row" in rig.outcome().why


def test_a_tagger_that_dies_while_it_tries_a_model_blames_that_one(rig: Rig) -> None:
    rig.want()
    rig.steps()
    assert rig.outcome().state == "gating"
    for _ in range(STARTS_IN_ONE_BOOT + 1):
        assert rig.outcome().state == "gating"
        rig.new_keeper().wakes.close(0)  # type: ignore[attr-defined]
    assert rig.outcome().failed(7, NEW) is not None
    assert "ended 3 times in a row while it was tried" in rig.outcome().why
    assert rig.shelf.linked("active") == OLD


def test_restarts_that_end_cleanly_are_no_crashes(rig: Rig) -> None:
    rig.activate()
    for _ in range(10):
        rig.new_keeper().close()
    assert rig.shelf.linked("active") == NEW


def test_without_another_model_the_broken_one_stays_and_it_is_said(rig: Rig) -> None:
    for _ in range(3):
        rig.keeper.broken(rig, "not a finite number")
    assert rig.shelf.linked("active") == OLD
    assert rig.reloads == 0
    assert (rig.outcome().state, rig.outcome().why) == ("failed", "not a finite number")


def test_a_cut_between_the_word_and_the_deed_of_a_way_back_is_made_good_at_the_next_start(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.activate()
    monkeypatch.setattr(ModelShelf, "fall_back", lambda _self: None)
    for _ in range(2):
        rig.keeper.broken(rig, "not a finite number")
    monkeypatch.undo()
    assert rig.shelf.linked("active") == NEW
    rig.new_keeper().close()
    assert rig.shelf.linked("active") == OLD


def test_a_slot_that_vanished_is_not_waited_for(rig: Rig) -> None:
    rig.want()
    shutil.rmtree(rig.shelf.slot(NEW))
    rig.steps()
    assert rig.gates == []


def test_a_model_that_fails_to_load_after_its_gate_is_refused(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_self: Any, _folder: Path, _gate: str) -> TaggerModel:
        raise ModelError("altered since")

    rig.want()
    rig.steps()
    rig.gates[0].found = PASSED
    rig.keeper._load = lambda folder, gate: fails(None, folder, gate)
    rig.steps()
    assert rig.outcome().why == "altered since"
    assert rig.shelf.linked("active") == OLD
