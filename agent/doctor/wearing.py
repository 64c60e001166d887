"""What the wearer touches, hears of and shows: button, lamp, microphone, scenario cards."""

from __future__ import annotations

from agent import app
from agent.doctor.finding import Finding, Visit, good, warn
from agent.drivers.clock_system import SystemClock


def check_microphone(visit: Visit) -> Finding:
    return good("microphone", "none configured: no sound is recorded")


def check_button(visit: Visit) -> Finding:
    return good("button", "none configured: sessions begin by `sightline-agent start`")


def check_led(visit: Visit) -> Finding:
    return good("LED", "none configured: the state is in `sightline-agent status`")


def check_cards(visit: Visit) -> Finding:
    """Whether a card that is held to the lens would count."""
    cards, recorder = visit.settings.cards, visit.settings.recorder
    plan = ", a session plan is compulsory" if recorder.require_plan else ""
    if not cards.read:
        return good("scenario cards", f"not read (cards.read){plan}")
    app.build_card_reader(visit.settings)
    keys = app.load_keyring(visit.settings, SystemClock()).trust.card_keys
    if not keys:
        return warn(
            "scenario cards",
            f"read, but no card key is known: every card is ignored{plan}",
            "set trust.card_key_file, or send one (`sightline-collector order keys --card-key`)",
        )
    kids = ", ".join(kid[:8] for kid in keys)
    return good("scenario cards", f"read, by key {kids}{plan}")
