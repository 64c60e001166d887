"""A session by the button alone, through the real programs to the collector."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.ipc.messages import RecorderStatus
from firmware_tools.local_stack import LocalStack
from tests.scenario import evidence
from tests.scenario.conftest import MakeStack
from tests.scenario.waiting import wait_for_frames, wait_until_sent

pytestmark = pytest.mark.scenario

MS = 1_000_000
LEDS = ("red", "green", "motor")


def press(stack: LocalStack, *durations_ms: int) -> int:
    """A row of edges that ends now, each so long after the one before; the first one's time."""
    edge_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - sum(durations_ms) * MS
    first_ns = edge_ns
    lines = [f"down {edge_ns}"]
    for index, duration_ms in enumerate(durations_ms):
        edge_ns += duration_ms * MS
        lines.append(f"{'down' if index % 2 else 'up'} {edge_ns}")
    (stack.runtime_dir / "button.fifo").write_text("\n".join(lines) + "\n")
    return first_ns


def wait_for(stack: LocalStack, so: Callable[[RecorderStatus], bool], what: str) -> None:
    """Until the recorder answers and its status is `so`."""
    stack.wait_until(
        lambda: (status := stack.status()) is not None and so(status), timeout_s=60, what=what
    )


@pytest.fixture
def stack(make_stack: MakeStack, tmp_path: Path) -> Iterator[LocalStack]:
    """In standby, its pre-roll full, with a button of words and lamps that are files."""
    leds = tmp_path / "leds"
    for name in LEDS:
        (leds / name).mkdir(parents=True)
        (leds / name / "max_brightness").write_text("1")
        (leds / name / "brightness").write_text("1")
    indicator = {"driver": "sysfs", "leds_dir": str(leds), **{name: name for name in LEDS}}
    made = make_stack({"button": {"driver": "pipe"}, "indicator": indicator})
    made.wait_ready()
    wait_for(made, lambda status: status.indication == "standby", "the pre-roll")
    yield made
    evidence.assert_no_stack_trace(made)


def test_presses_start_mark_and_stop_and_the_sheet_has_the_mark_of_its_first_edge(
    stack: LocalStack, tmp_path: Path
) -> None:
    wait_for_frames(stack, 70)  # the pre-roll reaches back beyond a press that is told late
    started_ns = press(stack, 200, 300, 200)
    wait_for(stack, lambda status: status.indication == "recording", "the start")
    red = tmp_path / "leds" / "red" / "brightness"
    stack.wait_until(lambda: red.read_text() == "1", timeout_s=10, what="the red lamp")
    wait_for_frames(stack, 70)
    marked_ns = press(stack, 400)
    wait_for_frames(stack, 70)
    press(stack)  # and it stays down
    wait_for(stack, lambda status: status.state != "recording", "the stop")
    wait_until_sent(stack)
    (record,) = evidence.stored_records(stack)
    clips = evidence.stored_clips(stack)
    marks = [
        (clip.manifest.start_pts_ns + mark.offset_ns, mark.source)
        for clip in clips
        for mark in clip.sheet.marks
    ]
    # Offsets are of the clip's own pts, exact to the nanosecond.
    assert marks == [(marked_ns, "button")]
    assert record.marks_pts_ns == (marked_ns,)
    assert (record.ended, record.clips[0]) == ("stopped", clips[0].manifest.clip_id)
    pre_roll = clips[0].sheet.pre_roll
    assert pre_roll is not None
    kept_ns = started_ns - clips[0].manifest.start_pts_ns
    assert abs(pre_roll.kept_s * 1e9 - kept_ns) < 1000
    assert pre_roll.kept_s >= pre_roll.asked_s
