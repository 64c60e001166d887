"""A tagger's keeper of models over a card with two of them; gate and recorder are the test's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from agent.core.picture import Rect
from agent.drivers.accelerator_fake import FakeAccelerator
from agent.ipc import sockets
from agent.ipc.messages import ControlReply, ControlRequest, LeaseRequest, pack, unpack
from agent.services.model_keeper import ModelKeeper
from agent.services.shadow_run import ScoredFrame
from agent.services.standby_lease import StandbyLease
from agent.services.tagger_model import TaggerModel, load_model
from agent.storage.model_shelf import ModelShelf, Outcome, Wanted
from agent.wire.gate_report import GateReport
from tests import tiny_model
from tests.clock import ManualClock
from tests.recorder_status import STATUS

OLD, NEW = ("tiny", 1), ("tiny", 2)
LUMA = 640 * 360
WHOLE = Rect(0, 0, 640, 360)
PASSED = GateReport(latency_ms=2.0, latency_limit_ms=66.7)


class HandGate:
    def __init__(self) -> None:
        self.found: GateReport | None = None
        self.killed = False

    def report(self) -> GateReport | None:
        return self.found

    def kill(self) -> None:
        self.killed = True


class HandRecorder:
    """The recorder's side of the control socket."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], runtime_dir: Path) -> None:
        self.socket = sockets.bind(context, zmq.ROUTER, runtime_dir, "control", high_water=10)
        self.in_session = False
        self.answers = True
        self.holder: list[bytes] = []

    def answer(self) -> None:
        while self.answers and self.socket.poll(0):
            *self.holder, payload = self.socket.recv_multipart()
            assert isinstance(unpack(ControlRequest, payload), LeaseRequest)
            self._say("a session is being recorded" if self.in_session else "")

    def press(self) -> None:
        self.in_session = True
        if self.holder:
            self._say("a session is being recorded")

    def _say(self, refused: str) -> None:
        reply = ControlReply(refused=refused, status=STATUS)
        self.socket.send_multipart([*self.holder, pack(reply)])


class Rig:
    """A tagger's keeper over a card with version 1 active and version 2 in its slot."""

    def __init__(self, folder: Path, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.shelf = ModelShelf(folder / "state")
        for model in (OLD, NEW):
            tiny_model.write_bundle(self.shelf.slot(model), version=model[1])
        self.shelf.activate(OLD)
        self.clock = ManualClock()
        self.context, self.runtime_dir = context, folder / "run"
        self.recorder = HandRecorder(context, self.runtime_dir)
        self.gates: list[HandGate] = []
        self.replaced: list[TaggerModel] = []
        self.reloads = 0
        self.before_confirm: Callable[[], None] = lambda: None
        self.keeper = self.new_keeper()

    def new_keeper(self, os_boot: str = "boot-a") -> ModelKeeper:
        rig = self

        class Lease(StandbyLease):
            """The recorder answers while it is waited for."""

            def confirm(self, timeout_ms: int) -> bool:
                rig.before_confirm()
                self.poll()
                if self.is_held:
                    self.ask()
                    rig.settle()
                    while self._pending and self.socket.poll(timeout_ms):
                        self.poll()
                return self.is_held

        return ModelKeeper(
            shelf=self.shelf,
            lease=Lease(self.context, self.runtime_dir),
            start_gate=self._start_gate,
            load=lambda folder, _gate: load_model(folder, FakeAccelerator(), "0.1.0"),
            latency_limit_ms=lambda _model: 66.7,
            clock=self.clock,
            os_boot=os_boot,
        )

    def _start_gate(self, folder: Path) -> HandGate:
        assert folder == self.shelf.slot(NEW)
        self.gates.append(HandGate())
        return self.gates[-1]

    def replace(self, model: TaggerModel) -> None:
        self.replaced.append(model)
        self.keeper.loaded(model)

    def reload(self) -> None:
        self.reloads += 1

    def settle(self) -> None:
        """Let what was sent arrive, and the recorder answer it."""
        lease = self.keeper._lease
        if self.recorder.answers and lease._pending:
            assert self.recorder.socket.poll(5000)
            self.recorder.answer()
            assert lease.socket.poll(5000)

    def steps(self, count: int = 6, pace_s: float = 1.0) -> None:
        for _ in range(count):
            self.keeper.step(self)
            self.settle()
            self.clock.advance(pace_s)

    def want(self, push: int = 7, **terms: Any) -> None:
        self.shelf.want(Wanted(push=push, name=NEW[0], version=NEW[1], **terms))

    def outcome(self) -> Outcome:
        return self.shelf.outcome()

    def activate(self) -> None:
        """The whole way: wanted, gated, active."""
        self.want()
        self.steps()
        self.gates[-1].found = PASSED
        self.steps()
        assert self.shelf.linked("active") == NEW

    def minute(self, scores: Callable[[int], tuple[float, ...]], took_ms: float = 2.0) -> None:
        for n in range(901):
            self.clock.advance(1 / 15)
            picture = bytes([60 + (n % 2) * 80]) * (LUMA * 3 // 2)
            pts_ns, took_ns = self.clock.boot_ns(), int(took_ms * 1e6)
            self.keeper.scored(ScoredFrame(pts_ns, took_ns, scores(n), picture, WHOLE))


def constant(_n: int) -> tuple[float, ...]:
    return (0.5, 0.5)


def lively(n: int) -> tuple[float, ...]:
    return (n / 901, 0.5)
