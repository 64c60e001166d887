"""400 MB of memory, a card that stalls for 2 s, a 2 Mbit/s link: nothing is lost unsaid."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from firmware_tools.local_stack import LocalStack, Sections
from tests.footage_maker import SHIPPED
from tests.scenario import evidence
from tests.scenario.conftest import BUNDLE, MakeStack
from tests.scenario.fault_proxy import FaultProxy
from tests.scenario.memory_group import MemoryGroup, NoGroupError
from tests.scenario.processes import command_lines, pid_of
from tests.scenario.waiting import status_of, wait_for_frames, wait_until_sent

# Footage in real time: another test beside it would cost frames that nobody should lose.
pytestmark = [pytest.mark.scenario, pytest.mark.alone]

LIMIT_BYTES = 400 * 1024 * 1024
LINK_BITS_PER_S = 2_000_000
SLOW_CARD = Path(__file__).parent / "slow_card"
RATE_HZ = 35  # of the footage
# 720p as on a camera, at a bitrate that the link carries: two seconds of it in one of footage.
SETTINGS: Sections = {
    "encoder": {"bitrate_kbps": 1000},
    "recorder": {"pre_roll_s": 5.0, "post_roll_s": 1.0, "clip_s": 4.0},
}
SERVICES = ("recorder", "tagger", "uplink")


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    try:
        made = MemoryGroup(LIMIT_BYTES)
    except NoGroupError as exc:
        pytest.skip(str(exc))
    with made:
        yield made


def test_little_memory_a_stalling_card_and_a_thin_link_cost_no_frame(
    group: MemoryGroup, tmp_path: Path
) -> None:
    python_path = os.pathsep.join([str(SLOW_CARD), os.environ.get("PYTHONPATH", "")])
    stalls = ("env", f"PYTHONPATH={python_path}", "SLOW_CARD_STALL_S=2", "SLOW_CARD_EVERY=30")
    with FaultProxy(LINK_BITS_PER_S) as link:
        stack = LocalStack(
            tmp_path / "stack",
            footage=SHIPPED / "07_building_720p.mp4",
            bundle=BUNDLE,
            agent={**SETTINGS, "uplink": {"port": link.port}},
            agent_prefix=(*group.enter_prefix, *stalls),
        )
        with stack:
            link.target_port = stack.fleet.port
            stack.wait_ready()
            services = {name: pid_of(stack, name) for name in SERVICES}
            assert set(services.values()) <= group.processes
            stack.start({"scenario": "hard"})
            wait_for_frames(stack, 12 * RATE_HZ)
            stack.stop()
            wait_until_sent(stack)
            after = status_of(stack)
            # The same processes to the end: nobody was killed, for memory or for silence.
            assert {name: pid_of(stack, name) for name in SERVICES} == services
            assert stack.supervisor.starts("agent") == 1
    assert not command_lines(tmp_path)

    assert after.writer_stalls > 0
    assert group.oom_kills == 0
    assert group.peak_bytes <= LIMIT_BYTES
    clips = evidence.stored_clips(stack)
    evidence.assert_frames_continuous(clips, round(1e9 / RATE_HZ))
    assert sum(clip.manifest.frames for clip in clips) == after.frames_written
    (session,) = evidence.stored_records(stack)
    assert session.clips == tuple(clip.clip_id for clip in clips)
    assert not session.gaps
    evidence.assert_arrived_once(stack, evidence.durable_fragments(stack))
    assert link.bytes_up > sum(clip.mp4.stat().st_size for clip in clips)
    evidence.assert_no_stack_trace(stack)


def test_a_card_slower_than_the_queue_is_long_costs_gaps_and_each_is_named(
    make_stack: MakeStack,
) -> None:
    python_path = os.pathsep.join([str(SLOW_CARD), os.environ.get("PYTHONPATH", "")])
    stack = make_stack(
        {"recorder": {"writer_queue_s": 1.0}},
        agent_prefix=(
            "env",
            f"PYTHONPATH={python_path}",
            "SLOW_CARD_STALL_S=4",
            "SLOW_CARD_EVERY=40",
        ),
    )
    stack.wait_ready()
    stack.start({"scenario": "too slow"})
    stack.wait_until(
        lambda: any("too slow" in fault for fault in status_of(stack).faults),
        timeout_s=60,
        what="the recorder to say that the card is too slow",
    )
    wait_for_frames(stack, 6 * RATE_HZ)
    stack.stop()
    wait_until_sent(stack)

    clips = evidence.stored_clips(stack)
    (session,) = evidence.stored_records(stack)
    missing = [
        (before.manifest.end_pts_ns, after.manifest.start_pts_ns)
        for before, after in pairwise(clips)
        if before.manifest.end_pts_ns != after.manifest.start_pts_ns
    ]
    assert missing
    for start_ns, end_ns in missing:
        named = [gap for gap in session.gaps if gap.start_pts_ns == start_ns]
        assert [(gap.end_pts_ns, gap.cause) for gap in named] == [(end_ns, "card too slow")]
        (clip,) = [clip for clip in clips if clip.manifest.start_pts_ns == end_ns]
        assert list(clip.sheet.gaps) == named
    for clip in clips:
        evidence.assert_frames_continuous([clip], round(1e9 / RATE_HZ))
    evidence.assert_arrived_once(stack, evidence.durable_fragments(stack))
