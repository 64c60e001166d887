"""The wearer's hands: presses become start, stop and mark, and what came of them is shown and felt.

Nothing in here can cost a recording: button and indicator run on threads of their own, and what
fails in them is a fault in the status.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from agent.config.hands import Button as ButtonSettings
from agent.core.gestures import Edge, Gesture, GestureReader, GestureRules, most_presses
from agent.core.indication import Facts
from agent.core.indication_table import Confirmation
from agent.errors import ControlError
from agent.ports.button import Button
from agent.ports.clock import Clock
from agent.ports.indicator import Indicator
from agent.services.button_watch import ButtonWatch
from agent.services.control_desk import Trainer
from agent.services.indicator_loop import IndicatorLoop

log = logging.getLogger("hands")

SOURCE = "button"
_STUCK_NS = 30_000_000_000
_ACTIONS = ("start", "stop", "mark", "mute")


class Hands:
    """`start` and `close` once each, all from the service's thread. Without a button or an
    indicator that half is not there."""

    def __init__(
        self,
        button: Button | None,
        indicator: Indicator | None,
        settings: ButtonSettings,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._actions = {
            gesture: action
            for action in _ACTIONS
            if (gesture := getattr(settings, action)) != "none"
        }
        self._reader = GestureReader(
            GestureRules(
                pause_ns=round(settings.pause_s * 1e9),
                hold_ns=round(settings.hold_s * 1e9),
                most_presses=most_presses(set(self._actions)),
            )
        )
        self._watch = None if button is None else ButtonWatch(button, clock)
        self._loop = IndicatorLoop(indicator, clock)

    @property
    def shown(self) -> str:
        """The state that the indicator shows (or would)."""
        return self._loop.base or ""

    def start(self, wake: Callable[[], None]) -> None:
        if self._watch is not None:
            self._watch.start(wake)
        self._loop.start()

    def step(self, trainer: Trainer) -> bool:
        """Do what the presses since the last call mean; True if any had a meaning."""
        if self._watch is None:
            return False
        gestures: list[Gesture] = []
        seen_through_ns = self._watch.seen_through_ns
        for item in self._watch.take():
            if isinstance(item, Edge):
                gestures += self._reader.edge(item)
            else:
                self._reader.forget()
        gestures += self._reader.passed(seen_through_ns)
        for gesture in gestures:
            self._obey(gesture, trainer)
        return bool(gestures)

    def faults(self) -> dict[str, str]:
        """One line a part, empty while it is well."""
        button = "" if self._watch is None else self._watch.fault
        down_ns = self._reader.pressed_since_ns
        if not button and down_ns is not None and self._clock.boot_ns() - down_ns > _STUCK_NS:
            button = "button has been down for more than 30 s: see whether something presses it"
        return {"button": button, "indicator": self._loop.fault}

    def show(self, facts: Facts) -> None:
        self._loop.show(facts)

    def confirm(self, what: Confirmation) -> None:
        self._loop.confirm(what)

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
        self._loop.close()

    def _obey(self, gesture: Gesture, trainer: Trainer) -> None:
        action = self._actions.get(gesture.kind)
        try:
            self._carry_out(action, gesture, trainer)
        except ControlError as exc:
            log.warning("%s press: %s", gesture.kind, exc)
            self._loop.confirm("refused")

    def _carry_out(self, action: str | None, gesture: Gesture, trainer: Trainer) -> None:
        """The trainer confirms what is done; a start, stop or mark by command is felt as well."""
        match action:
            case "start":
                trainer.start_session(gesture.first_ns, SOURCE, {})()
            case "stop":
                # The hold's end: who lets go before it goes on recording.
                trainer.stop_session(gesture.decided_ns)
            case "mark":
                trainer.mark(gesture.first_ns, SOURCE)
            case "mute":
                raise ControlError("no sound is recorded, so there is nothing to mute")
            case _:
                raise ControlError(
                    "means nothing", remedy="the settings' [button] names the gestures"
                )
