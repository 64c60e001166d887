"""kill -9 of any one program in the middle of a session: what was safe on the card arrives, once.

A slow link keeps an upload under way all the time, so that every kill also falls into a transfer.
"""

from __future__ import annotations

import time

import pytest

from firmware_tools.local_stack import LocalStack, Sections
from tests.scenario import evidence
from tests.scenario.conftest import QUICK_PERIOD_NS, QUICK_RATE_HZ, MakeStack
from tests.scenario.processes import freeze, kill, pid_of, wait_for_pid, wait_until_gone
from tests.scenario.waiting import status_of, wait_for_frames, wait_until_sent

pytestmark = pytest.mark.scenario

# About what the camera makes: uploads keep up, and hardly ever rest.
SLOW_LINK: Sections = {
    "uplink": {"part_bytes": 16 * 1024, "window_cap_bytes": 64 * 1024, "bandwidth_cap_kbps": 1500}
}
CAMERA_STAYS = ("tagger", "uplink", "collector", "broker")


def started(make_stack: MakeStack) -> LocalStack:
    """A session under way, the first clip closed, a transfer begun and not finished."""
    stack = make_stack(SLOW_LINK)
    stack.wait_ready()
    stack.start({"scenario": "kill"})
    stack.wait_until(lambda: upload_under_way(stack), timeout_s=30, what="an upload under way")
    return stack


def upload_under_way(stack: LocalStack) -> bool:
    status = stack.status()
    open_at_collector = any((stack.store_dir / "incoming").glob("*/*/*"))
    waiting = [name for name in evidence.shelf(stack, "outbox") if not name.endswith("record")]
    return status is not None and status.recorded_s > 3 and open_at_collector and bool(waiting)


def open_clip_has_a_fragment(stack: LocalStack) -> bool:
    """True for about a second out of the two that a clip lasts."""
    status = stack.status()
    if status is None or status.clip_id is None:
        return False
    return (stack.state_dir / "spool" / "recording" / status.clip_id / "0000.age").exists()


def killed(stack: LocalStack, victim: str) -> set[str]:
    """SIGKILL `victim`, wait until it runs again; the fragments that were durable at the kill."""
    pid = wait_for_pid(stack, victim)
    freeze(pid)
    durable = evidence.durable_fragments(stack)
    kill(pid)
    wait_for_pid(stack, victim, other_than=pid)
    return durable


@pytest.mark.parametrize("victim", CAMERA_STAYS)
def test_a_program_killed_beside_the_recorder_costs_no_frame(
    victim: str, make_stack: MakeStack
) -> None:
    stack = started(make_stack)
    killed_pts_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    durable = killed(stack, victim)
    wait_for_frames(stack, 3 * QUICK_RATE_HZ)
    stack.stop()
    wait_until_sent(stack)

    assert durable
    evidence.assert_arrived_once(stack, durable)
    clips = evidence.stored_clips(stack)
    evidence.assert_frames_continuous(clips, QUICK_PERIOD_NS)
    assert not any(clip.sheet.gaps for clip in clips)
    (record,) = evidence.stored_records(stack)
    assert record.ended == "stopped"
    assert not record.gaps
    assert record.clips == tuple(clip.clip_id for clip in clips)
    evidence.assert_no_stack_trace(stack)
    if victim == "tagger":
        assert_lost_coverage_is_stated(clips, killed_pts_ns)


def assert_lost_coverage_is_stated(clips: list[evidence.Clip], killed_pts_ns: int) -> None:
    lost: dict[str, int] = {}
    for clip in clips:
        coverage = clip.sheet.coverage
        assert coverage.scored + sum(coverage.lost.values()) == coverage.due
        if clip.manifest.end_pts_ns > killed_pts_ns:
            for cause, frames in coverage.lost.items():
                lost[cause] = lost.get(cause, 0) + frames
    assert sum(lost.values()) > 0
    assert all(lost)  # each with its cause
    # It came back: the session's last second was scored again.
    assert clips[-1].sheet.coverage.scored > 0
    assert clips[-1].sheet.model is not None


def test_a_killed_recorder_loses_the_open_fragment_at_most(make_stack: MakeStack) -> None:
    stack = started(make_stack)
    stack.wait_until(lambda: open_clip_has_a_fragment(stack), timeout_s=30, what="a fragment")
    durable = killed(stack, "recorder")
    wait_for_frames(stack, 2 * QUICK_RATE_HZ)
    # It went on by itself: nobody pressed start again.
    stack.stop()
    wait_until_sent(stack)

    assert durable
    evidence.assert_arrived_once(stack, durable)
    clips = evidence.stored_clips(stack)
    session = clips[0].manifest.session_id
    cut_off = [clip for clip in clips if clip.manifest.session_id == session]
    resumed = clips[len(cut_off) :]
    assert len({clip.manifest.session_id for clip in resumed}) == 1
    (gap,) = resumed[0].sheet.gaps
    assert gap.start_pts_ns == cut_off[-1].manifest.end_pts_ns
    assert gap.end_pts_ns == resumed[0].manifest.start_pts_ns
    assert gap.cause
    evidence.assert_frames_continuous(resumed, QUICK_PERIOD_NS)
    assert cut_off[-1].manifest.recovered
    assert cut_off[-1].sheet.built_by == "collector"
    assert cut_off[-1].sheet.declared
    assert all(gap.cause for gap in cut_off[-1].sheet.gaps)
    evidence.assert_frames_continuous(cut_off, QUICK_PERIOD_NS)
    record = evidence.stored_records(stack)[0]
    assert record.session_id == session
    assert record.ended == "recovered"
    assert "the recorder was cut off" in [gap.cause for gap in record.gaps]
    assert record.clips == tuple(clip.clip_id for clip in cut_off)
    for clip in cut_off:
        frames, _, complaints = evidence.ffprobe(clip.mp4)
        assert (frames, complaints) == (clip.manifest.frames, "")
    evidence.assert_no_stack_trace(stack)


def test_a_killed_supervisor_takes_its_services_along_and_the_next_one_goes_on(
    make_stack: MakeStack,
) -> None:
    stack = started(make_stack)
    agent = wait_for_pid(stack, "agent")
    services = [wait_for_pid(stack, name) for name in ("recorder", "tagger", "uplink")]
    durable = evidence.durable_fragments(stack)
    kill(agent)
    # They follow it by themselves, the recorder after it closed its clip.
    wait_until_gone(services)
    wait_for_pid(stack, "agent", other_than=agent)
    for name, pid in zip(("recorder", "tagger", "uplink"), services, strict=True):
        wait_for_pid(stack, name, other_than=pid)
    if status_of(stack).state == "recording":
        stack.stop()
    wait_until_sent(stack)
    assert pid_of(stack, "recorder") not in services
    evidence.assert_arrived_once(stack, durable)
    evidence.assert_no_stack_trace(stack)
