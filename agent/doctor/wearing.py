"""What the wearer touches, hears of and shows: button, lamp, microphone, scenario cards."""

from __future__ import annotations

import time

from agent import app, parts
from agent.doctor.finding import Finding, Visit, bad, good, warn
from agent.drivers.clock_system import SystemClock

_LIT_S = 0.5
_AT_FAULT = "at fault", "see the recorder's line"


def check_microphone(visit: Visit) -> Finding:
    return good("microphone", "none configured: no sound is recorded")


def check_button(visit: Visit) -> Finding:
    """A button that the recorder does not hold is opened."""
    button, settings = parts.build_button(visit.settings), visit.settings.button
    if button is None:
        return good("button", "none configured: sessions begin by `sightline-agent start`")
    gestures = f"start {settings.start}, stop {settings.stop}, mark {settings.mark}"
    if visit.status is not None:
        if "button" in visit.status.parts_at_fault:
            return bad("button", *_AT_FAULT)
        return good("button", f"{settings.driver}, held by the recorder; {gestures}")
    try:
        fact = button.open()
    finally:
        button.close()
    return good("button", f"{fact}; {gestures}")


def check_led(visit: Visit) -> Finding:
    """Lamps and motor that the recorder does not hold are lit, for a person to see and feel."""
    indicator, settings = parts.build_indicator(visit.settings), visit.settings.indicator
    if indicator is None:
        return good("LED", "none configured: the state is in `sightline-agent status`")
    if visit.status is not None:
        if "indicator" in visit.status.parts_at_fault:
            return bad("LED", *_AT_FAULT)
        shown = visit.status.indication or "nothing yet"
        return good("LED", f"{settings.driver}, held by the recorder, shows: {shown}")
    try:
        outputs = indicator.open()
        indicator.show(outputs)
        time.sleep(_LIT_S)
    finally:
        indicator.close()
    lit = ", ".join(sorted(outputs))
    return good("LED", f"{settings.driver}: {lit}, all on for {_LIT_S:g} s just now")


def check_cards(visit: Visit) -> Finding:
    """Whether a card that is held to the lens would count."""
    cards, recorder = visit.settings.cards, visit.settings.recorder
    plan = ", a session plan is compulsory" if recorder.require_plan else ""
    if not cards.read:
        return good("scenario cards", f"not read (cards.read){plan}")
    parts.build_card_reader(visit.settings)
    keys = app.load_keyring(visit.settings, SystemClock()).trust.card_keys
    if not keys:
        return warn(
            "scenario cards",
            f"read, but no card key is known: every card is ignored{plan}",
            "set trust.card_key_file, or send one (`sightline-collector order keys --card-key`)",
        )
    kids = ", ".join(kid[:8] for kid in keys)
    return good("scenario cards", f"read, by key {kids}{plan}")
