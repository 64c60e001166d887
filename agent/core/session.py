"""The session machine: which packet belongs to which clip of which session. Pure: no clock, no I/O.

Every input returns the actions that follow from it, in order. A packet's last action says where
the packet goes: KeepPacket (pre-roll ring), WritePacket (the open clip) or SkipPacket (lost: only
ever after `break_clip`, or before the first keyframe of a camera that has just begun).

Sessions and clips change hands at keyframes alone, so nothing is lost or doubled between two of
them: a clip ends at the first keyframe at or after `clip_ns`, a session at the first keyframe at or
after the post-roll or the cap. After the cap the next session begins with that same keyframe.

A start press in the post-roll means a new exercise: the session under way ends at the next keyframe
and the new one begins with it. Its pre-roll is empty, because those seconds lie in the session
before and no second is recorded twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from agent.errors import ControlError

State: TypeAlias = Literal["standby", "recording", "post_roll", "closing"]
Ended: TypeAlias = Literal["stopped", "capped", "camera_lost", "card_full", "low_battery"]


@dataclass(frozen=True, slots=True)
class OpenSession:
    """`pressed_pts_ns` is None for a session that the cap began."""

    session: int
    pressed_pts_ns: int | None


@dataclass(frozen=True, slots=True)
class OpenClip:
    """The packet that this input brought is the clip's first; it is a keyframe."""

    session: int
    clip: int


@dataclass(frozen=True, slots=True)
class CloseClip:
    """No more packets for this clip."""

    session: int
    clip: int


@dataclass(frozen=True, slots=True)
class EndSession:
    """No more clips. `stop_pts_ns`: the stop press, None when nobody pressed."""

    session: int
    ended: Ended
    stop_pts_ns: int | None


@dataclass(frozen=True, slots=True)
class WriteRecord:
    """All clips of the ended session are closed: its record can be written."""

    session: int


@dataclass(frozen=True, slots=True)
class KeepPacket:
    pass


@dataclass(frozen=True, slots=True)
class WritePacket:
    pass


@dataclass(frozen=True, slots=True)
class SkipPacket:
    pass


Action: TypeAlias = (
    OpenSession
    | OpenClip
    | CloseClip
    | EndSession
    | WriteRecord
    | KeepPacket
    | WritePacket
    | SkipPacket
)


@dataclass(frozen=True, slots=True)
class SessionRules:
    """Times in ns. `max_gops_per_clip` bounds the files of a clip whose GOPs are very short."""

    clip_ns: int
    post_roll_ns: int
    session_cap_ns: int
    max_gops_per_clip: int = 500
    # A camera that gives no keyframe after the post-roll must not hold a session open for ever.
    late_keyframe_ns: int = 5_000_000_000
    # A keyframe this little early counts as in time: frame times are rounded and they jitter.
    jitter_ns: int = 10_000_000


@dataclass(slots=True)
class _Session:
    number: int
    pressed_pts_ns: int | None
    start_pts_ns: int | None = None
    stop_pts_ns: int | None = None
    clips: int = 0


@dataclass(slots=True)
class _Clip:
    number: int
    start_pts_ns: int
    gops: int = 0


class SessionMachine:
    """Holds the state; sessions are numbered from 1, clips of a session from 0 without holes."""

    def __init__(self, rules: SessionRules) -> None:
        self._rules = rules
        self._numbers = 0
        self._current: _Session | None = None
        self._next: _Session | None = None
        self._clip: _Clip | None = None
        self._blocked = False
        self._camera_away = False
        self._unclosed: dict[int, set[int]] = {}
        self._ended: set[int] = set()

    @property
    def state(self) -> State:
        """ "closing": nothing is recorded, but an ended session is not wholly on its shelf yet."""
        session = self._next or self._current
        if session is not None:
            return "recording" if session.stop_pts_ns is None else "post_roll"
        return "closing" if self._ended else "standby"

    @property
    def session(self) -> int | None:
        """The session that the wearer means: the one asked for last."""
        session = self._next or self._current
        return None if session is None else session.number

    @property
    def clip(self) -> tuple[int, int] | None:
        """(session, clip) that packets go to, if any."""
        if self._current is None or self._clip is None:
            return None
        return (self._current.number, self._clip.number)

    @property
    def blocked(self) -> bool:
        return self._blocked

    def start(self, pts_ns: int) -> list[Action]:
        """The start press. Raises ControlError while a session is being recorded."""
        if self.state == "recording":
            raise ControlError("a session is being recorded already", remedy="stop it first")
        self._numbers += 1
        fresh = _Session(self._numbers, pts_ns)
        if self._current is not None and self._clip is not None and self._next is None:
            self._next = fresh
            return []
        # A second start and stop within one GOP of a post-roll: the one between has no frame.
        if self._next is not None:
            self._next = fresh
            return []
        actions = [] if self._current is None else self._end("stopped")
        return [*actions, *self._begin(fresh)]

    def stop(self, pts_ns: int) -> list[Action]:
        """The stop press. Raises ControlError when nothing is being recorded."""
        session = self._next or self._current
        if session is None or session.stop_pts_ns is not None:
            raise ControlError("no session is being recorded", remedy="start one first")
        session.stop_pts_ns = pts_ns
        return []

    def mark(self, pts_ns: int) -> int:
        """The session that a mark belongs to. Raises ControlError when none is being recorded."""
        if self._current is None:
            raise ControlError(
                "no session is being recorded, the mark was not taken", remedy="start one first"
            )
        return self._current.number

    def packet(self, pts_ns: int, keyframe: bool) -> list[Action]:
        """One packet from the camera (or, right after a start, from the ring), in order."""
        self._camera_away = False
        actions = self._turn_over(pts_ns) if keyframe else []
        session = self._current
        if session is None:
            return [*actions, KeepPacket()]
        if self._clip is None:
            if not keyframe or self._blocked:
                return [*actions, SkipPacket()]
            actions.append(self._open_clip(session, pts_ns))
        if self._clip is not None and keyframe:
            self._clip.gops += 1
        return [*actions, WritePacket()]

    def tick(self, now_pts_ns: int) -> list[Action]:
        """Time passes: ends a post-roll whose closing keyframe does not come."""
        session = self._current
        if session is None or session.stop_pts_ns is None:
            return []
        over = session.stop_pts_ns + self._rules.post_roll_ns + self._rules.late_keyframe_ns
        if now_pts_ns < over:
            return []
        return self._hand_over("camera_lost" if self._camera_away else "stopped")

    def camera_lost(self) -> list[Action]:
        """Closes the open clip. The session goes on with a new clip when packets come again."""
        self._camera_away = True
        return self.break_clip(block=False)

    def break_clip(self, *, block: bool) -> list[Action]:
        """The open clip cannot go on. With `block` no new one begins before `unblock`."""
        self._blocked = self._blocked or (block and self._current is not None)
        return self._close_clip()

    def unblock(self) -> None:
        self._blocked = False

    def end_now(self, ended: Ended) -> list[Action]:
        """Ends what is being recorded at once (service stop, full card, low battery). A session
        that was asked for in a post-roll and has no frame yet is dropped."""
        self._next = None
        return [] if self._current is None else self._end(ended)

    def clip_closed(self, session: int, clip: int) -> list[Action]:
        """The clip left the recorder's hands: on its shelf, or given up."""
        self._unclosed.get(session, set()).discard(clip)
        return self._records_due(session)

    def session_closed(self, session: int) -> None:
        """The session's record is on its shelf, or given up."""
        self._ended.discard(session)
        self._unclosed.pop(session, None)

    def _turn_over(self, pts_ns: int) -> list[Action]:
        """What ends at a keyframe at `pts_ns`."""
        session = self._current
        if session is None:
            return []
        if self._next is not None:
            return self._hand_over("stopped")
        if session.stop_pts_ns is not None:
            over = pts_ns >= session.stop_pts_ns + self._rules.post_roll_ns
            return self._hand_over("stopped") if over else self._split(pts_ns)
        started = session.start_pts_ns
        if started is not None and pts_ns >= started + self._rules.session_cap_ns:
            self._numbers += 1
            actions = self._end("capped")
            return [*actions, *self._begin(_Session(self._numbers, None))]
        return self._split(pts_ns)

    def _split(self, pts_ns: int) -> list[Action]:
        clip = self._clip
        if clip is None:
            return []
        long_enough = pts_ns + self._rules.jitter_ns >= clip.start_pts_ns + self._rules.clip_ns
        if long_enough or clip.gops >= self._rules.max_gops_per_clip:
            return self._close_clip()
        return []

    def _hand_over(self, ended: Ended) -> list[Action]:
        following, self._next = self._next, None
        actions = self._end(ended)
        return actions if following is None else [*actions, *self._begin(following)]

    def _begin(self, session: _Session) -> list[Action]:
        self._current = session
        self._unclosed[session.number] = set()
        return [OpenSession(session.number, session.pressed_pts_ns)]

    def _open_clip(self, session: _Session, pts_ns: int) -> Action:
        if session.start_pts_ns is None:
            session.start_pts_ns = pts_ns
        self._clip = _Clip(session.clips, pts_ns)
        session.clips += 1
        self._unclosed[session.number].add(self._clip.number)
        return OpenClip(session.number, self._clip.number)

    def _close_clip(self) -> list[Action]:
        if self._current is None or self._clip is None:
            return []
        closed = CloseClip(self._current.number, self._clip.number)
        self._clip = None
        return [closed]

    def _end(self, ended: Ended) -> list[Action]:
        session = self._current
        if session is None:
            return []
        actions = self._close_clip()
        self._current, self._blocked = None, False
        self._ended.add(session.number)
        actions.append(EndSession(session.number, ended, session.stop_pts_ns))
        return [*actions, *self._records_due(session.number)]

    def _records_due(self, session: int) -> list[Action]:
        if session in self._ended and not self._unclosed.get(session):
            return [WriteRecord(session)]
        return []
