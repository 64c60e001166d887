"""Carries out what the session machine says: packets into clips, clips to the writer, labels after.

Runs on the service's thread and never touches the card. Each clip lives here until its sheet is
made, so several are open at once: one is recorded while others wait for their labels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from agent.config import Recorder as RecorderSettings
from agent.core.byte_rate import ByteRate
from agent.core.label_book import LabelBook
from agent.core.session import (
    Action,
    CloseClip,
    Ended,
    EndSession,
    KeepPacket,
    OpenClip,
    OpenSession,
    SessionMachine,
    SessionRules,
    WritePacket,
    WriteRecord,
)
from agent.errors import AgentError, CameraError
from agent.media.fragments import Fragment, FragmentMuxer
from agent.media.gop_ring import GopRing
from agent.ports.camera import CameraLost, Packet, StreamInfo
from agent.ports.clock import Clock
from agent.services.labelling import ClipLabeller
from agent.services.resuming import RESTARTED, CutSession
from agent.services.session_book import SessionBook, Tell
from agent.services.session_track import ClipTrack, Names, SessionTrack, read_clock
from agent.services.sheet import PressedMark
from agent.services.writer import (
    CardWriter,
    ClipFailed,
    ClipKey,
    FragmentJob,
)
from agent.wire.label_sheet import DeclaredLabel, Gap, ModelProvenance, PreRoll

log = logging.getLogger("recording")

TOO_SLOW = "card too slow"
CARD_FULL = "card full"
_NOBODY_PRESSED: tuple[Ended, ...] = ("camera_lost", "card_full", "low_battery")
_ROUNDING_NS = 1_000_000
_PAUSE_AFTER_CARD_ERROR_NS = 1_000_000_000


class Recording:
    """`tell(kind, session_id, clip_id, text)` hears of everything that a fleet admin should."""

    def __init__(
        self,
        settings: RecorderSettings,
        *,
        names: Names,
        writer: CardWriter,
        book: LabelBook[ModelProvenance],
        clock: Clock,
        tell: Tell,
        tagger_is_silent: Callable[[], bool],
    ) -> None:
        self._settings, self._names, self._writer = settings, names, writer
        self._book, self._clock, self._tell = book, clock, tell
        # As long as the pre-roll may be asked for, and as long as a late camera takes.
        self._standby_ns = round((settings.pre_roll_s + 5.0) * 1e9)
        self.labeller = ClipLabeller(
            book,
            writer,
            names,
            clock,
            grace_ns=round(settings.label_grace_s * 1e9),
            is_silent=tagger_is_silent,
        )
        self.machine = SessionMachine(
            SessionRules(
                clip_ns=round(settings.clip_s * 1e9),
                post_roll_ns=round(settings.post_roll_s * 1e9),
                session_cap_ns=round(settings.session_cap_s * 1e9),
            )
        )
        self.ring = GopRing(settings.pre_roll_s)
        self.byte_rate = ByteRate()
        self.info: StreamInfo | None = None
        self.frames_captured = 0
        self.sessions = SessionBook(names, writer, clock, tell)
        self._current: SessionTrack | None = None
        self._clip: ClipTrack | None = None
        self._gap: tuple[int, str] | None = None
        self._resumes: str | None = None
        self._last_end_pts_ns = 0
        self._resume_at_ns = 0
        self._empty: list[tuple[ClipKey, str]] = []
        # The last session did, and nobody has done anything since.
        self.ended_by_itself = False

    @property
    def clip(self) -> ClipTrack | None:
        return self._clip

    @property
    def recorded_s(self) -> float:
        """Seconds since the current session's first frame."""
        if self._current is None:
            return 0.0
        return max(0, self._last_end_pts_ns - self._current.start_pts_ns) / 1e9

    @property
    def session_id(self) -> str | None:
        session = self.machine.session
        return None if session is None else self._names.session_id(session)

    @property
    def _queue_is_full(self) -> bool:
        return self._writer.counted_s >= self._settings.writer_queue_s

    @property
    def is_settled(self) -> bool:
        """Nothing is recorded and every clip and record is on its shelf."""
        return self.machine.state == "standby"

    def start(self, pts_ns: int, declared: tuple[DeclaredLabel, ...]) -> Callable[[], None]:
        """The start press, decided at once. The returned call then takes the pre-roll: it is made
        after the reply, so that the wearer's answer waits for nothing. Raises ControlError."""
        actions = self.machine.start(pts_ns)
        if self.machine.session is not None:
            self.sessions.declare(self.machine.session, declared)

        def take_pre_roll() -> None:
            self._do_all(actions, None)
            if self._current is None or self._clip is not None:
                return
            for packet in self.ring.take(pts_ns):
                self._do_all(self.machine.packet(packet.pts_ns, packet.keyframe), packet)

        return take_pre_roll

    def stop(self, pts_ns: int) -> None:
        """Raises ControlError when nothing is being recorded."""
        self._do_all(self.machine.stop(pts_ns), None)
        if self._current is not None:
            self.sessions.stop_pressed(self._current)

    def resume(self, cut: CutSession) -> None:
        """Begin a session at once that goes on with one that was cut off; the time between is a
        gap of its first clip."""
        log.warning("going on with session %s, which was cut off", cut.session_id)
        self._resumes = cut.session_id
        self.start(self._clock.boot_ns(), ())()
        self._resumes = None
        self._gap = (cut.end_pts_ns, RESTARTED)

    def mark(self, pts_ns: int, source: str) -> None:
        """Raises ControlError outside recording and post-roll."""
        session = self.machine.mark(pts_ns)
        self.sessions.mark(session, PressedMark(pts_ns=pts_ns, source=source))

    def packet(self, packet: Packet) -> None:
        self.frames_captured += 1
        self.byte_rate.add(packet.pts_ns, len(packet.data))
        if packet.keyframe and self._clip is not None and self._queue_is_full:
            self._break(self.machine.break_clip(block=True), TOO_SLOW, 0)
        self._do_all(self.machine.packet(packet.pts_ns, packet.keyframe), packet)
        self._last_end_pts_ns = packet.pts_ns + packet.duration_ns

    def camera_lost(self, lost: CameraLost) -> None:
        """The pre-roll does not join on to what comes later, so it is forgotten."""
        self.ring.clear()
        self._break(self.machine.camera_lost(), lost.cause, lost.pts_ns)

    def clip_failed(self, failed: ClipFailed) -> None:
        """The card refused a clip: what of it was not durable is a gap."""
        self._tell("fault", self.session_id, self._names.clip_id(failed.key), failed.cause)
        current = self._clip
        if current is not None and current.key == failed.key:
            current.failed = True
            self._resume_at_ns = self._clock.boot_ns() + _PAUSE_AFTER_CARD_ERROR_NS
            self._break(self.machine.break_clip(block=True), failed.cause, 0)
        elif (clip := self.labeller.track(failed.key)) is not None:
            clip.failed = True
            if clip.kept_end_pts_ns < clip.end_pts_ns:
                clip.session.gaps.append(
                    Gap(
                        start_pts_ns=clip.kept_end_pts_ns,
                        end_pts_ns=clip.end_pts_ns,
                        cause=failed.cause,
                    )
                )
        if failed.card_full:
            self.card_full()

    def card_full(self) -> None:
        """Ends the session; what is on the card stays."""
        if self.machine.session is None:
            return
        self._break(self.machine.break_clip(block=True), CARD_FULL, self._last_end_pts_ns)
        self.end_now("card_full")

    def end_now(self, ended: Ended) -> None:
        self._do_all(self.machine.end_now(ended), None)

    def durable(self, key: ClipKey, end_pts_ns: int) -> None:
        """A fragment of clip `key` up to `end_pts_ns` is safe on the card."""
        current = self._clip
        clip = current if current and current.key == key else self.labeller.track(key)
        if clip is not None:
            clip.durable_end_pts_ns = end_pts_ns

    def clip_left(self, key: ClipKey) -> None:
        self._do_all(self.machine.clip_closed(*key), None)

    def clip_gone(self, key: ClipKey, clip_id: str) -> None:
        """A clip of which no fragment reached the card."""
        self.sessions.clip_gone(key, clip_id)
        self.clip_left(key)

    def record_left(self, session: int) -> None:
        self.machine.session_closed(session)
        self.sessions.record_left(session)

    def tick(self) -> bool:
        """What is due by time: labels, closes, late ends, resuming. True if anything was done."""
        now = self._clock.boot_ns()
        self._do_all(self.machine.tick(now), None)
        self.sessions.tick()
        for key, clip_id in self._empty:
            self.clip_gone(key, clip_id)
        self._empty.clear()
        room = self._writer.counted_s <= self._settings.writer_queue_s / 2
        if self.machine.blocked and room and now >= self._resume_at_ns:
            self.machine.unblock()
        done = self.labeller.tick(self._clip)
        clips = (
            self.labeller.waiting if self._clip is None else [self._clip, *self.labeller.waiting]
        )
        oldest = min((clip.start_pts_ns for clip in clips), default=now)
        self._book.forget_before(min(oldest, now - self._standby_ns))
        return done

    def _do_all(self, actions: list[Action], packet: Packet | None) -> None:
        for action in actions:
            self._do(action, packet)

    def _do(self, action: Action, packet: Packet | None) -> None:
        match action:
            case OpenSession(session, pressed):
                self._open_session(session, pressed, packet)
            case OpenClip(session, clip) if packet is not None:
                self._open_clip((session, clip), packet)
            case WritePacket() if packet is not None:
                self._write(packet)
            case KeepPacket() if packet is not None:
                self.ring.push(packet)
            case CloseClip():
                self._finish_clip(None if packet is None else packet.pts_ns)
            case EndSession(session, ended, stop_pts_ns):
                self._end_session(session, ended, stop_pts_ns)
            case WriteRecord(session):
                self.sessions.write_record(session)
            case _:
                pass

    def _open_session(self, session: int, pressed: int | None, packet: Packet | None) -> None:
        began = packet.pts_ns if packet is not None else (pressed or self._clock.boot_ns())
        self._current = self.sessions.open(
            session,
            # Nobody pressed for a session that is gone on with, so it has no pre-roll to state.
            pressed_pts_ns=None if self._resumes else pressed,
            start_pts_ns=began,
            resumes=self._resumes,
        )
        self._gap = None
        self.ended_by_itself = False

    def _open_clip(self, key: ClipKey, packet: Packet) -> None:
        session, info = self.sessions[key[0]], self.info
        if info is None:
            raise CameraError("a packet came before the camera said what it gives")
        gaps: tuple[Gap, ...] = ()
        if self._gap is not None:
            start, cause = self._gap
            gaps = (Gap(start_pts_ns=start, end_pts_ns=max(start, packet.pts_ns), cause=cause),)
            session.gaps += gaps
            self._gap = None
        pre_roll = None
        if not session.clips:
            session.start_pts_ns = packet.pts_ns
            if session.pressed_pts_ns is not None:
                kept_s = max(0, session.pressed_pts_ns - packet.pts_ns) / 1e9
                pre_roll = PreRoll(asked_s=self._settings.pre_roll_s, kept_s=kept_s)
        self._clip = ClipTrack(
            key=key,
            clip_id=self._names.clip_id(key),
            session=session,
            muxer=FragmentMuxer(info.width, info.height, info.frame_rate_hz),
            info=info,
            start_pts_ns=packet.pts_ns,
            end_pts_ns=packet.pts_ns,
            clock=read_clock(self._clock, self._names.boot),
            pre_roll=pre_roll,
            gaps=gaps,
        )
        session.clips.append(self._clip.clip_id)

    def _write(self, packet: Packet) -> None:
        clip = self._clip
        if clip is None:
            return
        try:
            fragment = clip.muxer.push(packet)
        except AgentError as exc:
            log.error("clip %s: %s", clip.clip_id, exc)
            self._break(self.machine.break_clip(block=False), f"not writable: {exc}", 0)
            return
        if fragment is not None:
            self._keep(clip, fragment)

    def _keep(self, clip: ClipTrack, fragment: Fragment) -> None:
        """Give a fragment to the writer, unless its queue is at the bound: then it is dropped."""
        pressed = clip.session.pressed_pts_ns
        counted = pressed is None or fragment.start_pts_ns >= pressed
        # The first fragment is always taken: a clip cannot be without it, and there is one of it.
        if clip.failed or (self._queue_is_full and counted and fragment.index > 0):
            return
        clip.frames += fragment.frames
        clip.end_pts_ns = fragment.end_pts_ns
        self.labeller.fragment_kept(clip, fragment)
        self._writer.submit(
            FragmentJob(
                key=clip.key,
                clip_id=clip.clip_id,
                fragment=fragment,
                gaps=clip.gaps,
                counted=counted,
            )
        )

    def _finish_clip(self, next_pts_ns: int | None) -> None:
        """`next_pts_ns`: the keyframe that follows without a hole, if one does."""
        clip, self._clip = self._clip, None
        if clip is None:
            return
        try:
            fragment = clip.muxer.finish()
        except AgentError as exc:
            log.error("clip %s: %s", clip.clip_id, exc)
            fragment = None
        if fragment is not None:
            # Nominal durations are rounded: where a frame follows, its own time is the end.
            if next_pts_ns and abs(next_pts_ns - fragment.end_pts_ns) < _ROUNDING_NS:
                fragment = msgspec.structs.replace(fragment, end_pts_ns=next_pts_ns)
            self._keep(clip, fragment)
        if clip.frames == 0:
            self._empty.append((clip.key, clip.clip_id))
        else:
            self.labeller.clip_ended(clip)

    def _break(self, actions: list[Action], cause: str, otherwise_pts_ns: int) -> None:
        """Carry out the end of the open clip; a gap begins where its footage ends, or at
        `otherwise_pts_ns` when no clip was open."""
        clip = self._clip
        self._do_all(actions, None)
        if self._current is None:
            return
        if self._gap is None:
            start = otherwise_pts_ns if clip is None else clip.kept_end_pts_ns
            self._gap = (start, cause[:200])
        if clip is not None:
            self._tell("gap", self.session_id, clip.clip_id, cause)

    def _end_session(self, session: int, ended: Ended, stop_pts_ns: int | None) -> None:
        gap, self._gap, self._current = self._gap, None, None
        self.ended_by_itself = ended in _NOBODY_PRESSED
        last = None
        if gap is not None:
            start, cause = gap
            end = max(start, self._last_end_pts_ns, stop_pts_ns or 0)
            last = Gap(start_pts_ns=start, end_pts_ns=end, cause=cause)
        self.sessions.end(session, ended, stop_pts_ns, last)
