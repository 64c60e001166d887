"""The tagger: frames in, scores and tags out. It records nothing and knows no network.

When the model or the accelerator fails, the service stays up: it says the fault once, lets the
watermark go on so that the recorder waits for nothing, and tries again every few seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec
import zmq
from zmq.utils.monitor import parse_monitor_message

from agent.core.picture import LORES_BYTES, LORES_HEIGHT, LORES_WIDTH, Rect
from agent.core.tagging import Change, OpenSpan, Span
from agent.errors import AcceleratorError, AgentError, ModelError, WireError
from agent.ipc import sockets
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
from agent.ports.clock import Clock
from agent.services.frame_reader import FrameReader
from agent.services.looker import Looker
from agent.services.model_keeper import ModelKeeper
from agent.services.shadow_run import ScoredFrame
from agent.services.tagger_model import Scored, TaggerModel

RETRY_S = 5.0
FAILURES_TO_RELOAD = 3
_CLOSE_LINGER_MS = 200

log = logging.getLogger("tagger")

# Takes the first span id to give.
Load = Callable[[int], TaggerModel]


class TaggerCounts(msgspec.Struct):
    """Frames since the start, by what became of them; `holes` were due but never came (`seq`)."""

    received: int = 0
    scored: int = 0
    without_model: int = 0
    failed: int = 0
    malformed: int = 0
    out_of_order: int = 0
    holes: int = 0
    unsent_messages: int = 0


class TaggerService:
    """Receives from `frames`, sends on `scores`; see agent.ipc.messages for what is said.

    `load` makes the model and raises AgentError when it cannot; it is tried at the first step and
    then every RETRY_S until it works. What is sent waits in memory while the recorder is away.
    `looker` looks at the frames that the recorder wants looked at, whether or not a model runs.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        runtime_dir: Path,
        load: Load,
        clock: Clock,
        looker: Looker | None = None,
        keeper: ModelKeeper | None = None,
    ) -> None:
        self._looker = looker
        self.counts = TaggerCounts()
        self._load = load
        self._clock = clock
        self._keeper = keeper
        self._frames = FrameReader(
            sockets.connect(
                context, zmq.PULL, runtime_dir, "frames", high_water=sockets.FRAMES_HIGH_WATER
            )
        )
        self._scores = sockets.connect(
            context, zmq.PUSH, runtime_dir, "scores", high_water=sockets.SCORES_HIGH_WATER
        )
        self._links = self._scores.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._model: TaggerModel | None = None
        self._retry_at_ns = 0
        self._fault = ""
        self._failures = 0
        self._last_seq: int | None = None
        self._last_pts_ns: int | None = None
        self._poller = zmq.Poller()
        self._poller.register(self._frames.socket, zmq.POLLIN)
        if keeper is not None:
            self._poller.register(keeper.wakes, zmq.POLLIN)

    @property
    def fault(self) -> str:
        """Why no scores come, one line with the remedy; empty while all is well."""
        return self._fault

    def step(self) -> bool:
        """Load what is due, announce to a new recorder, take one frame. True if any happened."""
        happened = self._announce_to_new_recorder()
        for seen in () if self._looker is None else self._looker.take():
            self._send(seen)
        if self._keeper is not None:
            happened = self._keeper.step(self) or happened
        if self._model is None and self._clock.boot_ns() >= self._retry_at_ns:
            self._try_to_load()
            happened = True
        parts = self._frames.take()
        if parts is None:
            return happened
        self._take(parts)
        return True

    def wait(self, timeout_s: float) -> None:
        """Sleep until a frame is there, `timeout_s` at most."""
        if not self._frames.is_ahead:
            self._poller.poll(round(timeout_s * 1000))

    def close(self) -> None:
        """Close the open tags and say so, then free accelerator and sockets. Idempotent."""
        if self._scores.closed:
            return
        if self._model is not None:
            if self._last_pts_ns is not None:
                for span in self._model.finish(self._last_pts_ns + 10**9):
                    self._send(_span_message(span))
                self._send(Watermark(scored_through_pts_ns=self._last_pts_ns))
            self._model.close()
            self._model = None
        if self._looker is not None:
            self._looker.close()
        if self._keeper is not None:
            self._keeper.close()
        self._scores.disable_monitor()
        self._links.close(linger=0)
        self._frames.close()
        self._scores.close(linger=_CLOSE_LINGER_MS)

    def replace(self, model: TaggerModel) -> None:
        """Score with `model` from the next frame on; open tags end where the old looked last."""
        self._unload(self._end_ns)
        self._take_up(model)

    def reload(self) -> None:
        """Load what is active now, in place of what scores."""
        self._unload(self._end_ns)
        self._retry_at_ns = 0

    @property
    def _end_ns(self) -> int | None:
        """Just after the newest frame; None before the first one."""
        return None if self._last_pts_ns is None else self._last_pts_ns + 1

    def _unload(self, end_ns: int | None) -> None:
        """Let the model go; tags that are open end at `end_ns`, which no frame has reached."""
        model, self._model = self._model, None
        if model is None:
            return
        if end_ns is not None:
            for span in model.finish(end_ns):
                self._send(_span_message(span))
        try:
            model.close()
        except AcceleratorError as exc:
            log.error("%s", exc)

    def _try_to_load(self) -> None:
        try:
            # Ids from the clock: a tagger that was restarted never repeats one.
            model = self._load(self._clock.boot_ns())
        except AgentError as exc:
            self._retry_at_ns = self._clock.boot_ns() + round(RETRY_S * 1e9)
            if str(exc) != self._fault:
                self._say_fault(str(exc))
            # An accelerator that is missing is no model's fault.
            if self._keeper is not None and isinstance(exc, ModelError):
                self._keeper.broken(self, str(exc))
            return
        self._take_up(model)

    def _take_up(self, model: TaggerModel) -> None:
        self._model, self._failures = model, 0
        about = model.provenance
        log.info("model %s version %d runs on %s", about.name, about.version, about.accelerator)
        if self._keeper is not None:
            self._keeper.loaded(model)
        self._announce()

    def _announce_to_new_recorder(self) -> bool:
        happened = False
        while self._links.poll(0):
            parse_monitor_message(self._links.recv_multipart())
            happened = True
        if happened:
            self._begin_anew()
        return happened

    def _begin_anew(self) -> None:
        """A recorder that knows nothing yet: no tag may refer to what another one was told."""
        self._last_seq = self._last_pts_ns = None
        if self._model is not None:
            self._model.restart()
        self._announce()

    def _announce(self) -> None:
        if self._model is None:
            if not self._fault:
                return  # the first load is still to come
            message: TaggerMessage = TaggerFault(text=self._fault)
        else:
            self._fault = ""
            message = ModelReady(
                provenance=self._model.provenance,
                labels=self._model.labels,
                frame_rate_hz=self._model.frame_rate_hz,
                max_gap_ms=self._model.max_gap_ms,
            )
        self._send(message)

    def _say_fault(self, text: str) -> None:
        """Log a fault once, and tell the recorder of each frame that it costs."""
        if text != self._fault:
            log.error("%s", text)
        self._fault = text
        self._send(TaggerFault(text=text))

    def _take(self, parts: list[bytes]) -> None:
        self.counts.received += 1
        header = self._header_of(parts)
        if header is None:
            self.counts.malformed += 1
            return
        if self._last_seq is not None and header.seq <= self._last_seq:
            # Sequence numbers start again only with a new recorder.
            self._begin_anew()
        if self._last_seq is not None:
            self.counts.holes += header.seq - self._last_seq - 1
        self._last_seq = header.seq
        if self._last_pts_ns is not None and header.pts_ns <= self._last_pts_ns:
            self.counts.out_of_order += 1
            return
        self._last_pts_ns = header.pts_ns
        if header.look and self._looker is not None:
            self._looker.look(header.pts_ns, parts[1], LORES_WIDTH, _active(header))
        if header.score:
            self._score(header, parts[1])

    def _header_of(self, parts: list[bytes]) -> FrameHeader | None:
        """The header of a well-formed message, else None with the reason said once."""
        try:
            if len(parts) != 2 or len(parts[1]) != LORES_BYTES:
                raise WireError(f"frame message of parts {[len(p) for p in parts][:4]} bytes")
            header: FrameHeader = unpack(FrameHeader, parts[0])
            if not Rect(0, 0, LORES_WIDTH, LORES_HEIGHT).holds(_active(header)):
                raise WireError(f"frame {header.seq}: active rectangle outside the picture")
        except WireError as exc:
            self._say_fault(f"frames from the recorder are malformed ({exc}): same versions?")
            return None
        return header

    def _score(self, header: FrameHeader, i420: bytes) -> None:
        model = self._model
        if model is None:
            self.counts.without_model += 1
            self._send(Watermark(scored_through_pts_ns=header.pts_ns))
            return
        began_ns = self._clock.boot_ns()
        try:
            scored = model.score_picture(header.pts_ns, self._frames.picture(model))
        except AcceleratorError as exc:
            self._lose_frame(header, str(exc))
            return
        except ValueError as exc:
            # A rectangle too small for the model's crop: this frame only.
            self.counts.malformed += 1
            self._say_fault(f"frame cannot be scored ({exc}): check the camera's geometry")
            return
        self.counts.scored += 1
        self._failures = 0
        # To the recorder a score is the end of a fault.
        self._fault = ""
        if self._keeper is not None:
            took_ns = self._clock.boot_ns() - began_ns
            active = _active(header)
            self._keeper.scored(ScoredFrame(header.pts_ns, took_ns, scored.scores, i420, active))
        self._say(header.pts_ns, scored)

    def _lose_frame(self, header: FrameHeader, text: str) -> None:
        self.counts.failed += 1
        self._failures += 1
        self._say_fault(text)
        if self._failures >= FAILURES_TO_RELOAD:
            self._unload(header.pts_ns)
            self._retry_at_ns = self._clock.boot_ns() + round(RETRY_S * 1e9)
            if self._keeper is not None:
                self._keeper.broken(self, text)
            self._send(Watermark(scored_through_pts_ns=header.pts_ns))

    def _say(self, pts_ns: int, scored: Scored) -> None:
        self._send(FrameScores(pts_ns=pts_ns, scores=scored.scores))
        for change in scored.changes:
            self._send(_span_message(change))
        for span in scored.open_spans:
            self._send(
                SpanSoFar(
                    span_id=span.span_id,
                    label=span.label,
                    start_pts_ns=span.start_ns,
                    peak=span.peak,
                    mean=span.mean,
                )
            )
        self._send(Watermark(scored_through_pts_ns=scored.settled_through_ns))

    def _send(self, message: TaggerMessage) -> None:
        try:
            self._scores.send(pack(message), zmq.NOBLOCK)
        except zmq.Again:
            # Hours of scores are waiting for a recorder that does not come back.
            self.counts.unsent_messages += 1


def _active(header: FrameHeader) -> Rect:
    return Rect(header.active_x, header.active_y, header.active_width, header.active_height)


def _span_message(change: Change) -> SpanOpened | SpanClosed:
    if isinstance(change, OpenSpan):
        return SpanOpened(span_id=change.span_id, label=change.label, start_pts_ns=change.start_ns)
    return _closed(change)


def _closed(span: Span) -> SpanClosed:
    return SpanClosed(
        span_id=span.span_id,
        label=span.label,
        start_pts_ns=span.start_ns,
        end_pts_ns=span.end_ns,
        peak=span.peak,
        mean=span.mean,
    )
