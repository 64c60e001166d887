"""What the recorder remembers of a session and of a clip while they are open."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from agent.core.session import Ended
from agent.media.fragments import FragmentMuxer
from agent.ports.camera import StreamInfo
from agent.ports.clock import Clock
from agent.services.sheet import ClipFacts, PressedMark
from agent.services.vault import SessionStub
from agent.services.writer import ClipKey
from agent.wire.label_sheet import ClockReading, DeclaredLabel, Gap, PreRoll, SessionRecord


@dataclass(slots=True)
class Names:
    """What ids and provenance are made of."""

    device_id: str
    epoch: str
    boot: int
    agent_version: str
    os_boot: str = ""

    def session_id(self, session: int) -> str:
        return f"{self.device_id}-{self.epoch}-{self.boot:06d}-{session:04d}"

    def clip_id(self, key: ClipKey) -> str:
        return f"{self.session_id(key[0])}-{key[1]:04d}"


def read_clock(clock: Clock, boot_counter: int) -> ClockReading:
    """All that the clocks say now."""
    return ClockReading(
        boot_counter=boot_counter,
        mono_ns=clock.boot_ns(),
        wall_ns=clock.wall_ns(),
        trust=clock.trust(),
    )


@dataclass(slots=True)
class SessionTrack:
    """One session: marks, gaps and clips in order. Times in pts."""

    session_id: str
    pressed_pts_ns: int | None
    start_pts_ns: int
    clock: ClockReading
    declared: tuple[DeclaredLabel, ...]
    resumes: str | None = None
    later_clocks: list[ClockReading] = field(default_factory=list)
    marks: list[PressedMark] = field(default_factory=list)
    late_marks_pts_ns: list[int] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    clips: list[str] = field(default_factory=list)
    described: list[tuple[int, int]] = field(default_factory=list)
    stop_pts_ns: int | None = None
    stop_pressed: bool = False
    ended: Ended = "stopped"
    is_over: bool = False

    def mark(self, mark: PressedMark) -> None:
        """A mark in a clip whose sheet is made already is kept as late, for the record."""
        self.marks.append(mark)
        if any(start <= mark.pts_ns < end for start, end in self.described):
            self.late_marks_pts_ns.append(mark.pts_ns)

    @property
    def clocks(self) -> tuple[ClockReading, ...]:
        return (self.clock, *self.later_clocks)

    @property
    def is_timed(self) -> bool:
        """A trusted reading is among them: every pts of this boot has its wall time."""
        return any(reading.trust == "trusted" for reading in self.clocks)

    def stub(self, os_boot: str, *, over: bool = False) -> SessionStub:
        """What is kept on the card until the record is there."""
        return SessionStub(
            session_id=self.session_id,
            start_pts_ns=self.start_pts_ns,
            boot_counter=self.clock.boot_counter,
            mono_ns=self.clock.mono_ns,
            wall_ns=self.clock.wall_ns,
            clock_trust=self.clock.trust,
            os_boot=os_boot,
            over=over,
            clocks=self.clocks,
        )

    def record(self, names: Names) -> SessionRecord:
        return SessionRecord(
            session_id=self.session_id,
            device_id=names.device_id,
            agent_version=names.agent_version,
            start_pts_ns=self.start_pts_ns,
            stop_pts_ns=self.stop_pts_ns,
            ended=self.ended,
            clips=tuple(self.clips),
            marks_pts_ns=tuple(mark.pts_ns for mark in self.marks),
            late_marks_pts_ns=tuple(self.late_marks_pts_ns),
            declared=self.declared,
            gaps=tuple(self.gaps),
            clock=self.clock,
            clocks=self.clocks,
            resumes=self.resumes,
        )


@dataclass(slots=True)
class PendingLabels:
    """A fragment whose labels are not on the card yet; they are written as known at
    `deadline_ns`."""

    index: int
    start_pts_ns: int
    end_pts_ns: int
    frames: int
    deadline_ns: int


@dataclass(slots=True)
class ClipTrack:
    """One clip from its first packet until its sheet is made."""

    key: ClipKey
    clip_id: str
    session: SessionTrack
    muxer: FragmentMuxer
    info: StreamInfo
    start_pts_ns: int
    end_pts_ns: int
    clock: ClockReading
    pre_roll: PreRoll | None
    gaps: tuple[Gap, ...]
    frames: int = 0
    pending: deque[PendingLabels] = field(default_factory=deque)
    durable_end_pts_ns: int | None = None
    close_deadline_ns: int = 0
    failed: bool = False

    @property
    def kept_end_pts_ns(self) -> int:
        """Up to here the clip's footage is not lost."""
        if not self.failed:
            return self.end_pts_ns
        return self.start_pts_ns if self.durable_end_pts_ns is None else self.durable_end_pts_ns

    def facts(self, names: Names) -> ClipFacts:
        return ClipFacts(
            clip_id=self.clip_id,
            session_id=self.session.session_id,
            device_id=names.device_id,
            agent_version=names.agent_version,
            start_pts_ns=self.start_pts_ns,
            end_pts_ns=self.end_pts_ns,
            frames=self.frames,
            info=self.info,
            clock=self.clock,
            pre_roll=self.pre_roll,
            declared=self.session.declared,
            gaps=self.gaps,
            resumes=self.session.resumes,
        )
