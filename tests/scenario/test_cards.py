"""Scenario cards and session plans with the real programs, from the lens to the store."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.crypto.cards import sign_card
from collector.__main__ import main as collector
from firmware_tools.card_office import found_office
from firmware_tools.local_stack import DEVICE_ID, LocalStack
from tests.card_maker import DECLARED, card_text, lores, write_footage
from tests.scenario.commands import agent, only_line
from tests.scenario.conftest import MakeStack
from tests.scenario.evidence import stored_clips, stored_records
from tests.scenario.waiting import status_of, wait_for_frames, wait_until_sent

pytestmark = pytest.mark.scenario

RATE_HZ = 15
CARD_LABELS = DECLARED.labels("card")
# Wide enough for the tagger on a busy machine; the footage comes round again every few seconds.
WITHIN_S = 60


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("office") / "keys"
    found_office(folder)
    return folder


def showing(path: Path, text: str) -> Path:
    """Footage of someone who holds a card to the lens for two of its four seconds."""
    held = [lores(text, seed=seed) for seed in range(3)]
    pictures = [held[n % 3] if n < 2 * RATE_HZ else None for n in range(4 * RATE_HZ)]
    return write_footage(path, pictures, rate_hz=RATE_HZ)


def settings(office: Path, **recorder: object) -> dict[str, dict[str, object]]:
    return {
        "camera": {"frame_rate_hz": RATE_HZ, "width": 640, "height": 360},
        "trust": {"card_key_file": office / "card.pub.pem"},
        "recorder": {"pre_roll_s": 1.0, "post_roll_s": 0.0, "clip_s": 2.0, **recorder},
    }


def order(stack: LocalStack, kind: str, *words: str) -> int:
    return collector(["order", kind, "--config", str(stack.collector_config), *words])


def test_card_shown_to_the_lens_is_declared_in_sheets_and_record_at_the_collector(
    make_stack: MakeStack, tmp_path: Path, office: Path
) -> None:
    footage = showing(tmp_path / "card.mp4", card_text(office))
    stack = make_stack(settings(office), footage=footage)
    stack.wait_ready()
    stack.wait_until(
        lambda: "scenario card read" in status_of(stack).card_shown,
        timeout_s=WITHIN_S,
        what="the card",
    )
    assert "holds for the next start" in status_of(stack).card_shown
    started = stack.start({"weather": "rain"})
    assert started.status.preflight
    wait_for_frames(stack, 2 * RATE_HZ)
    stack.stop()
    wait_until_sent(stack)
    for said in (stored_clips(stack)[0].sheet.declared, stored_records(stack)[0].declared):
        assert [label for label in said if label.source == "card"] == list(CARD_LABELS)
        assert [(label.key, label.value) for label in said if label.source == "demo"] == [
            ("weather", "rain")
        ]
    for log in stack.logs_dir.glob("*.log"):
        assert "hostage" not in log.read_text()  # what is declared is sealed, never logged or sent


def test_forged_card_is_ignored_with_a_line_and_a_missing_compulsory_plan_refuses_the_start(
    make_stack: MakeStack, tmp_path: Path, office: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = sign_card(DECLARED, Ed25519PrivateKey.generate())
    footage = showing(tmp_path / "forged.mp4", forged)
    stack = make_stack(settings(office, require_plan=True), footage=footage)
    stack.wait_ready()
    stack.wait_until(
        lambda: "ignored" in status_of(stack).card_shown, timeout_s=WITHIN_S, what="the forgery"
    )
    assert "a key that this camera does not trust" in status_of(stack).card_shown
    line = only_line(agent(stack, "start"), exit_code=1)
    assert "no session plan is in force (none has come)" in line
    assert "order plan" in line
    assert status_of(stack).state == "standby"
    assert order(stack, "plan", DEVICE_ID, "--trainer", "jane") == 1
    assert "sightline card pseudonym" in capsys.readouterr().err
    assert order(stack, "plan", DEVICE_ID, "--scenario", "patrol", "--trainer", "p-abcd2345") == 0
    stack.wait_until(
        lambda: status_of(stack).plan == "in force", timeout_s=WITHIN_S, what="the plan"
    )
    stack.start()
    wait_for_frames(stack, 2 * RATE_HZ)
    stack.stop()
    wait_until_sent(stack)
    declared = stored_clips(stack)[0].sheet.declared
    assert [(label.key, label.value, label.source) for label in declared] == [
        ("scenario", "patrol", "plan"),
        ("trainer", "p-abcd2345", "plan"),
    ]
