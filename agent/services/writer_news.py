"""What the card writer says, and what follows from it for session, fleet and faults."""

from __future__ import annotations

import logging

from agent.services.event_outbox import EventOutbox
from agent.services.fault_book import FaultBook
from agent.services.keyring import KeyNote
from agent.services.recording import Recording
from agent.services.session_track import Names
from agent.services.writer import (
    CardState,
    CardWriter,
    ClipFailed,
    ClipLeft,
    ClipThinned,
    FragmentKept,
    RecordLeft,
    Result,
    TidyJob,
)

log = logging.getLogger("recorder")

_TIDY_EVERY_NS = 5_000_000_000


class WriterNews:
    """Used from the service's thread. Counts are since the recorder's start; `card` is the newest
    word on the card, None before the first."""

    def __init__(
        self,
        writer: CardWriter,
        recording: Recording,
        outbox: EventOutbox,
        faults: FaultBook,
        names: Names,
    ) -> None:
        self._writer, self._recording, self._outbox = writer, recording, outbox
        self._faults, self._names = faults, names
        self._next_tidy_ns = 0
        self._tidy_asked = False
        self.frames_written = 0
        self.last_durable_pts_ns: int | None = None
        self.card: CardState | None = None

    def take(self) -> bool:
        """Take what the writer said; True if it said anything."""
        results = self._writer.take_results()
        for result in results:
            self._note(result)
        return bool(results)

    def ask_to_tidy(self, now_ns: int) -> None:
        """Have retention look at the card, every few seconds."""
        if now_ns >= self._next_tidy_ns and not self._tidy_asked:
            self._next_tidy_ns = now_ns + _TIDY_EVERY_NS
            self._tidy_asked = True
            self._writer.submit(TidyJob())

    def _note(self, result: Result) -> None:
        match result:
            case FragmentKept(key, end_pts_ns, frames):
                self.frames_written += frames
                self.last_durable_pts_ns = end_pts_ns
                self._recording.durable(key, end_pts_ns)
            case ClipLeft(key, clip_id, head, recovered) if head is not None:
                self._outbox.tell(
                    "recovered" if recovered else "clip_closed", None, clip_id, "", head
                )
                self._recording.clip_left(key)
            case ClipLeft(key, clip_id):
                self._recording.clip_gone(key, clip_id)
            case ClipFailed():
                self._faults.judge(
                    "writer", f"card refused clip {self._names.clip_id(result.key)}: {result.cause}"
                )
                self._recording.clip_failed(result)
            case RecordLeft(session, session_id, head):
                self._faults.clear("writer")
                self._outbox.tell("clip_closed", session_id, f"{session_id}-record", "", head)
                self._recording.record_left(session)
            case CardState():
                self._note_card(result)
            case ClipThinned(clip_id, cause):
                log.warning("clip %s %s", clip_id, cause)
                self._outbox.tell("thinned", clip_id.rsplit("-", 1)[0], clip_id, cause)
            case KeyNote(text, is_fault) if is_fault:
                self._faults.judge("keys", text)
            case KeyNote(text):
                self._faults.clear("keys")
                self._outbox.tell("order", self._recording.session_id, None, text)

    def _note_card(self, card: CardState) -> None:
        self.card, self._tidy_asked = card, False
        if not card.is_full:
            self._faults.clear("card")
            return
        self._faults.judge(
            "card",
            f"card full: {card.free_bytes // 2**20} MiB free, clips wait for the collector"
            " (connect the camera, or put in a larger card)",
        )
        self._recording.card_full()
