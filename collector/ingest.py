"""The collector's main loop: what comes from the broker goes to disk, and is answered.

One thread owns all state. It checks and writes parts itself (a 256 KiB write is 60 us); a worker
syncs, others hash, open and store (`completion`). All rules about parts are in `transfers`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import google_crc32c

from agent.errors import WireError
from agent.ports.broker import Arrived, Broker, BrokerItem, Connected, Disconnected
from agent.wire.topics import UP_MANIFESTS, UP_PARTS, UpClip, parse_up_clip
from agent.wire.transfer import CRC_PROPERTY, Need
from collector.admission import Admission
from collector.answers import Answers
from collector.completion import Completion
from collector.courier import Courier
from collector.depot import Depot
from collector.errors import GoneError, StoreError
from collector.ongoing import Ongoing, OngoingClips
from collector.report import Report
from collector.serving import TargetServer
from collector.workers import Finished, Then, Worker

_IDLE_WAIT_S = 0.05
_BUSY_WAIT_S = 0.002
_ITEMS_PER_STEP = 64
LOOK_EVERY_S = 1.0
_SILENT_S = 600.0


@dataclass(frozen=True)
class Beside:
    """What a collector does beside clips."""

    courier: Courier
    depot: Depot
    server: TargetServer

    def take(self, item: Arrived, now_s: float) -> bool:
        """True when `item` was for one of them. Raises WireError when it cannot be read."""
        return self.courier.take(item) or self.server.take(item) or self.depot.take(item, now_s)

    def connected(self) -> None:
        self.courier.connected()
        self.depot.connected()
        self.server.connected()

    def disconnected(self) -> None:
        self.courier.disconnected()
        self.depot.disconnected()

    def step(self, now_s: float) -> bool:
        happened = [self.courier.step(now_s), self.depot.step(now_s), self.server.step(now_s)]
        return any(happened)


class Ingest:
    """Receives clips. `step` until told to stop, then `close`."""

    def __init__(
        self,
        *,
        broker: Broker,
        answers: Answers,
        admission: Admission,
        completion: Completion,
        clips: OngoingClips,
        beside: Beside,
        syncer: Worker,
        finished: Finished,
        report: Report,
        now_s: Callable[[], float],
        group: str = "",
        on_ready: Callable[[], None],
        on_close: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._broker = broker
        self._answers = answers
        self._admission = admission
        self._completion = completion
        self._clips = clips
        self._beside = beside
        self._syncer = syncer
        self._finished = finished
        self._report = report
        self._now_s = now_s
        self._on_ready = on_ready
        self._on_close = on_close
        self._unacked: dict[tuple[str, str], Ongoing] = {}
        self._syncs = 0
        self._look_due_s = now_s() + LOOK_EVERY_S
        prefix = f"$share/{group}/" if group else ""
        for topics in (UP_MANIFESTS, UP_PARTS, *beside.server.shared_subscriptions):
            broker.subscribe(prefix + topics)
        # Whole to each collector: they are few, and retained or answered by one alone.
        for topics in (*beside.courier.subscriptions, *beside.depot.subscriptions):
            broker.subscribe(topics)

    def start(self) -> None:
        """Take up the transfers that a stop interrupted, then connect. Raises BrokerError."""
        for ongoing in self._admission.resume(self._now_s()):
            self._clips.add(ongoing)
            self._completion.proceed(ongoing)
        self._broker.start()

    def step(self) -> bool:
        """Do what is due; waits a little when there is nothing. True when anything happened."""
        busy = bool(self._syncs or self._unacked or self._completion.is_busy)
        item = self._broker.read(_BUSY_WAIT_S if busy else _IDLE_WAIT_S)
        happened = item is not None
        for _ in range(_ITEMS_PER_STEP):
            if item is None:
                break
            self._take(item)
            item = self._broker.read(0)
        if item is not None:
            self._take(item)
        happened |= self._finished.conclude()
        happened |= self._beside.step(self._now_s())
        self._sync_due()
        self._look_around()
        return happened

    def close(self) -> None:
        """Let the jobs at work end; what is durable stays for the next start."""
        self._broker.stop()
        self._syncer.stop()
        self._completion.close()
        self._beside.depot.close()
        for close in self._on_close:
            close()

    def _take(self, item: BrokerItem) -> None:
        match item:
            case Arrived():
                self._receive(item)
            case Connected():
                self._on_ready()
                self._beside.connected()
                for ongoing in self._clips:
                    if self._is_current(ongoing):
                        self._send_need(ongoing)
            case Disconnected(reason=reason):
                self._beside.disconnected()
                self._report.complain("broker", f"broker: {reason}; trying again")
            case _:
                pass

    def _receive(self, item: Arrived) -> None:
        try:
            if self._beside.take(item, self._now_s()):
                return
            place = parse_up_clip(item.topic)
            if place.part is None:
                self._open(place, item.payload)
            else:
                self._part(place, place.part, item)
        except WireError as error:
            self._report.complain(item.topic.split("/part/")[0], f"{item.topic[:200]}: {error}")

    def _open(self, place: UpClip, payload: bytes) -> None:
        now_s = self._now_s()
        verdict = self._admission.admit(place.device_id, place.clip_id, payload, now_s)
        if not isinstance(verdict, Ongoing):
            self._answers.send(place.device_id, place.clip_id, verdict)
            return
        verdict.heard_s = now_s
        if not self._clips.holds(verdict):
            self._clips.add(verdict)
            self._completion.proceed(verdict)
        self._send_need(verdict)

    def _part(self, place: UpClip, part: int, item: Arrived) -> None:
        now_s = self._now_s()
        ongoing = self._clips.get(place.device_id, place.clip_id)
        if ongoing is None and self._clips.is_shared:
            ongoing = self._admission.opened_elsewhere(place.device_id, place.clip_id, now_s)
            if ongoing is not None:
                self._clips.add(ongoing)
        if ongoing is None:
            return  # the camera's silence timer opens the transfer (again)
        transfer = ongoing.transfer
        offset, length = transfer.span(part)
        if len(item.payload) != length:
            raise WireError(f"{len(item.payload)} bytes where {length} are due")
        sent_crc = item.properties.get(CRC_PROPERTY, "")
        if f"{google_crc32c.value(item.payload):08x}" != sent_crc:
            raise WireError(f"damaged on its way (its CRC-32C is not {sent_crc[:20]!r})")
        ongoing.heard_s = now_s
        self._unacked[ongoing.key] = ongoing
        if transfer.is_written(part):
            transfer.came_again(now_s)
            return
        try:
            ongoing.assembly.write(offset, item.payload)
        except StoreError as error:
            self._disk_refused(ongoing, error)
            return
        transfer.wrote(part, now_s)
        self._completion.proceed(ongoing)

    def _look_around(self) -> None:
        """See what others of the group did: end what they ended, go on with what they left (one
        that was killed says nothing). Let go of transfers whose camera has long been silent."""
        now_s = self._now_s()
        if now_s < self._look_due_s:
            return
        self._look_due_s = now_s + LOOK_EVERY_S
        for ongoing in self._clips:
            if ongoing.is_finishing or ongoing.transfer.is_syncing:
                continue
            if now_s - ongoing.heard_s > _SILENT_S:
                self._completion.let_go(ongoing)
            elif self._clips.is_shared and self._is_current(ongoing):
                self._completion.proceed(ongoing)

    def _is_current(self, ongoing: Ongoing) -> bool:
        """False when another collector ended this transfer: then it is dropped here too."""
        try:
            if not self._clips.is_shared or ongoing.catch_up():
                return True
        except StoreError as error:
            self._disk_refused(ongoing, error)
            return False
        self._completion.let_go(ongoing)
        return False

    def _sync_due(self) -> None:
        now_s = self._now_s()
        for key, ongoing in list(self._unacked.items()):
            transfer = ongoing.transfer
            window = self._clips.window_bytes(ongoing.device_id, transfer.part_bytes, now_s)
            if transfer.ack_due(now_s, window or transfer.part_bytes):
                del self._unacked[key]
                self._sync(ongoing)

    def _sync(self, ongoing: Ongoing) -> None:
        parts = ongoing.transfer.begin_sync()
        assembly, is_shared = ongoing.assembly, self._clips.is_shared

        def job() -> Then:
            try:
                if parts:
                    assembly.sync()
                    record = assembly.record(parts)
                    durable = record.parts() if is_shared else None
                else:
                    durable = assembly.durable_parts() if is_shared else None
            except StoreError as exc:
                error = exc
                return lambda: self._sync_failed(ongoing, error)
            return lambda: self._synced(ongoing, durable)

        self._syncs += 1
        self._syncer.submit(job)

    def _synced(self, ongoing: Ongoing, recorded: set[int] | None) -> None:
        self._syncs -= 1
        ongoing.transfer.synced()
        if recorded is not None:
            ongoing.transfer.recorded(recorded)
        if self._clips.holds(ongoing):
            self._send_need(ongoing)
            self._completion.proceed(ongoing)

    def _sync_failed(self, ongoing: Ongoing, error: StoreError) -> None:
        self._syncs -= 1
        if isinstance(error, GoneError):
            ongoing.transfer.sync_failed()
            self._completion.let_go(ongoing)
        else:
            self._disk_refused(ongoing, error)

    def _disk_refused(self, ongoing: Ongoing, error: StoreError) -> None:
        """Forget what is not durable; the camera keeps the clip and comes again."""
        ongoing.transfer.sync_failed()
        self._unacked.pop(ongoing.key, None)
        if self._clips.holds(ongoing):
            self._completion.put_off(ongoing, error)

    def _send_need(self, ongoing: Ongoing) -> None:
        part_bytes = ongoing.transfer.part_bytes
        window = self._clips.window_bytes(ongoing.device_id, part_bytes, self._now_s())
        need: Need = ongoing.transfer.need(
            ongoing.verified.manifest_sha256, window if window is not None else part_bytes
        )
        self._answers.send(ongoing.device_id, ongoing.clip_id, need)
