"""The recorder: camera, session, the spool's writing side, control.

It depends on no network, no NPU and no clock being right, and its loop never waits for the card.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import zmq

from agent.config import Settings
from agent.core.indication import Facts
from agent.core.label_book import LabelBook
from agent.crypto.jws import Signer
from agent.crypto.seal import Sealer
from agent.errors import ControlError
from agent.ipc import sockets
from agent.ipc.messages import RecorderStatus
from agent.ports.camera import Camera, CameraLost, LoresFrame, Packet
from agent.ports.clock import Clock
from agent.services.capture import CameraOpened, CameraPump, Captured, PictureDropped
from agent.services.control_desk import ControlDesk
from agent.services.declarations import Declarations
from agent.services.event_outbox import HIGH_WATER, EventOutbox
from agent.services.fault_book import FaultBook
from agent.services.governing import Governing
from agent.services.hands import Hands
from agent.services.housekeeping import Housekeeper
from agent.services.keyring import Keyring
from agent.services.plan_book import PlanBook
from agent.services.power_guard import PowerGuard
from agent.services.recording import Recording
from agent.services.recovery import Recovered, recover_all
from agent.services.resuming import CutSession, session_to_resume, session_under_way
from agent.services.sending_sign import NOTE_LASTS_NS
from agent.services.session_track import Names
from agent.services.start_desk import StartDesk
from agent.services.status_report import StatusReport
from agent.services.tagger_link import TaggerLink
from agent.services.vault import Vault
from agent.services.waker import Waker
from agent.services.writer import CardWriter
from agent.services.writer_news import WriterNews
from agent.storage.atomic import Fsync
from agent.storage.identity import Identity
from agent.storage.recorder_state import RecorderState
from agent.storage.spool import Spool
from agent.wire.label_sheet import DeclaredLabel, ModelProvenance

log = logging.getLogger("recorder")

_CAPTURED_A_STEP = 64
_STATUS_EVERY_NS = 1_000_000_000
# At the end of the service labels get this long, then the clip closes with what is known.
_LAST_GRACE_NS = 1_000_000_000
_CLOSE_TURNS = 600
_CLOSE_TURN_S = 0.02
# Parts without which a start press is refused.
_NEEDED = ("camera", "card", "power")
# The newest packet is this much behind the present at most, so the pre-roll is never whole by more.
_PRE_ROLL_LAG_S = 0.2


class Recorder:
    """A service for `loop.run_service`. The constructor prepares the spool, closes what a cut left
    there, goes on with a session that a failure cut off (see `resuming`), binds the sockets and
    starts the camera and writer threads.

    Raises SpoolError when the card cannot be written, ControlError when a socket path is too long.
    A camera that cannot be opened is no error here: it is tried again, and a start press is refused
    with its line.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        camera: Camera,
        clock: Clock,
        identity: Identity,
        sealer: Sealer,
        signer: Signer,
        context: zmq.Context[zmq.Socket[bytes]],
        agent_version: str,
        keyring: Keyring | None = None,
        fsync: Fsync = os.fsync,
        free_bytes: Callable[[], int] | None = None,
        power: PowerGuard | None = None,
        governing: Governing | None = None,
        plans: PlanBook | None = None,
        hands: Hands | None = None,
    ) -> None:
        self._settings, self._clock = settings, clock
        self._power = power or PowerGuard(None, settings.power)
        self._governing = governing or Governing(None, settings.governor, clock)
        self._hands = hands or Hands(None, None, settings.button, clock)
        self._names = Names(
            settings.device.device_id,
            identity.epoch,
            identity.boot,
            agent_version,
            identity.os_boot,
        )
        self._vault = vault = _vault(
            self._names, settings, clock, sealer, signer, keyring=keyring, plans=plans, fsync=fsync
        )
        vault.spool.prepare()
        under_way = session_under_way(vault.state, identity.os_boot)
        recovered = recover_all(vault, os_boot=identity.os_boot)
        cut = session_to_resume(vault, under_way)
        self._faults = FaultBook(self._tell_fault)
        self._next_status_ns, self._sent_until_ns, self._closed = 0, 0, False
        self._waker = Waker()
        self._bind(context)
        self._book: LabelBook[ModelProvenance] = LabelBook()
        self._tagger = TaggerLink(self._frames_socket, self._scores_socket, self._book, clock)
        housekeeper = Housekeeper(vault.spool, vault.state, settings.retention, clock, free_bytes)
        self._writer = CardWriter(vault, housekeeper, self._waker.wake)
        self._recording = self._make_recording()
        self._news = WriterNews(
            self._writer, self._recording, self._outbox, self._faults, self._names
        )
        self._report = self._make_report()
        declarations = Declarations(
            settings, clock, keyring, plans, self._outbox.tell, self._hands.confirm
        )
        self._start_desk = StartDesk(declarations, self._recording, self._report.preflight_facts)
        self._desk = ControlDesk(self._control_socket, clock, self)
        self._pump = CameraPump(camera, clock, self._waker.wake)
        self._begin(recovered, cut)

    def step(self) -> bool:
        """Answer control, take what camera, tagger and writer brought, do what is due."""
        self._waker.clear()
        happened = self._desk.answer()
        happened = self._take_captured(_CAPTURED_A_STEP) or happened
        happened = self._tagger.receive() or happened
        happened = self._news.take() or happened
        if self._hands.step(self):
            happened, self._recording.ended_by_itself = True, False
        happened = self._recording.tick() or happened
        self._tick()
        return happened

    def wait(self, timeout_s: float) -> None:
        """Sleep until a thread or a socket has something, `timeout_s` at most."""
        self._poller.poll(round(timeout_s * 1000))

    def close(self) -> None:
        """End the session cleanly: what was captured is written, closed and moved, as far as the
        card lets it in a bounded time; the rest is recovered at the next start. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._pump.close()
        self._power.close()
        self._governing.close()
        self._hands.close()
        while self._take_captured(_CAPTURED_A_STEP):
            pass
        self._recording.end_now("stopped")
        self._recording.labeller.hurry(_LAST_GRACE_NS)
        for _turn in range(_CLOSE_TURNS):
            self._tagger.receive()
            self._news.take()
            self._recording.tick()
            if self._recording.is_settled and self._writer.is_idle:
                break
            self._desk.answer()
            self._waker.clear()
            self.wait(_CLOSE_TURN_S)
        if not self._writer.close(timeout_s=_CLOSE_TURNS * _CLOSE_TURN_S):
            log.error("the card did not take everything in time: the rest is kept at next start")
        self._news.take()
        self._tick(force=True)
        for socket in (self._frames_socket, self._scores_socket, self._control_socket):
            socket.close(linger=0)
        self._outbox.close()
        self._waker.close()

    def start_session(
        self, pts_ns: int, source: str, declared: dict[str, str]
    ) -> Callable[[], None]:
        """The start press; what is returned is to be called after the reply. Raises ControlError:
        the camera gives nothing, the card is full, the battery is low, a session is being recorded,
        or there is no session plan where one is compulsory."""
        if self._closed:
            raise ControlError("the recorder is stopping", remedy="start it again first")
        for part in _NEEDED:
            if part in self._faults and self._recording.machine.state != "recording":
                raise ControlError(f"not recording: {self._faults[part]}")
        # Each pre-roll waits in RAM for the card: presses must not pile them up on a stalled one.
        recorder, waiting_s = self._settings.recorder, self._writer.queued_s
        if waiting_s > recorder.writer_queue_s + recorder.pre_roll_s:
            raise ControlError(
                f"not recording: {waiting_s:.0f} s of footage wait for the card",
                remedy="put in a faster card, this one has stalled",
            )
        self._start_desk.check()
        labels = tuple(
            DeclaredLabel(key=key, value=value, source=source) for key, value in declared.items()
        )
        take_pre_roll = self._recording.start(pts_ns, labels)
        self._start_desk.started(pts_ns)
        self._hands.confirm("start")
        return take_pre_roll

    def stop_session(self, pts_ns: int) -> None:
        """Raises ControlError when nothing is being recorded."""
        self._recording.stop(pts_ns)
        self._hands.confirm("stop")

    def mark(self, pts_ns: int, source: str) -> None:
        """Raises ControlError outside recording and post-roll."""
        self._recording.mark(pts_ns, source)
        self._hands.confirm("mark")

    def clips_are_sent(self) -> None:
        """The uplink is sending, now."""
        self._sent_until_ns = self._clock.boot_ns() + NOTE_LASTS_NS

    def status(self) -> RecorderStatus:
        """A snapshot, without touching the card."""
        return self._report.status(self._faults, self._start_desk)

    def _begin(self, recovered: list[Recovered], cut: CutSession | None) -> None:
        for item in recovered:
            self._outbox.tell_recovered(item)
        if cut is not None:
            self._recording.resume(cut)
        self._writer.start()
        self._pump.start()
        self._tagger.seen = self._start_desk.seen
        self._power.start(self._waker.wake)
        self._governing.start()
        self._hands.start(self._waker.wake)

    def _make_recording(self) -> Recording:
        return Recording(
            self._settings.recorder,
            names=self._names,
            writer=self._writer,
            book=self._book,
            clock=self._clock,
            tell=self._outbox.tell,
            tagger_is_silent=lambda: self._tagger.is_silent,
        )

    def _make_report(self) -> StatusReport:
        return StatusReport(
            self._settings,
            self._names,
            self._clock,
            recording=self._recording,
            book=self._book,
            tagger=self._tagger,
            writer=self._writer,
            news=self._news,
            vault=self._vault,
            power=self._power,
            governing=self._governing,
            hands=self._hands,
        )

    def _bind(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        folder = self._settings.paths.runtime_dir
        self._frames_socket = sockets.bind(
            context, zmq.PUSH, folder, "frames", high_water=sockets.FRAMES_HIGH_WATER
        )
        self._scores_socket = sockets.bind(
            context, zmq.PULL, folder, "scores", high_water=sockets.SCORES_HIGH_WATER
        )
        self._control_socket = sockets.bind(context, zmq.ROUTER, folder, "control", high_water=100)
        events = sockets.connect(context, zmq.PUSH, folder, "events", high_water=HIGH_WATER)
        self._outbox = EventOutbox(events, self._clock, self._settings.device.device_id)
        self._poller = zmq.Poller()
        self._poller.register(self._scores_socket, zmq.POLLIN)
        self._poller.register(self._control_socket, zmq.POLLIN)
        self._poller.register(self._waker.descriptor, zmq.POLLIN)

    def _take_captured(self, most: int) -> bool:
        items = self._pump.take(most)
        for item in items:
            self._take(item)
        return bool(items)

    def _take(self, item: Captured) -> None:
        match item:
            case Packet():
                self._faults.clear("camera")
                self._recording.packet(item)
            case LoresFrame():
                recording = self._recording.machine.session is not None
                wanted = recording or self._settings.tagger.score_in_standby
                self._tagger.look_often(self._start_desk.looks_often)
                self._tagger.offer(item, wanted=wanted)
            case PictureDropped(pts_ns):
                self._tagger.dropped(pts_ns)
            case CameraOpened(info):
                log.info(
                    "camera: %s, %dx%d, %s", info.source, info.width, info.height, info.encoder
                )
                self._recording.info = info
            case CameraLost():
                self._faults.judge("camera", f"camera lost: {item.cause}")
                self._start_desk.camera_lost()
                self._recording.camera_lost(item)

    def _note_power(self) -> None:
        """A low battery ends the session while there is power to close it."""
        charge = self._power.judge()
        for part, wanted in (("power", "stop"), ("charge", "warn")):
            self._faults.judge(part, self._power.line() if charge == wanted else "")
        if charge == "stop" and self._recording.machine.session is not None:
            log.warning("the session is closed before the power goes")
            self._recording.end_now("low_battery")
            self._recording.labeller.hurry(_LAST_GRACE_NS)

    def _tick(self, *, force: bool = False) -> None:
        now = self._clock.boot_ns()
        self._pump.watch()
        if self._pump.fault:
            self._faults.judge("camera", self._pump.fault)
        self._faults.judge("picture", self._pump.picture_fault)
        self._note_power()
        self._tagger.govern(self._governing.judge(self._power.reading))
        blocked = self._recording.machine.blocked
        self._faults.judge(
            "queue", "card too slow: footage is being lost, see the gaps" if blocked else ""
        )
        self._faults.judge("preflight", self._start_desk.fault())
        for part, line in self._hands.faults().items():
            self._faults.judge(part, line)
        self._hands.show(self._facts(now))
        if not self._closed:
            self._news.ask_to_tidy(now)
        if now >= self._next_status_ns or force:
            self._next_status_ns = now + _STATUS_EVERY_NS
            self._outbox.show(self.status())
        self._outbox.send()

    def _facts(self, now_ns: int) -> Facts:
        """What the wearer is shown."""
        recording, faults = self._recording, self._faults
        least_s = self._settings.recorder.pre_roll_s - _PRE_ROLL_LAG_S
        return Facts(
            session=recording.machine.state,
            ended_by_itself=recording.ended_by_itself,
            losing="camera" in faults or "queue" in faults,
            fit=not any(part in faults for part in _NEEDED),
            pre_roll_full=recording.ring.ready_s(now_ns) >= least_s,
            uploading=now_ns < self._sent_until_ns,
            lens_covered=self._start_desk.lens in ("covered", "blurred"),
            low_battery="charge" in faults,
            card_nearly_full=self._report.card_is_nearly_full,
            part_at_fault=faults.any_but(*_NEEDED, "charge")
            or not self._start_desk.preflight().is_fit,
            clock_trusted=self._clock.trust() == "trusted",
        )

    def _tell_fault(self, text: str) -> None:
        self._outbox.tell("fault", self._recording.session_id, None, text)


def _vault(
    names: Names,
    settings: Settings,
    clock: Clock,
    sealer: Sealer,
    signer: Signer,
    *,
    keyring: Keyring | None,
    plans: PlanBook | None,
    fsync: Fsync,
) -> Vault:
    state_dir = settings.paths.state_dir
    return Vault(
        spool=Spool(state_dir, fsync=fsync),
        state=RecorderState(state_dir, fsync=fsync),
        sealer=sealer,
        signer=signer,
        clock=clock,
        boot_counter=names.boot,
        device_id=names.device_id,
        agent_version=names.agent_version,
        fsync=fsync,
        keyring=keyring,
        plans=plans,
    )
