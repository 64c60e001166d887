"""The session machine: whatever is pressed, whatever fails, no packet is lost or doubled."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.session import (
    Action,
    CloseClip,
    EndSession,
    KeepPacket,
    OpenClip,
    OpenSession,
    SessionMachine,
    SessionRules,
    SkipPacket,
    WritePacket,
    WriteRecord,
)
from agent.errors import ControlError

SECOND = 1_000_000_000
RULES = SessionRules(clip_ns=4 * SECOND, post_roll_ns=2 * SECOND, session_cap_ns=20 * SECOND)
FRAMES_A_GOP = 4


@dataclass
class Story:
    """Drives a machine with a camera of FRAMES_A_GOP frames a second, and keeps what became of
    each packet. The ring holds what was kept since the last start, from a keyframe on."""

    machine: SessionMachine = field(default_factory=lambda: SessionMachine(RULES))
    number: int = 0
    ring: list[tuple[int, bool]] = field(default_factory=list)
    written: dict[int, tuple[int, int]] = field(default_factory=dict)
    skipped: list[int] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    open_clip: tuple[int, int] | None = None
    may_skip: bool = True
    needs_keyframe: bool = False
    refusals: list[str] = field(default_factory=list)

    @property
    def now(self) -> int:
        return self.number * SECOND // FRAMES_A_GOP

    def do(self, actions: list[Action], packet: tuple[int, bool] | None = None) -> None:
        for action in actions:
            self.actions.append(action)
            match action:
                case OpenClip(session, clip):
                    assert self.open_clip is None
                    assert packet is not None
                    assert packet[1], "a clip begins with a keyframe"
                    self.open_clip = (session, clip)
                    self.may_skip = False
                case CloseClip(session, clip):
                    assert self.open_clip == (session, clip)
                    self.open_clip = None
                case WritePacket():
                    assert packet is not None
                    assert self.open_clip is not None
                    assert packet[0] not in self.written
                    self.written[packet[0]] = self.open_clip
                case KeepPacket():
                    assert packet is not None
                    if packet[1] or self.ring:
                        self.ring.append(packet)
                case SkipPacket():
                    assert packet is not None
                    assert self.may_skip, "a packet was given up though nothing had failed"
                    self.skipped.append(packet[0])

    def frame(self) -> None:
        self.number += 1
        keyframe = self.number % FRAMES_A_GOP == 0 or self.needs_keyframe
        self.needs_keyframe = False
        packet = (self.now, keyframe)
        self.do(self.machine.packet(*packet), packet)

    def start(self) -> None:
        self.do(self.machine.start(self.now))
        if self.machine.clip is None:
            taken, self.ring = self.ring, []
            self.may_skip = not taken
            for packet in taken:
                self.do(self.machine.packet(*packet), packet)

    def lose(self) -> None:
        self.may_skip, self.needs_keyframe = True, True
        self.ring.clear()
        self.do(self.machine.camera_lost())

    def overflow(self) -> None:
        if self.open_clip is not None:
            self.may_skip = True
            self.do(self.machine.break_clip(block=True))

    def seconds(self, count: int) -> None:
        for _ in range(count * FRAMES_A_GOP):
            self.frame()

    def of(self, kind: type) -> list[Action]:
        return [action for action in self.actions if isinstance(action, kind)]


def test_standby_keeps_packets_for_the_pre_roll() -> None:
    story = Story()
    story.seconds(2)
    assert {type(action) for action in story.actions} == {KeepPacket}
    assert story.machine.state == "standby"


def test_a_start_takes_the_pre_roll_into_the_first_clip() -> None:
    story = Story()
    story.seconds(3)
    kept = [pts for pts, _ in story.ring]
    story.start()
    assert story.machine.state == "recording"
    assert [story.written[pts] for pts in kept] == [(1, 0)] * len(kept)


def test_a_clip_ends_at_the_first_keyframe_at_or_after_its_length() -> None:
    story = Story()
    story.seconds(1)
    story.start()
    first = min(story.written)
    story.seconds(9)
    starts = {
        clip: min(p for p, c in story.written.items() if c == clip) for clip in [(1, 1), (1, 2)]
    }
    assert starts == {(1, 1): first + 4 * SECOND, (1, 2): first + 8 * SECOND}


def test_the_post_roll_ends_at_a_keyframe_and_the_ring_goes_on_from_there() -> None:
    story = Story()
    story.seconds(1)
    story.start()
    story.frame()
    story.do(story.machine.stop(story.now))
    assert story.machine.state == "post_roll"
    stopped = story.now
    story.seconds(4)
    last = max(story.written)
    assert last >= stopped + 2 * SECOND - SECOND // FRAMES_A_GOP
    assert story.ring[0][0] == last + SECOND // FRAMES_A_GOP
    assert story.ring[0][1]
    assert story.of(EndSession) == [EndSession(1, "stopped", stopped)]
    assert story.machine.state == "closing"


def test_a_start_in_the_post_roll_begins_a_new_session_without_losing_a_frame() -> None:
    story = Story()
    story.seconds(1)
    story.start()
    story.seconds(2)
    story.do(story.machine.stop(story.now))
    story.frame()
    story.start()
    assert (story.machine.state, story.machine.session) == ("recording", 2)
    story.seconds(2)
    assert {clip[0] for clip in story.written.values()} == {1, 2}
    assert story.skipped == []
    pts = sorted(story.written)
    assert len(pts) == 1 + (pts[-1] - pts[0]) * FRAMES_A_GOP // SECOND


def test_the_cap_ends_a_session_and_begins_the_next_with_the_same_keyframe() -> None:
    story = Story()
    story.seconds(1)
    story.start()
    story.seconds(25)
    assert [action.ended for action in story.of(EndSession) if isinstance(action, EndSession)] == [
        "capped"
    ]
    assert story.of(OpenSession)[-1] == OpenSession(2, None)
    pts = sorted(story.written)
    assert len(pts) == 1 + round((pts[-1] - pts[0]) * FRAMES_A_GOP / SECOND)


def test_a_lost_camera_closes_the_clip_and_the_session_goes_on() -> None:
    story = Story()
    story.seconds(1)
    story.start()
    story.seconds(1)
    story.lose()
    assert story.machine.clip is None
    assert story.machine.state == "recording"
    story.seconds(1)
    assert story.machine.clip == (1, 1)


def test_a_post_roll_without_a_camera_ends_by_time() -> None:
    story = Story()
    story.seconds(1)
    story.start()
    story.lose()
    story.do(story.machine.stop(story.now))
    story.do(story.machine.tick(story.now + 2 * SECOND))
    assert story.machine.state == "post_roll"
    story.do(story.machine.tick(story.now + 10 * SECOND))
    assert story.of(EndSession) == [EndSession(1, "camera_lost", story.now)]


def test_a_blocked_machine_opens_no_clip_before_it_is_unblocked() -> None:
    story = Story()
    story.seconds(1)
    story.start()
    story.overflow()
    story.seconds(2)
    assert story.machine.clip is None
    story.machine.unblock()
    story.seconds(1)
    assert story.machine.clip == (1, 1)


def test_the_record_is_due_when_the_last_clip_is_closed() -> None:
    story = Story()
    story.seconds(1)
    story.start()
    story.seconds(5)
    story.do(story.machine.end_now("stopped"))
    assert story.of(WriteRecord) == []
    story.do(story.machine.clip_closed(1, 1))
    assert story.of(WriteRecord) == []
    story.do(story.machine.clip_closed(1, 0))
    assert story.of(WriteRecord) == [WriteRecord(1)]
    assert story.machine.state == "closing"
    story.machine.session_closed(1)
    assert story.machine.state == "standby"


def test_presses_out_of_place_are_refused_with_one_line() -> None:
    story = Story()
    with pytest.raises(ControlError, match="start one first"):
        story.machine.mark(0)
    with pytest.raises(ControlError, match="start one first"):
        story.machine.stop(0)
    story.start()
    with pytest.raises(ControlError, match="already"):
        story.machine.start(0)
    story.do(story.machine.stop(0))
    with pytest.raises(ControlError, match="start one first"):
        story.machine.stop(0)


def test_gops_of_any_shortness_do_not_make_a_clip_of_too_many_files() -> None:
    machine = SessionMachine(SessionRules(10**15, 0, 10**16, max_gops_per_clip=5))
    machine.start(0)
    clips = [
        action
        for number in range(12)
        for action in machine.packet(number, keyframe=True)
        if isinstance(action, OpenClip)
    ]
    assert len(clips) == 3


STEPS = st.lists(
    st.sampled_from(
        [
            *("frames", "frame", "frames", "start", "stop", "mark"),
            *("lose", "overflow", "unblock", "close", "tick"),
        ]
    ),
    max_size=60,
)


def play(story: Story, step: str) -> None:
    try:
        match step:
            case "frames":
                story.seconds(3)
            case "frame":
                story.frame()
            case "start":
                story.start()
            case "stop":
                story.do(story.machine.stop(story.now))
            case "mark":
                story.machine.mark(story.now)
            case "lose":
                story.lose()
            case "overflow":
                story.overflow()
            case "unblock":
                story.machine.unblock()
            case "tick":
                story.do(story.machine.tick(story.now))
            case "close":
                for closed in story.of(CloseClip):
                    assert isinstance(closed, CloseClip)
                    story.do(story.machine.clip_closed(closed.session, closed.clip))
    except ControlError as exc:
        story.refusals.append(str(exc))


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_no_sequence_of_inputs_loses_or_doubles_a_packet(steps: list[str]) -> None:
    story = Story()
    for step in steps:
        play(story, step)  # Story.do refuses doubles, and losses that nothing explains
    story.do(story.machine.end_now("stopped"))
    clips = [(a.session, a.clip) for a in story.of(OpenClip) if isinstance(a, OpenClip)]
    assert len(set(clips)) == len(clips)
    for session in {session for session, _ in clips}:
        numbers = [clip for owner, clip in clips if owner == session]
        assert numbers == list(range(len(numbers))), "clips of a session are consecutive"
    order = [story.written[pts] for pts in sorted(story.written)]
    assert order == sorted(order), "clips follow each other in time"
    opened = [a.session for a in story.of(OpenSession) if isinstance(a, OpenSession)]
    ended = [a.session for a in story.of(EndSession) if isinstance(a, EndSession)]
    assert opened == ended == sorted(set(opened))
    assert not any("\n" in line for line in story.refusals)
