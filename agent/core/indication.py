"""Which pattern is shown now, and what of it is lit at this moment. Pure: facts and times in.

One state is shown, by the order of the table; a note beside it puts its flashes between the rounds
of the state's light; a confirmation plays once, over both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.core.indication_table import (
    AMBER,
    CONFIRMATIONS,
    MOTOR,
    NOTE_LEAD_MS,
    NOTE_TAIL_MS,
    NOTES,
    NOTHING,
    STATES,
    Base,
    Beat,
    Confirmation,
    Lit,
    Note,
    Pattern,
    Step,
)
from agent.core.session import State

_MS = 1_000_000
_S = 1_000_000_000
_LAMPS: Lit = AMBER
# Where nothing changes by itself for longer, one may look again after this.
_LONGEST_NS = 3600 * _S
_PATTERNS: dict[str, Pattern] = dict([*STATES.items(), *NOTES.items()])


@dataclass(frozen=True, slots=True)
class Facts:
    """What the wearer's light is made of.

    `ended_by_itself`: the last session did, and nobody has pressed since. `losing`: footage that
    should be recorded is not. `fit`: a start press would be taken. `part_at_fault`: any other
    fault, or a pre-flight that found the camera not fit; recording works all the same."""

    session: State = "standby"
    ended_by_itself: bool = False
    losing: bool = False
    fit: bool = True
    pre_roll_full: bool = True
    uploading: bool = False
    lens_covered: bool = False
    low_battery: bool = False
    card_nearly_full: bool = False
    clock_trusted: bool = True
    part_at_fault: bool = False


def base_of(facts: Facts) -> Base:
    """The one state that is shown."""
    active = facts.session in ("recording", "post_roll")
    holds: dict[Base, bool] = {
        "alarm": (active and facts.losing) or (facts.ended_by_itself and not active),
        "not_ready": not active and not facts.fit,
        "recording": facts.session == "recording",
        "post_roll": facts.session == "post_roll",
        "uploading": facts.uploading,
        "filling": not facts.pre_roll_full,
    }
    return next((name for name in STATES if holds.get(name, True)), "standby")


def note_of(facts: Facts) -> Note | None:
    """The one note beside it, if any."""
    holds: dict[Note, bool] = {
        "lens_covered": facts.lens_covered and facts.session in ("recording", "post_roll"),
        "low_battery": facts.low_battery,
        "card_nearly_full": facts.card_nearly_full,
        "part_at_fault": facts.part_at_fault,
        "clock_not_trusted": not facts.clock_trusted,
    }
    return next((name for name in NOTES if holds[name]), None)


def fold(lit: Lit, has: Lit) -> Lit:
    """`lit` on a device that `has` these outputs alone: one lamp shines for every colour."""
    lamps = has & _LAMPS
    if lit & _LAMPS and len(lamps) == 1:
        lit |= lamps
    return lit & has


class Indication:
    """Give it facts and confirmations as they come; `look` says what is lit at a time.

    Times are CLOCK_BOOTTIME ns and never go back."""

    def __init__(self, now_ns: int) -> None:
        self._base: Base | None = None
        self._note: Note | None = None
        self._round: tuple[Step, ...] = ()
        self._round_ns = now_ns
        self._due: dict[Base | Note, int] = {}
        self._once: _Once | None = None

    @property
    def base(self) -> Base | None:
        return self._base

    def show(self, facts: Facts, now_ns: int) -> None:
        base = base_of(facts)
        note = None if base == "alarm" else note_of(facts)
        if (base, note) == (self._base, self._note):
            return
        if base != self._base:
            self._due = {name: due for name, due in self._due.items() if name == note}
            self._begin(base, now_ns)
        if note != self._note:
            self._due = {name: due for name, due in self._due.items() if name == base}
            self._begin(note, now_ns)
        self._base, self._note = base, note
        self._round, self._round_ns = _round(base, note), now_ns

    def confirm(self, what: Confirmation, now_ns: int) -> None:
        """Plays from now; one that is still playing gives way."""
        self._once = _Once(CONFIRMATIONS[what], now_ns, lamps=True)

    def look(self, now_ns: int) -> tuple[Lit, int]:
        """What is lit, and the time until which that holds unless something is said before."""
        once = self._playing(now_ns)
        if once is None:
            once = self._buzz_that_is_due(now_ns)
        lamps, until_ns = self._lamps(now_ns)
        wake_ns = [until_ns, now_ns + _LONGEST_NS, *self._due.values()]
        if once is None:
            return lamps, min(wake_ns)
        motor, once_until_ns = once.look(now_ns)
        if once.lamps:
            # What is due waits until this has been felt.
            return motor | (_LAMPS if motor else NOTHING), once_until_ns
        return lamps | motor, min(until_ns, once_until_ns)

    def _begin(self, name: Base | Note | None, now_ns: int) -> None:
        if name is None:
            return
        pattern = _PATTERNS[name]
        if pattern.buzz is None:
            return
        self._due[name] = now_ns + (pattern.again_s * _S if pattern.quiet_begin else 0)

    def _playing(self, now_ns: int) -> _Once | None:
        if self._once is not None and now_ns >= self._once.end_ns:
            self._once = None
        return self._once

    def _buzz_that_is_due(self, now_ns: int) -> _Once | None:
        for name, due_ns in sorted(self._due.items(), key=lambda entry: entry[1]):
            pattern = _PATTERNS[name]
            if now_ns < due_ns or pattern.buzz is None:
                continue
            if pattern.again_s:
                self._due[name] = now_ns + pattern.again_s * _S
            else:
                del self._due[name]
            self._once = _Once(pattern.buzz, now_ns, lamps=False)
            return self._once
        return None

    def _lamps(self, now_ns: int) -> tuple[Lit, int]:
        length_ns = sum(ms for _lit, ms in self._round) * _MS
        if not length_ns:
            return NOTHING, now_ns + _LONGEST_NS
        began_ns = now_ns - (now_ns - self._round_ns) % length_ns
        return _at(self._round, began_ns, now_ns)


class _Once:
    """A beat of the motor, played once; with `lamps` they follow it."""

    def __init__(self, beat: Beat, began_ns: int, *, lamps: bool) -> None:
        self._steps = beat.steps(MOTOR)
        self._began_ns = began_ns
        self.end_ns = began_ns + beat.length_ms * _MS
        self.lamps = lamps

    def look(self, now_ns: int) -> tuple[Lit, int]:
        return _at(self._steps, self._began_ns, now_ns)


def _round(base: Base, note: Note | None) -> tuple[Step, ...]:
    steps = STATES[base].round()
    if note is None:
        return steps
    # Short rounds are repeated, so that the note does not drown the state.
    length_ms = sum(ms for _lit, ms in steps)
    steps *= max(1, 2000 // length_ms)
    pattern = NOTES[note]
    return (
        *steps,
        (NOTHING, NOTE_LEAD_MS),
        *pattern.light.steps(pattern.colour),
        (NOTHING, NOTE_TAIL_MS),
    )


def _at(steps: Iterable[Step], began_ns: int, now_ns: int) -> tuple[Lit, int]:
    end_ns = began_ns
    for lit, ms in steps:
        end_ns += ms * _MS
        if now_ns < end_ns:
            return lit, end_ns
    return NOTHING, now_ns + _LONGEST_NS
