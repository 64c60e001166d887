"""The recorder's side of the tagger: frames out, scores in. Recording never depends on it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

import zmq

from agent.core.governor import Throttle
from agent.core.label_book import QUEUE_FULL, STANDBY_OFF, TAGGER_NOT_RUNNING, FramePacer, LabelBook
from agent.errors import WireError
from agent.ipc.messages import (
    CodeSeen,
    FrameHeader,
    FrameScores,
    LensSeen,
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
# Looks at the lens, and for cards while one would count.
LOOK_HZ = 2.5
SELDOM_HZ = 0.2

TaggerState = Literal["ready", "starting", "fault", "silent"]


class TaggerLink:
    """Offers frames at the model's rate and fills the label book with what comes back. `seen` hears
    what was seen besides: codes, and the state of the lens."""

    def __init__(
        self,
        frames: zmq.Socket[bytes],
        scores: zmq.Socket[bytes],
        book: LabelBook[ModelProvenance],
        clock: Clock,
    ) -> None:
        self._frames, self._scores, self._book, self._clock = frames, scores, book, clock
        self.seen: Callable[[CodeSeen | LensSeen], None] = lambda _seen: None
        self._looks = FramePacer(SELDOM_HZ)
        self._throttle = Throttle()
        self._halves = True
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

    def look_often(self, often: bool) -> None:
        """A card that is shown now would count."""
        self._looks.set_rate(LOOK_HZ if often else SELDOM_HZ)

    def govern(self, throttle: Throttle) -> None:
        """How many of the frames that are due the model sees from now on."""
        self._throttle = throttle

    def offer(self, frame: LoresFrame, *, wanted: bool) -> None:
        """Send the frame if it is due; `wanted` is false in standby when scoring is off there."""
        if not self._pacer.is_due(frame.pts_ns):
            return
        self._seq += 1
        unscored = self._spared() if wanted else STANDBY_OFF
        look = self._looks.is_due(frame.pts_ns)
        if unscored and not look:
            self._book.frame_due(frame.pts_ns, unscored)
            return
        header = FrameHeader(self._seq, frame.pts_ns, *frame.active, score=not unscored, look=look)
        self._offered_ns = self._clock.boot_ns()
        try:
            self._frames.send_multipart([pack(header), frame.data], zmq.NOBLOCK)
        except zmq.Again:
            unscored = unscored or (TAGGER_NOT_RUNNING if self.is_silent else QUEUE_FULL)
        self._book.frame_due(frame.pts_ns, unscored or None)

    def _spared(self) -> str:
        """Why the governor spares the model this frame; "" when it does not. A model that begins
        anew after a gap of two frame times gets nothing out of half of them, so none is sent."""
        pace = self._throttle.pace
        if pace == "full" or (pace == "half" and self._halves and self._seq % 2 == 0):
            return ""
        return self._throttle.cause

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
                self._halves = 2_000 / message.frame_rate_hz <= message.max_gap_ms
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
            case CodeSeen() | LensSeen():
                self.seen(message)
