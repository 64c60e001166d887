"""The tagger's part in model updates: gate what is wanted, activate it in standby, watch it, and go
back to the fallback when it fails.

The active model changes under a lease from the recorder alone. One exception: a model that gives no
scores at all has nothing left to change, so the fallback takes over at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.core.model_health import ModelHealth
from agent.core.picture import LORES_HEIGHT, LORES_WIDTH
from agent.errors import AgentError
from agent.ports.clock import Clock
from agent.services.model_stage import RunningGate, Stage
from agent.services.shadow_run import ScoredFrame, ShadowRun
from agent.services.standby_lease import StandbyLease
from agent.services.start_count import StartCount
from agent.services.tagger_model import TaggerModel
from agent.services.trust_book import FileWatch
from agent.storage.model_shelf import (
    ACTIVE,
    FALLBACK,
    Activated,
    Failure,
    Model,
    ModelShelf,
    Outcome,
    Wanted,
)
from agent.wire.gate_report import GateReport
from agent.wire.model_manifest import ModelManifest
from agent.wire.telemetry import UpdateState

log = logging.getLogger("tagger")

_LOOK_EVERY_NS = 1_000_000_000
_ASK_EVERY_NS = 2_000_000_000
_GATE_PATIENCE_NS = 180_000_000_000
_CONFIRM_MS = 50
# A hiccup of the accelerator may pass with a reload; a second one without a good minute does not.
_BREAKDOWNS = 2
_BRIGHTNESS_EVERY = 101


class ModelKeeper:
    """Used from the tagger's loop. `load(folder, gate_line)` makes a model ready to score."""

    def __init__(
        self,
        *,
        shelf: ModelShelf,
        lease: StandbyLease,
        start_gate: Callable[[Path], RunningGate],
        load: Callable[[Path, str], TaggerModel],
        latency_limit_ms: Callable[[TaggerModel], float],
        clock: Clock,
        os_boot: str,
    ) -> None:
        self._shelf, self._lease, self._clock = shelf, lease, clock
        self._start_gate, self._load, self._limit_ms = start_gate, load, latency_limit_ms
        self._watch = FileWatch(shelf.root / "wanted.json")
        self._wanted: Wanted | None = None
        self._outcome = shelf.outcome()
        self._look_due_ns = self._ask_due_ns = self._gate_since_ns = 0
        self._gate: RunningGate | None = None
        # (push, name, version) that went through the gate, and the gate's line.
        self._passed: tuple[tuple[int, Model], str] | None = None
        self._shadow: ShadowRun | None = None
        self._active: ModelManifest | None = None
        # Loaded beside the active model; `_is_linked`: on the card it is the active one already.
        self._ready: TaggerModel | None = None
        self._is_linked = False
        self._health: ModelHealth | None = None
        self._wrong = ""
        self._breakdowns = 0
        self._starts = StartCount(shelf.root, os_boot)
        self._begin()

    @property
    def wakes(self) -> object:
        """A socket that has something when the recorder takes the lease back."""
        return self._lease.socket

    @property
    def gate_line(self) -> str:
        """What the gate said of the active model; "" for one that was there from the start."""
        how = self._outcome.how_activated(self._shelf.linked(ACTIVE))
        return "" if how is None else how.gate

    def step(self, stage: Stage) -> bool:
        """Go on with what is due. True when anything happened."""
        said = self._lease.poll()
        if not self._lease.is_held and self._gate is not None:
            self._stop_gate()
            self._note("waiting", "a session is being recorded")
            return True
        now_ns = self._clock.boot_ns()
        if now_ns >= self._look_due_ns:
            self._look_due_ns = now_ns + _LOOK_EVERY_NS
            if self._watch.has_changed():
                self._wanted = self._shelf.wanted()
        candidate = self._candidate()
        if candidate is None and not self._wrong and not self._is_linked:
            self._let_go()
            return said
        if candidate is not None and self._is_in_shadow(candidate, now_ns):
            return said
        if not self._lease.is_held:
            return self._ask(now_ns) or said
        if self._is_linked:
            return self._swap(stage)
        if self._wrong:
            self._fall_back(stage, self._wrong)
            return True
        if candidate is None:
            return said
        if self._has_passed(candidate):
            self._activate(stage, candidate)
            return True
        return self._go_through_gate(candidate, now_ns) or said

    def loaded(self, model: TaggerModel) -> None:
        """`model` is what scores from now on."""
        self._active = model.manifest
        self._health = ModelHealth(self._limit_ms(model))

    def scored(self, frame: ScoredFrame) -> None:
        """One frame was scored."""
        if self._shadow is not None and self._lease.in_session:
            self._shadow.frame(frame)
        if self._health is None:
            return
        sample = frame.i420[: LORES_WIDTH * LORES_HEIGHT : _BRIGHTNESS_EVERY]
        brightness = sum(sample) // max(1, len(sample))
        wrong = self._health.scored(self._clock.boot_ns(), frame.took_ns, frame.scores, brightness)
        if wrong and not self._wrong:
            self._wrong = wrong
        elif self._health.is_proven and (self._breakdowns or not self._starts.is_clear):
            self._breakdowns = 0
            self._starts.clear()

    def broken(self, stage: Stage, text: str) -> None:
        """The model gave no scores and was unloaded, or cannot be loaded."""
        self._breakdowns += 1
        if self._breakdowns >= _BREAKDOWNS:
            self._breakdowns = 0
            self._fall_back(stage, text)

    def close(self) -> None:
        """A clean end counts for no crash."""
        self._let_go()
        self._starts.clear()
        self._lease.close()

    def _candidate(self) -> Wanted | None:
        """What is to become active: in its slot, not active, and not failed by this push before."""
        wanted = self._wanted
        if wanted is None or wanted.refused or wanted.model == self._shelf.linked(ACTIVE):
            return None
        if self._outcome.failed(wanted.push, wanted.model) is not None:
            return None
        return wanted if self._shelf.slot(wanted.model).is_dir() else None

    def _ask(self, now_ns: int) -> bool:
        if now_ns < self._ask_due_ns:
            return False
        self._ask_due_ns = now_ns + _ASK_EVERY_NS
        self._lease.ask()
        return True

    def _go_through_gate(self, candidate: Wanted, now_ns: int) -> bool:
        if self._gate is None:
            self._note("gating", "")
            try:
                self._gate = self._start_gate(self._shelf.slot(candidate.model))
            except OSError as exc:
                log.error("the gate cannot be started (%s)", exc.strerror)
                self._lease.give_back()
                return True
            self._gate_since_ns = now_ns
            return True
        report = self._gate.report()
        if report is None and now_ns - self._gate_since_ns > _GATE_PATIENCE_NS:
            report = GateReport(refused="the gate was not through after 3 minutes")
        if report is None:
            return False
        self._stop_gate()
        if report.refused:
            self._refuse(candidate, report.refused)
        else:
            log.info("model %s version %d %s", candidate.name, candidate.version, report.line)
            self._passed = (candidate.push, candidate.model), report.line
        return True

    def _has_passed(self, candidate: Wanted) -> bool:
        return self._passed is not None and self._passed[0] == (candidate.push, candidate.model)

    def _is_in_shadow(self, candidate: Wanted, now_ns: int) -> bool:
        """True while the candidate runs beside the active model, or waits for an admin's word."""
        if self._passed is None or not self._has_passed(candidate):
            return False
        if candidate.shadow_minutes == 0:
            self._shadow = None  # promoted
            return False
        if self._shadow is None:
            if self._active is None or not self._make_ready(candidate) or self._ready is None:
                return False
            self._shadow = ShadowRun(candidate, self._active, self._ready, self._shelf.root)
        shadow = self._shadow
        if shadow.is_done and (shadow.refused or candidate.agree_above is not None):
            self._shadow = None
            if shadow.refused:
                self._refuse(candidate, f"{shadow.refused} ({shadow.line})")
                return True
            self._passed = self._passed[0], f"{self._passed[1]}; {shadow.line}"
            self._wanted = msgspec.structs.replace(candidate, shadow_minutes=0)
            return False
        if now_ns >= self._ask_due_ns:
            self._ask_due_ns = now_ns + _ASK_EVERY_NS
            self._lease.ask()  # to know whether a session is being recorded
            self._note("shadow", f"{shadow.line}{'; waits for promote' * shadow.is_done}")
        return True

    def _make_ready(self, candidate: Wanted) -> bool:
        """Load the candidate beside the active model; False when it was refused."""
        if self._ready is None:
            gate_line = self._passed[1] if self._passed is not None else ""
            try:
                self._ready = self._load(self._shelf.slot(candidate.model), gate_line)
            except AgentError as exc:
                self._refuse(candidate, str(exc))
        return self._ready is not None

    def _activate(self, stage: Stage, candidate: Wanted) -> None:
        """Load beside the active one, make sure that nobody pressed meanwhile, swap."""
        if not self._make_ready(candidate) or self._ready is None or self._passed is None:
            return
        gate_line = self._passed[1]
        self._ready.provenance = msgspec.structs.replace(self._ready.provenance, gate=gate_line)
        self._ready.restart()
        if not self._lease.confirm(_CONFIRM_MS):
            return
        # The note first: a model that is active was always written down with its push and gate.
        activated = self._outcome.with_activated(candidate.push, candidate.model, gate_line)
        self._note("gating", "", activated=activated)
        try:
            self._shelf.activate(candidate.model)
        except OSError as exc:
            log.error("%s cannot be activated (%s)", candidate.name, exc.strerror)
            self._note("waiting", f"the card refused ({exc.strerror})")
            self._lease.give_back()
            return
        self._is_linked, self._passed = True, None
        self._swap(stage)

    def _swap(self, stage: Stage) -> bool:
        """The model that is active on the card scores from now on, unless a press came while the
        card was written: then the session keeps the model that it began with."""
        model = self._ready
        if model is None or not self._lease.confirm(_CONFIRM_MS):
            return False
        self._ready, self._is_linked = None, False
        self._breakdowns, self._wrong = 0, ""
        stage.replace(model)
        self._note("active", "")
        self._starts.clear()
        self._lease.give_back()
        return True

    def _refuse(self, candidate: Wanted, why: str) -> None:
        log.error("model %s version %d refused: %s", candidate.name, candidate.version, why)
        failures = self._outcome.with_failure(candidate.push, candidate.model, why)
        self._passed = None
        self._lease.give_back()
        self._note("refused", why, failures=failures)

    def _fall_back(self, stage: Stage, why: str) -> None:
        active = self._shelf.linked(ACTIVE)
        self._wrong = ""
        if active is not None and self._back(active, why) is not None:
            self._starts.clear()
            stage.reload()
        self._lease.give_back()

    def _back(self, active: Model, why: str) -> Model | None:
        """First what failed is written down, so that it is never tried again; then the link."""
        outcome, other = self._outcome, self._shelf.linked(FALLBACK)
        how = outcome.how_activated(active)
        push = how.push if how is not None else 0
        failed = msgspec.structs.replace(
            outcome,
            push=push,
            name=active[0],
            version=active[1],
            state="failed" if other in (None, active) else "rolled_back",
            why=why,
            failures=outcome.with_failure(push, active, why),
        )
        try:
            self._shelf.note(failed)
            self._outcome = failed
            back = self._shelf.fall_back()
        except OSError as exc:
            log.error("no way back to the fallback (%s)", exc.strerror)
            return None
        if back is None:
            log.error("model %s %d: %s; there is no fallback", *active, why)
        else:
            log.error("model %s %d: %s; back to %s %d", *active, why, *back)
        return back

    def _begin(self) -> None:
        """Make good what a cut left half done, and count this start; in a crash loop, go back."""
        outcome = self._outcome
        if (outcome.name, outcome.version) == self._shelf.linked(ACTIVE):
            if outcome.state == "rolled_back":
                self._shelf.fall_back()  # the power went between the word and the deed
            elif outcome.state == "gating":
                self._outcome = msgspec.structs.replace(outcome, state="active")
                self._shelf.note(self._outcome)
        active = self._shelf.linked(ACTIVE)
        if active is None or self._died_of_candidate(active):
            return
        starts = self._starts.begin(f"{active[0]} {active[1]}")
        if starts.is_loop:
            back = self._back(active, f"crashed the tagger {starts.in_all - 1} times in a row")
            self._starts.clear()
            if back is not None:
                self._starts.begin(f"{back[0]} {back[1]}")

    def _died_of_candidate(self, active: Model) -> bool:
        """True when the tagger ended while it tried another model: that is not the active one's
        fault. After some times in a row the other one is refused."""
        tried = self._outcome
        model = tried.name, tried.version
        if tried.state not in ("gating", "shadow") or model == active:
            return False
        starts = self._starts.begin(f"trial of {tried.name} {tried.version}, push {tried.push}")
        if starts.is_loop:
            why = f"the tagger ended {starts.in_all - 1} times in a row while it was tried"
            failures = tried.with_failure(tried.push, model, why)
            words = {"state": "refused", "why": why, "failures": failures}
            self._outcome = msgspec.structs.replace(tried, **words)
            self._shelf.note(self._outcome)
            self._starts.clear()
        return True

    def _note(
        self,
        state: UpdateState,
        why: str,
        *,
        activated: tuple[Activated, ...] | None = None,
        failures: tuple[Failure, ...] | None = None,
    ) -> None:
        """Write down what became of the wanted push."""
        wanted = self._wanted
        if wanted is None:
            return
        outcome = Outcome(
            push=wanted.push,
            name=wanted.name,
            version=wanted.version,
            state=state,
            why=why,
            activated=self._outcome.activated if activated is None else activated,
            failures=self._outcome.failures if failures is None else failures,
        )
        if outcome == self._outcome:
            return
        self._outcome = outcome
        try:
            self._shelf.note(outcome)
        except OSError as exc:
            log.error("outcome.json cannot be written (%s)", exc.strerror)

    def _let_go(self) -> None:
        """Nothing is to be changed: what was made ready for it goes."""
        self._stop_gate()
        self._passed = None
        if self._shadow is not None:
            self._shadow.keep()
            self._shadow = None
        if self._ready is not None:
            self._ready.close()
            self._ready = None
        if self._lease.is_held:
            self._lease.give_back()

    def _stop_gate(self) -> None:
        if self._gate is not None:
            self._gate.kill()
            self._gate = None
