"""The sessions that are not wholly on their shelf yet: from the press to the session record."""

from __future__ import annotations

from collections.abc import Callable

from agent.core.session import Ended
from agent.errors import ControlError
from agent.ports.clock import Clock
from agent.services.session_track import Names, SessionTrack, read_clock
from agent.services.sheet import PressedMark
from agent.services.writer import CardWriter, ClipKey, RecordJob, SessionJob
from agent.wire.label_sheet import DeclaredLabel, Gap
from agent.wire.telemetry import EventKind

Tell = Callable[[EventKind, str | None, str | None, str], None]

MAX_MARKS = 1_000


class SessionBook:
    """Keeps each session's facts, and its stub on the card, until its record is there.

    `tell(kind, session_id, clip_id, text)` hears of what a fleet admin should.
    """

    def __init__(self, names: Names, writer: CardWriter, clock: Clock, tell: Tell) -> None:
        self._names, self._writer, self._clock, self._tell = names, writer, clock, tell
        self._sessions: dict[int, SessionTrack] = {}
        self._declared: dict[int, tuple[DeclaredLabel, ...]] = {}

    def __getitem__(self, session: int) -> SessionTrack:
        return self._sessions[session]

    def declare(self, session: int, declared: tuple[DeclaredLabel, ...]) -> None:
        """What a person said of a session that is about to open."""
        self._declared[session] = declared

    def declare_late(self, session: int, declared: tuple[DeclaredLabel, ...]) -> None:
        """A person said it after the session began: for what is not closed yet, and the record.
        It takes the place of what the same source said before."""
        track = self._sessions.get(session)
        sources = {label.source for label in declared}
        before = self._declared.get(session, ()) if track is None else track.declared
        kept = tuple(label for label in before if label.source not in sources)
        self._declared[session] = (*kept, *declared)
        if track is not None:
            track.declared = self._declared[session]

    def open(
        self,
        session: int,
        *,
        pressed_pts_ns: int | None,
        start_pts_ns: int,
        resumes: str | None,
    ) -> SessionTrack:
        """A session begins. One that the cap began is the same exercise as the one before it."""
        self._declared.setdefault(session, self._declared.get(session - 1, ()))
        track = SessionTrack(
            session_id=self._names.session_id(session),
            pressed_pts_ns=pressed_pts_ns,
            start_pts_ns=start_pts_ns,
            clock=read_clock(self._clock, self._names.boot),
            declared=self._declared[session],
            resumes=resumes,
        )
        self._sessions[session] = track
        self._keep_stub(track, over=False)
        resumed = f"resumes {resumes}" if resumes else ""
        self._tell("session_started", track.session_id, None, resumed)
        return track

    def stop_pressed(self, track: SessionTrack) -> None:
        """From now on a failure of the recorder must not go on with this session."""
        track.stop_pressed = True
        self._keep_stub(track, over=True)

    def tick(self) -> None:
        """Note the clock once it is trusted: what was recorded before gets its wall time by it. It
        is kept on the card at once, for the record of a session that is cut off."""
        for track in self._sessions.values():
            if track.is_timed or track.is_over or self._clock.trust() != "trusted":
                continue
            track.later_clocks.append(read_clock(self._clock, self._names.boot))
            self._keep_stub(track, over=track.stop_pressed)

    def mark(self, session: int, mark: PressedMark) -> None:
        """Raises ControlError when the session has MAX_MARKS already."""
        track = self._sessions[session]
        if len(track.marks) >= MAX_MARKS:
            raise ControlError(f"this session has {MAX_MARKS} marks already, no more are taken")
        track.mark(mark)
        self._tell("mark", track.session_id, None, "")

    def end(
        self, session: int, ended: Ended, stop_pts_ns: int | None, last_gap: Gap | None
    ) -> None:
        """No more clips come; the record waits until the last one is on its shelf."""
        track = self._sessions[session]
        track.ended, track.stop_pts_ns, track.is_over = ended, stop_pts_ns, True
        track.later_clocks.append(read_clock(self._clock, self._names.boot))
        if last_gap is not None:
            track.gaps.append(last_gap)
        if stop_pts_ns is None:
            self._keep_stub(track, over=True)
        self._tell("session_stopped", track.session_id, None, ended)

    def write_record(self, session: int) -> None:
        self._writer.submit(RecordJob(session, self._sessions[session].record(self._names)))

    def record_left(self, session: int) -> None:
        """The record is on its shelf: nothing more of the session is needed."""
        self._sessions.pop(session, None)
        self._declared.pop(session - 1, None)

    def clip_gone(self, key: ClipKey, clip_id: str) -> None:
        """A clip of which nothing reached the card."""
        track = self._sessions.get(key[0])
        if track is not None and clip_id in track.clips:
            track.clips.remove(clip_id)

    def _keep_stub(self, track: SessionTrack, *, over: bool) -> None:
        self._writer.submit(SessionJob(track.stub(self._names.os_boot, over=over)))
