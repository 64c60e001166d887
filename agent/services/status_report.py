"""The recorder's state as one snapshot, and the facts that a pre-flight judges."""

from __future__ import annotations

from agent.config import Settings
from agent.core.label_book import LabelBook
from agent.core.lens import Lens
from agent.core.preflight import Facts
from agent.ipc.messages import RecorderStatus
from agent.ports.clock import Clock
from agent.services.fault_book import FaultBook
from agent.services.governing import Governing
from agent.services.hands import Hands
from agent.services.power_guard import PowerGuard
from agent.services.recording import Recording
from agent.services.session_track import Names
from agent.services.start_desk import StartDesk
from agent.services.tagger_link import TaggerLink
from agent.services.vault import Vault
from agent.services.writer import CardWriter
from agent.services.writer_news import WriterNews
from agent.wire.label_sheet import ModelProvenance

_LATELY_NS = 10_000_000_000
_ANSWER_NS = 2_000_000_000


class StatusReport:
    """Asks the recorder's parts; touches no card."""

    def __init__(
        self,
        settings: Settings,
        names: Names,
        clock: Clock,
        *,
        recording: Recording,
        book: LabelBook[ModelProvenance],
        tagger: TaggerLink,
        writer: CardWriter,
        news: WriterNews,
        vault: Vault,
        power: PowerGuard,
        governing: Governing,
        hands: Hands,
    ) -> None:
        self._settings, self._names, self._clock = settings, names, clock
        self._recording, self._book, self._tagger = recording, book, tagger
        self._writer, self._news, self._vault = writer, news, vault
        self._power, self._governing, self._hands = power, governing, hands

    @property
    def card_is_nearly_full(self) -> bool:
        minutes = self.card_minutes_left()
        return minutes is not None and minutes < self._settings.recorder.least_card_minutes

    def status(self, faults: FaultBook, start_desk: StartDesk) -> RecorderStatus:
        """`faults`: those of the recorder's own parts, the model's are added."""
        now = self._clock.boot_ns()
        recording, model, card = self._recording, self._book.model, self._news.card
        lately = self._book.view(
            now - _LATELY_NS - _ANSWER_NS, now - _ANSWER_NS, silent=self._tagger.is_silent
        )
        lines = faults.lines()
        if self._book.fault is not None:
            lines.append(self._book.fault)
        return RecorderStatus(
            device_id=self._names.device_id,
            agent_version=self._names.agent_version,
            state=recording.machine.state,
            session_id=recording.session_id,
            clip_id=None if recording.clip is None else recording.clip.clip_id,
            recorded_s=recording.recorded_s,
            pre_roll_ready_s=recording.ring.ready_s(now),
            pre_roll_asked_s=self._settings.recorder.pre_roll_s,
            pre_roll_bytes=recording.ring.bytes,
            frames_captured=recording.frames_captured,
            frames_written=self._news.frames_written,
            last_durable_pts_ns=self._news.last_durable_pts_ns,
            writer_queue_s=self._writer.queued_s,
            writer_stalls=self._writer.stalls,
            tagger=self._tagger.state,
            model=self._model_name() or None,
            accelerator=None if model is None else model.accelerator,
            coverage_lately=lately.share if lately.due else None,
            clock_trust=self._clock.trust(),
            free_bytes=0 if card is None else card.free_bytes,
            card_minutes_left=self.card_minutes_left(),
            battery_percent=self._power.reading.percent,
            on_mains=self._power.reading.on_mains,
            keys_order=self._vault.keys_order,
            indication=self._hands.shown,
            faults=tuple(text[:500] for text in lines),
            parts_at_fault=faults.parts(),
            card_shown=start_desk.card_shown,
            plan=start_desk.plan,
            preflight=start_desk.preflight().line,
            scoring=self._governing.line(),
        )

    def preflight_facts(self, lens: Lens) -> Facts:
        """What a pre-flight judges."""
        model, runs = self._book.model, self._tagger.state == "ready"
        return Facts(
            lens=lens,
            clock_is_trusted=self._clock.trust() == "trusted",
            card_minutes=self.card_minutes_left(),
            least_card_minutes=self._settings.recorder.least_card_minutes,
            battery_percent=self._power.reading.percent,
            on_mains=self._power.reading.on_mains,
            low_battery=self._power.line(),
            model=self._model_name() if runs else "",
            accelerator="" if model is None else model.accelerator,
            model_problem=self._book.fault or f"tagger {self._tagger.state}",
        )

    def _model_name(self) -> str:
        model = self._book.model
        return "" if model is None else f"{model.name} {model.semver}"

    def card_minutes_left(self) -> float | None:
        """How long the card still takes footage at the present rate; None before its first word."""
        if self._news.card is None:
            return None
        rate = self._recording.byte_rate.per_s or self._settings.encoder.bitrate_kbps * 125
        return self._news.card.room_bytes / rate / 60
