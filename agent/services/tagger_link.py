"""The recorder's side of the tagger: frames out, scores in. Recording never depends on it."""

from __future__ import annotations

import logging
from typing import Literal

import zmq

from agent.core.label_book import QUEUE_FULL, STANDBY_OFF, TAGGER_NOT_RUNNING, FramePacer, LabelBook
from agent.errors import WireError
from agent.ipc.messages import (
    FrameHeader,
    FrameScores,
    ModelReady,
    SpanClosed,
    SpanOpened,
    SpanSoFar,
    TaggerFault,
    TaggerMessage,
    Watermark,
    pack,
    unpack,
)
from agent.ports.camera import LoresFrame
from agent.ports.clock import Clock
from agent.wire.label_sheet import ModelProvenance

log = logging.getLogger("tagger-link")

SILENT_AFTER_NS = 2_000_000_000
_MAX_MESSAGES_A_STEP = 500

TaggerState = Literal["ready", "starting", "fault", "silent"]


class TaggerLink:
    """Offers frames at the model's rate and fills the label book with what comes back."""

    def __init__(
        self,
        frames: zmq.Socket[bytes],
        scores: zmq.Socket[bytes],
        book: LabelBook[ModelProvenance],
        clock: Clock,
    ) -> None:
        self._frames, self._scores, self._book, self._clock = frames, scores, book, clock
        self._pacer = FramePacer()
        self._seq = 0
        self._heard_ns: int | None = None
        self._offered_ns: int | None = None

    @property
    def is_silent(self) -> bool:
        """No word from a tagger lately."""
        heard = self._heard_ns
        return heard is None or self._clock.boot_ns() - heard > SILENT_AFTER_NS

    @property
    def state(self) -> TaggerState:
        """With no frames offered a tagger has nothing to say: it is not called silent then."""
        if self._book.fault is not None:
            return "fault"
        if self._heard_ns is None:
            return "starting"
        offered = self._offered_ns
        if self.is_silent and offered is not None and offered > self._heard_ns + SILENT_AFTER_NS:
            return "silent"
        return "ready" if self._book.model is not None else "starting"

    def offer(self, frame: LoresFrame, *, wanted: bool) -> None:
        """Send the frame if it is due; `wanted` is false in standby when scoring is off there."""
        if not self._pacer.is_due(frame.pts_ns):
            return
        self._seq += 1
        if not wanted:
            self._book.frame_due(frame.pts_ns, STANDBY_OFF)
            return
        header = FrameHeader(self._seq, frame.pts_ns, *frame.active)
        self._offered_ns = self._clock.boot_ns()
        try:
            self._frames.send_multipart([pack(header), frame.data], zmq.NOBLOCK)
        except zmq.Again:
            cause = TAGGER_NOT_RUNNING if self.is_silent else QUEUE_FULL
            self._book.frame_due(frame.pts_ns, cause)
            return
        self._book.frame_due(frame.pts_ns)

    def dropped(self, pts_ns: int) -> None:
        """A picture that was lost on the way to this link."""
        if self._pacer.is_due(pts_ns):
            self._seq += 1
            self._book.frame_due(pts_ns, QUEUE_FULL)

    def receive(self) -> bool:
        """Take what the tagger said; True if anything came."""
        for count in range(_MAX_MESSAGES_A_STEP):
            try:
                payload = self._scores.recv(zmq.NOBLOCK)
            except zmq.Again:
                return count > 0
            self._heard_ns = self._clock.boot_ns()
            try:
                self._note(unpack(TaggerMessage, payload))
            except WireError as exc:
                log.warning("tagger: %s", exc)
        return True

    def _note(self, message: TaggerMessage) -> None:
        book = self._book
        match message:
            case ModelReady():
                book.model_ready(message.provenance, message.labels)
                self._pacer.set_rate(message.frame_rate_hz)
            case FrameScores():
                book.scores(message.pts_ns, message.scores)
            case SpanOpened():
                book.span_opened(message.span_id, message.label, message.start_pts_ns)
            case SpanSoFar():
                book.span_so_far(
                    message.span_id, message.label, message.start_pts_ns, message.peak, message.mean
                )
            case SpanClosed():
                book.span_closed(
                    message.span_id,
                    message.label,
                    message.start_pts_ns,
                    message.end_pts_ns,
                    message.peak,
                    message.mean,
                )
            case Watermark():
                book.watermark(message.scored_through_pts_ns)
            case TaggerFault():
                book.model_failed(message.text)
