"""Between gate and activation: the new model runs beside the active one in real sessions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from tests.keeper_rig import NEW, OLD, PASSED, Rig, lively


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made = Rig(tmp_path, context)
    yield made
    made.keeper.close()
    made.recorder.socket.close()
    context.term()


def in_shadow(rig: Rig, **terms: int) -> None:
    rig.keeper.loaded(rig.keeper._load(rig.shelf.slot(OLD), ""))
    rig.want(shadow_minutes=1, **terms)
    rig.steps()
    rig.gates[-1].found = PASSED
    rig.steps()
    assert rig.outcome().state == "shadow"


def session(rig: Rig, bright: float) -> None:
    """A minute and a bit in a session, the active model saying `bright`; then standby."""
    rig.recorder.press()
    rig.steps(3)
    for _ in range(2):
        rig.minute(lambda n: (bright, 1 - bright, n / 901))
    rig.recorder.in_session = False
    rig.steps(4)


def test_frames_of_standby_do_not_count(rig: Rig) -> None:
    in_shadow(rig, agree_above=1)
    rig.minute(lively)
    rig.steps(3)
    assert rig.outcome().why.startswith("shadow 0 of 1 min, 0 frames")
    assert rig.shelf.linked("active") == OLD


def test_models_that_agree_change_places_by_the_rule_and_the_sheet_will_say_how(rig: Rig) -> None:
    in_shadow(rig, agree_above=4000)
    session(rig, 1.0)
    rig.steps(4)
    assert rig.shelf.linked("active") == NEW
    assert "shadow 1 of 1 min" in rig.replaced[0].provenance.gate
    assert rig.replaced[0].provenance.gate.startswith("passed: golden")


def test_models_that_disagree_do_not_and_it_is_said_for_which_label(rig: Rig) -> None:
    in_shadow(rig, agree_above=9900)
    session(rig, 0.0)
    assert rig.shelf.linked("active") == OLD
    outcome = rig.outcome()
    assert outcome.state == "refused"
    assert "99 % is asked" in outcome.why
    assert outcome.failed(7, NEW) is not None


def test_without_a_rule_it_waits_for_an_admin_and_promote_is_enough(rig: Rig) -> None:
    in_shadow(rig)
    session(rig, 1.0)
    rig.steps(4)
    assert rig.outcome().why.endswith("waits for promote")
    assert rig.shelf.linked("active") == OLD
    rig.want()  # the same push, out of the shadow
    rig.steps()
    assert rig.shelf.linked("active") == NEW
    assert len(rig.gates) == 1


def test_the_count_lasts_over_a_restart(rig: Rig) -> None:
    in_shadow(rig, agree_above=1)
    session(rig, 1.0)
    kept = json.loads((rig.shelf.root / "shadow.json").read_bytes())
    assert (kept["push"], kept["version"]) == (7, 2)
    assert kept["tally"]["session_ns"] >= 60 * 10**9


def test_a_new_model_that_fails_beside_the_active_one_is_refused(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_shadow(rig, agree_above=1)
    assert rig.keeper._ready is not None
    monkeypatch.setattr(rig.keeper._ready._accelerator, "fail_with", "the chip is hot")
    session(rig, 1.0)
    assert "failed beside the active model" in rig.outcome().why
    assert rig.shelf.linked("active") == OLD
