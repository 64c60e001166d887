"""Moves clips: several transfers over one window, until the signed receipt is in the spool.

Parts go out at QoS 1: it costs nothing measurable on 256 KiB, and the PUBACK says at once when
nobody is subscribed. What is stored is known from the collector's Need alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

import google_crc32c
import msgspec

from agent.config import Uplink as UplinkSettings
from agent.core.part_size import CRAWL_BYTES_PER_S, part_bytes_for
from agent.core.token_bucket import TokenBucket
from agent.core.transfer import SendOpen, SendPart, Transfer
from agent.core.upload_order import BODIES, Job, rank
from agent.core.upload_window import UploadWindow
from agent.errors import CustodyError, SpoolError, WireError
from agent.ports.broker import Arrived, Broker, Connected, Settled
from agent.services.uplink_outbox import Clip, Outbox, PartReader
from agent.wire.codec import decode_union
from agent.wire.topics import parse_down_clip, up_manifest, up_part
from agent.wire.transfer import (
    CRC_PROPERTY,
    ClipState,
    Later,
    Need,
    Stored,
    unpack_have,
)

log = logging.getLogger("sightline.uplink")

_STUCK_NS = 10 * 1_000_000_000
_WORDS_NS = 15 * 1_000_000_000
_PARALLEL = 6
_PARALLEL_OPENING = 2
_PARTS_PER_STEP = 8
_CARD_PAUSE_S = 30.0
_LOOK_EVERY_NS = 50_000_000


class _Active(msgspec.Struct):
    """One clip on its way."""

    job: Job
    clip: Clip
    transfer: Transfer
    reader: PartReader
    began_ns: int


class _Published(msgspec.Struct, frozen=True):
    """A message that the broker has not settled yet."""

    clip_id: str
    action: SendOpen | SendPart
    size_bytes: int
    sent_ns: int


class Sender:
    """The outbox, emptied over the broker. `report` takes one line for each fault.

    Nothing here blocks, and nothing is retried without a timer between.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        outbox: Outbox,
        device_id: str,
        settings: UplinkSettings,
        random: Callable[[], float],
        report: Callable[[str], None],
    ) -> None:
        self._broker = broker
        self._outbox = outbox
        self._device_id = device_id
        self._settings = settings
        self._random = random
        self._report = report
        self._window = UploadWindow(settings.window_cap_bytes)
        rate = settings.bandwidth_cap_kbps * 1000 / 8
        self._bucket = TokenBucket(rate, max(2 * settings.part_bytes, int(rate / 10)))
        self._active: dict[str, _Active] = {}
        self._tokens: dict[int, _Published] = {}
        self._max_payload_bytes = 0
        self._granted_bytes = 0
        self._look_due_ns = 0
        self._collector_answers = False
        self._last_rate_bytes_per_s = 0.0
        self.requested: set[str] = set()

    @property
    def goodput_bytes_per_s(self) -> float:
        return self._window.goodput_bytes_per_s

    @property
    def in_flight_bytes(self) -> int:
        return sum(active.transfer.in_flight_bytes for active in self._active.values())

    @property
    def has_unsettled(self) -> bool:
        """Something was published that has perhaps not left this machine."""
        return bool(self._tokens)

    @property
    def resent_bytes(self) -> int:
        """Of the transfers under way."""
        return sum(active.transfer.resent_bytes for active in self._active.values())

    def connected(self, item: Connected, now_ns: int) -> None:
        self._max_payload_bytes = item.max_payload_bytes
        self._window = UploadWindow(self._settings.window_cap_bytes, self._last_rate_bytes_per_s)
        for active in self._active.values():
            active.transfer.shrink_parts(self._part_bytes(), now_ns)

    def disconnected(self, now_ns: int) -> None:
        self._max_payload_bytes = 0
        self._collector_answers = False
        self._last_rate_bytes_per_s = self._rate_bytes_per_s()
        if any(each.transfer.untaken_ns(now_ns) > _STUCK_NS for each in self._active.values()):
            # not one part got through: whatever was measured before, begin with the smallest
            self._last_rate_bytes_per_s = CRAWL_BYTES_PER_S / 8
        self._tokens.clear()
        for active in self._active.values():
            active.transfer.disconnected(now_ns)

    def settled(self, item: Settled, now_ns: int) -> bool:
        """True when the token was one of ours."""
        found = self._tokens.pop(item.token, None)
        if found is None:
            return False
        if isinstance(found.action, SendOpen):
            self._window.sent_large(found.size_bytes, now_ns - found.sent_ns)
        active = self._active.get(found.clip_id)
        if active is None:
            return True
        if item.outcome == "taken":
            active.transfer.taken(found.action, now_ns)
        else:
            if item.outcome == "refused":
                self._report(f"clip {found.clip_id}: {item.reason}")
            else:
                self._collector_answers = False
            active.transfer.undelivered(found.action, now_ns)
        return True

    def small_round_trip(self, round_trip_ns: int) -> None:
        """How long the broker took to settle a message of a few hundred bytes."""
        self._window.small_round_trip(round_trip_ns)

    def arrived(self, item: Arrived, now_ns: int) -> None:
        """An answer of the collector. Rubbish and what is stale change nothing."""
        try:
            device_id, clip_id = parse_down_clip(item.topic)
            message: ClipState = decode_union(ClipState, item.payload)
        except WireError as exc:
            self._report(f"answer on {item.topic[:120]} not understood ({exc})")
            return
        active = self._active.get(clip_id)
        if device_id != self._device_id or active is None:
            return
        if message.manifest_sha256 != active.clip.manifest_sha256:
            return
        self._collector_answers = True
        try:
            self._take_answer(active, message, now_ns)
        except (WireError, CustodyError) as exc:
            self._end(clip_id)
            self._outbox.set_aside(clip_id, f"clip {clip_id}: answer not taken: {exc}", now_ns)
        except SpoolError as exc:
            self._end(clip_id)
            why = f"clip {clip_id}: receipt not kept: {exc}"
            self._outbox.set_aside(clip_id, why, now_ns, _CARD_PAUSE_S)

    def step(self, now_ns: int, *, may_send: bool = True) -> bool:
        """Send what is due and fits, nothing unless `may_send`. True when anything was sent."""
        if self._max_payload_bytes <= 0:
            return False
        if not may_send:
            self._drop_vanished()
            return False
        is_look_due = now_ns >= self._look_due_ns
        if is_look_due:
            self._look_due_ns = now_ns + _LOOK_EVERY_NS
            for active in self._active.values():
                if active.transfer.expire(now_ns, self._window.timeout_ns):
                    self._window.lost(now_ns)
            self._drop_vanished()
        self._start_more(now_ns, is_look_due)
        actives = self._by_urgency()
        if not self._collector_answers:
            actives = actives[:1]  # one clip's Open asks for all, until somebody answers
        elif any(self._words_are_due(each, now_ns) for each in actives):
            # a part of a body would be seconds of a thin link in the way of the next words
            actives = [each for each in actives if rank(each.job, self.requested) < BODIES]
        sent = 0
        for active in actives:  # Opens first: their answers take a round trip
            if active.transfer.phase == "opening":
                sent += self._send_one(active, now_ns)
        for active in actives:
            while sent < _PARTS_PER_STEP and self._send_one(active, now_ns):
                sent += 1
        return sent > 0

    def close(self) -> None:
        for active in self._active.values():
            active.reader.close()

    def _take_answer(self, active: _Active, message: ClipState, now_ns: int) -> None:
        clip_id = active.clip.clip_id
        if isinstance(message, Need):
            self._take_need(active, message, now_ns)
        elif isinstance(message, Later):
            log.info("collector asks to wait %.0f s: %s", message.delay_s, message.why)
            active.transfer.later(message.delay_s, now_ns)
        elif isinstance(message, Stored):
            self._outbox.keep_receipt(active.clip, message.receipt)
            resent = active.transfer.resent_bytes
            log.info("clip %s is stored (%d of its bytes were sent again)", clip_id, resent)
            self._end(clip_id)
        else:
            why = self._outbox.keep_refusal(active.clip, message.refusal)
            self._report(f"clip {clip_id}: the collector will never take it: {why}")
            self._end(clip_id)

    def _take_need(self, active: _Active, need: Need, now_ns: int) -> None:
        transfer = active.transfer
        if need.part_bytes > self._max_payload_bytes > 0:
            raise WireError(
                f"need: parts of {need.part_bytes} bytes are more than the broker takes"
            )
        parts = max(1, -(-transfer.total_bytes // need.part_bytes))
        if need.contiguous > parts:
            raise WireError(f"need: names part {need.contiguous - 1} of a clip of {parts}")
        is_first, asked_bytes = transfer.phase == "opening", transfer.part_bytes
        learnt = transfer.need(
            unpack_have(need, parts),
            need.part_bytes,
            now_ns,
            window_bytes=need.window_bytes,
            overtaken_ns=self._window.overtaken_ns,
        )
        self._granted_bytes = need.window_bytes
        self._window.acked(learnt.acked_bytes, need.part_bytes, learnt.round_trip_ns, now_ns)
        if learnt.lost_parts:
            self._window.lost(now_ns)
        # The Open told how thin the link is; what was asked for and not given is not asked again.
        if is_first and not transfer.durable_parts and self._part_bytes() < asked_bytes:
            transfer.shrink_parts(self._part_bytes(), now_ns)
        if active.job.only_words and transfer.has_reached_aim:
            self._words_arrived(active)

    def _words_arrived(self, active: _Active) -> None:
        """Leave the clip until its body is due; at once when nothing else is to be sent first."""
        clip_id = active.clip.clip_id
        self._outbox.words_arrived(clip_id)
        self._look_due_ns = 0  # the next words, before a body's part comes in between
        following = self._next_job(()) if len(self._active) == 1 else None
        if following is not None and following.clip.clip_id == clip_id:
            active.job = following
            active.transfer.aim(active.transfer.total_bytes)
        else:
            self._end(clip_id)

    def _next_job(self, taken: Collection[str]) -> Job | None:
        return self._outbox.next(
            requested=self.requested, taken=taken, rate_bytes_per_s=self._rate_bytes_per_s()
        )

    def _rate_bytes_per_s(self) -> float:
        """What the link carries, as last measured (over this connection or the one before), and
        what the admin allows of it; 0: not known yet."""
        window = self._window
        rate = (
            window.goodput_bytes_per_s
            or window.early_rate_bytes_per_s
            or self._last_rate_bytes_per_s
        )
        cap = self._settings.bandwidth_cap_kbps * 1000 / 8
        return min(rate or cap, cap or rate)

    def _send_one(self, active: _Active, now_ns: int) -> bool:
        action = active.transfer.next_send(now_ns, self._room_bytes())
        if action is None:
            return False
        size = (
            action.size_bytes if isinstance(action, SendPart) else active.transfer.part_bytes // 8
        )
        if self._bucket.wait_ns(size, now_ns):
            return False
        try:
            token, sent_bytes = self._publish(active, action)
        except SpoolError as exc:
            clip_id = active.clip.clip_id
            self._end(clip_id)
            self._outbox.set_aside(clip_id, f"clip {clip_id} cannot be sent: {exc}", now_ns)
            return False
        if token is None:
            return False
        self._bucket.take(size, now_ns)
        self._tokens[token] = _Published(active.clip.clip_id, action, sent_bytes, now_ns)
        active.transfer.sent(action, now_ns)
        return True

    def _room_bytes(self) -> int:
        """What may go out now: our own window, and what the collector grants to this device."""
        in_flight = self.in_flight_bytes
        room = self._window.room_bytes(in_flight)
        return min(room, max(0, self._granted_bytes - in_flight)) if in_flight > 0 else room

    def _publish(self, active: _Active, action: SendOpen | SendPart) -> tuple[int | None, int]:
        """The token, and how large the message is."""
        clip_id = active.clip.clip_id
        if isinstance(action, SendOpen):
            payload = self._outbox.open_message(clip_id, action.part_bytes)
            topic, properties = up_manifest(self._device_id, clip_id), None
        else:
            payload = active.reader.read(action.offset_bytes, action.size_bytes)
            topic = up_part(self._device_id, clip_id, action.part)
            properties = {CRC_PROPERTY: f"{google_crc32c.value(payload):08x}"}
        return self._broker.publish(topic, payload, qos=1, properties=properties), len(payload)

    def _words_are_due(self, active: _Active, now_ns: int) -> bool:
        """Words on their way, of which the collector has not failed to speak."""
        is_fresh = now_ns - active.began_ns < _WORDS_NS
        return active.job.only_words and is_fresh and not active.transfer.is_held(now_ns)

    def _start_more(self, now_ns: int, is_look_due: bool) -> None:
        """Take up the next clip before the link runs dry, or at the next look (through an outbox
        that may be long) when it is more urgent."""
        transfers = [active.transfer for active in self._active.values()]
        if any(transfer.is_held(now_ns) for transfer in transfers):
            return
        opening = sum(transfer.phase == "opening" for transfer in transfers)
        if len(transfers) >= _PARALLEL + _PARALLEL_OPENING or opening >= _PARALLEL_OPENING:
            return
        unsent = sum(t.unsent_bytes() for t in transfers if t.phase == "sending")
        runs_dry = opening == 0 and unsent < 2 * self._window.size_bytes
        if not runs_dry and not is_look_due:
            return
        best = self._next_job(self._active)
        if best is None:
            return
        urgency = rank(best, self.requested)
        overtakes = all(
            urgency < rank(active.job, self.requested)
            for active in self._active.values()
            if active.transfer.phase != "waiting"
        )
        if overtakes or (runs_dry and len(transfers) < _PARALLEL):
            self._start(best, now_ns)

    def _start(self, job: Job, now_ns: int) -> None:
        clip_id = job.clip.clip_id
        try:
            clip = self._outbox.load(clip_id)
        except SpoolError as exc:
            self._outbox.set_aside(clip_id, f"clip {clip_id} cannot be sent: {exc}", now_ns)
            return
        transfer = Transfer(
            total_bytes=clip.manifest.total_bytes,
            part_bytes=self._part_bytes(),
            now_ns=now_ns,
            random=self._random,
        )
        if job.only_words:
            transfer.aim(job.clip.words_bytes)
        self._active[clip_id] = _Active(
            job, clip, transfer, self._outbox.parts_of(clip), began_ns=now_ns
        )

    def _part_bytes(self) -> int:
        return part_bytes_for(
            self._rate_bytes_per_s(), self._settings.part_bytes, self._max_payload_bytes
        )

    def _by_urgency(self) -> list[_Active]:
        return sorted(
            self._active.values(),
            key=lambda active: (rank(active.job, self.requested), active.clip.clip_id),
        )

    def _drop_vanished(self) -> None:
        """Clips that another process took out of the outbox."""
        for clip_id in [each for each in self._active if not self._outbox.holds(each)]:
            self._end(clip_id)

    def _end(self, clip_id: str) -> None:
        active = self._active.pop(clip_id, None)
        if active is not None:
            active.reader.close()
        self.requested.discard(clip_id)
