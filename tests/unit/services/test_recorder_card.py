"""The recorder over a card that stalls, refuses or is full: what is lost is little, and is said."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.config import Retention
from agent.ipc.messages import EventMessage, EventOccurred, unpack
from agent.wire.telemetry import DeviceEvent, EventKind
from tests.recorder_rig import SESSION, MakeRig, Rig


class StallingCard:
    """An fsync that blocks while `stalled` is set."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.is_waited_for = False

    def __call__(self, descriptor: int) -> None:
        self.is_waited_for = not self.free.is_set()
        assert self.free.wait(20)


def test_a_card_that_stalls_for_two_seconds_loses_nothing(make_rig: MakeRig) -> None:
    card = StallingCard()
    rig = make_rig(fsync=card, writer_queue_s=5)
    rig.start()
    rig.run(1)
    card.free.clear()
    rig.run(1)
    rig.until(lambda: card.is_waited_for, "the stall")
    rig.run(2)
    assert rig.recorder.status().writer_queue_s >= 1
    card.free.set()
    rig.written()
    assert rig.recorder.status().writer_stalls >= 1
    rig.stop()
    rig.run(1.5)
    rig.settle()
    frames = sum(rig.item(clip).frames for clip in range(len(rig.outbox()) - 1))
    assert frames == rig.recorder.status().frames_written == 50
    assert rig.item("record").record.gaps == ()


def test_a_card_that_stays_away_costs_the_newest_footage_and_says_so(make_rig: MakeRig) -> None:
    card = StallingCard()
    rig = make_rig(fsync=card, writer_queue_s=2)
    rig.start()
    rig.run(1)
    rig.written()
    card.free.clear()
    rig.run(8)
    status = rig.recorder.status()
    assert status.state == "recording"
    assert status.writer_queue_s <= 4
    assert any("too slow" in fault for fault in status.faults)
    card.free.set()
    rig.written()
    for _ in range(3):  # the test's clock may run ahead of a busy writer
        rig.run(1)
        rig.written()
    rig.stop()
    rig.run(1.5)
    rig.settle()
    (gap,) = rig.item("record").record.gaps
    assert gap.cause == "card too slow"
    sheets = [rig.item(clip) for clip in range(len(rig.outbox()) - 1)]
    following = [clip for clip in sheets if clip.sheet.gaps]
    assert [clip.manifest.start_pts_ns for clip in following] == [gap.end_pts_ns]
    assert gap.start_pts_ns in {clip.manifest.end_pts_ns for clip in sheets}
    for clip in sheets:
        assert clip.frames == clip.sheet.video.frames


def test_a_full_card_ends_the_session_and_refuses_the_next(make_rig: MakeRig) -> None:
    free = [1 << 40]
    rig = make_rig(free_bytes=lambda: free[0])
    rig.start()
    rig.run(2)
    free[0] = 1000
    rig.run(2)
    rig.until(lambda: rig.recorder.status().state != "recording", "the end of the session")
    rig.settle()
    record = rig.item("record").record
    assert record.ended == "card_full"
    assert [gap.cause for gap in record.gaps] == ["card full"]
    assert rig.item(0).frames == rig.item(0).sheet.video.frames > 0
    assert "card full" in rig.start().refused
    free[0] = 1 << 40
    rig.clock.advance(6)
    rig.until(lambda: not rig.recorder.status().faults, "no fault")
    assert rig.start().refused == ""


def test_the_status_says_how_many_minutes_the_card_still_takes(make_rig: MakeRig) -> None:
    rig = make_rig(free_bytes=lambda: (256 << 20) + 60_000_000)
    rig.until(lambda: rig.recorder.status().card_minutes_left is not None, "a look at the card")
    by_settings = rig.recorder.status().card_minutes_left
    assert by_settings is not None
    rig.run(6)
    measured = rig.recorder.status().card_minutes_left
    rate = rig.recorder._recording.byte_rate.per_s
    assert rate is not None
    # The fake lens makes far less than the 4 Mbit/s of the settings.
    assert measured == pytest.approx(60_000_000 / rate / 60)
    assert measured > by_settings == pytest.approx(2.0)


def test_with_the_admins_leave_old_plain_clips_make_room_for_the_session(
    make_rig: MakeRig, tmp_path: Path
) -> None:
    tight: list[int] = []
    first = f"{SESSION}-0001"

    def free_bytes() -> int:
        """One byte is missing until the first clip that may go is gone."""
        is_there = (tmp_path / "state" / "spool" / "outbox" / first).exists()
        return 999 if tight and is_there else 1 << 40

    leave = Retention(min_free_bytes=1000, slack_bytes=1, overwrite_unsent=True)
    rig = make_rig(free_bytes=free_bytes, retention=leave, clip_s=2)
    events = _events(rig)
    rig.start()
    rig.run(13)
    rig.clock.advance(6)  # the labels' grace
    rig.until(lambda: len(rig.outbox()) >= 4, "closed clips")
    tight.append(1)
    rig.run(1.5)
    rig.until(lambda: len(events("thinned")) > 0, "a clip given up")
    rig.run(4)
    assert rig.recorder.status().state == "recording"
    rig.stop()
    rig.run(1.5)
    rig.settle()
    gone = [event.clip_id for event in events("thinned")]
    item = rig.item("record")
    assert [line.thinned for line in item.lines if line.kind == "thinned"] == gone
    assert set(gone) == set(item.record.clips) - set(rig.outbox())
    assert gone == [first]
    assert item.record.gaps == ()
    assert item.record.ended == "stopped"


def _events(rig: Rig) -> Callable[[EventKind], list[DeviceEvent]]:
    told: list[DeviceEvent] = []

    def of_kind(kind: EventKind) -> list[DeviceEvent]:
        for raw in rig.recorder._outbox._waiting:
            message = unpack(EventMessage, raw)
            if isinstance(message, EventOccurred) and message.event not in told:
                told.append(message.event)
        return [event for event in told if event.kind == kind]

    return of_kind


class RefusingCard:
    """An fsync that fails while `refuses` is set."""

    def __init__(self) -> None:
        self.refuses = False

    def __call__(self, descriptor: int) -> None:
        if self.refuses:
            raise OSError(5, "Input/output error")


def test_a_card_error_costs_one_gap_and_the_session_goes_on(make_rig: MakeRig) -> None:
    card = RefusingCard()
    rig = make_rig(fsync=card)
    rig.start()
    rig.run(2)
    rig.written()
    card.refuses = True
    rig.run(1)
    rig.written()
    card.refuses = False
    rig.run(8)
    rig.written()
    rig.stop()
    rig.run(1.5)
    rig.settle()
    clips = [rig.item(name[-4:]) for name in rig.outbox() if not name.endswith("record")]
    assert clips[0].manifest.recovered
    assert clips[0].sidecar(0).video is not None
    record = rig.item("record").record
    assert record.ended == "stopped"
    assert {gap.cause for gap in record.gaps} == {"card error: Input/output error"}
    assert record.clips == tuple(clip.manifest.clip_id for clip in clips)
    assert rig.recorder.status().frames_written == sum(clip.frames for clip in clips)
    kept = sum(clip.manifest.end_pts_ns - clip.manifest.start_pts_ns for clip in clips)
    gaps = sum(gap.end_pts_ns - gap.start_pts_ns for gap in record.gaps)
    assert clips[-1].manifest.end_pts_ns - clips[0].manifest.start_pts_ns == kept + gaps
