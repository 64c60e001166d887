"""A live camera that fails in mid-session, under the recorder's own program: told, opened again,
and the session goes on with a gap that says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pyrage
import pytest

from agent.storage.spool import Spool
from agent.wire.label_sheet import Gap, SessionRecord
from firmware_tools.dev_fleet import Fleet
from tests.cameras import (
    GSTREAMER_RATE_HZ,
    GSTREAMER_SIZE,
    gstreamer_missing,
    pattern_pipeline,
)
from tests.scenario.recorder_program import RecorderProgram

pytestmark = [
    pytest.mark.scenario,
    pytest.mark.skipif(bool(gstreamer_missing()), reason=gstreamer_missing()),
]

# A busy machine opens the camera late, and each time that it fails the next try waits longer.
PATIENCE_S = 90

SECTIONS = """
[device]
device_id = "cam01"
kind = "camera"
[camera]
driver = "gstreamer"
pipeline = '{pipeline}'
width = {size[0]}
height = {size[1]}
frame_rate_hz = {rate}
[recorder]
pre_roll_s = 0.5
post_roll_s = 0
label_grace_s = 0.5
[power]
driver = "none"
"""


@pytest.fixture
def run(tmp_path: Path, fleet: Fleet) -> Iterator[Callable[[str], RecorderProgram]]:
    running: list[RecorderProgram] = []

    def begin(pipeline: str) -> RecorderProgram:
        sections = SECTIONS.format(pipeline=pipeline, size=GSTREAMER_SIZE, rate=GSTREAMER_RATE_HZ)
        running.append(RecorderProgram(tmp_path, fleet, sections))
        return running[0]

    yield begin
    for program in running:
        program.end()


def gaps_of_the_session(program: RecorderProgram, fleet: Fleet) -> tuple[Gap, ...]:
    """What the session record says, opened as the collector opens it."""
    keys = fleet.collector.age_identity_file.read_text().splitlines()
    identity = pyrage.x25519.Identity.from_str(next(key for key in keys if key[0] != "#"))
    spool = Spool(program.folder / "state")
    record = next(name for name in spool.clips("outbox") if name.endswith("-record"))
    sealed = spool.path("outbox", record) / "session.json.age"
    content = pyrage.decrypt(sealed.read_bytes(), [identity])
    return msgspec.json.decode(content, type=SessionRecord).gaps


def test_a_camera_that_fails_is_opened_again_and_the_session_goes_on_with_a_gap(
    run: Callable[[str], RecorderProgram], fleet: Fleet
) -> None:
    # The sensor gives three seconds each time that it is opened.
    program = run(
        pattern_pipeline().replace("is-live", f"num-buffers={3 * GSTREAMER_RATE_HZ} is-live")
    )
    # Refused while the camera is away; an answer may be late.
    program.until(lambda status: status.state == "recording" or program.start() == "")
    lost = program.until(
        lambda status: any("ended by itself" in fault for fault in status.faults), PATIENCE_S
    )
    enough = lost.frames_captured + GSTREAMER_RATE_HZ
    status = program.until(lambda status: status.frames_captured > enough, PATIENCE_S)
    assert status.state == "recording"
    assert program.stop() == ""
    program.until(lambda status: status.state == "standby")
    spool = Spool(program.folder / "state")
    program.until(lambda _: any(name.endswith("-record") for name in spool.clips("outbox")))
    gaps = gaps_of_the_session(program, fleet)
    assert gaps
    for gap in gaps:
        assert "ended by itself" in gap.cause
        assert gap.start_pts_ns < gap.end_pts_ns


def test_black_pictures_are_a_fault_that_says_what_to_look_at_and_footage_is_kept(
    run: Callable[[str], RecorderProgram],
) -> None:
    program = run(pattern_pipeline("black"))
    status = program.until(lambda status: any("black" in fault for fault in status.faults))
    assert any("is the lens covered" in fault for fault in status.faults)
    captured = status.frames_captured
    program.until(lambda status: status.frames_captured > captured + GSTREAMER_RATE_HZ)
    assert program.start() == ""


def test_a_camera_that_is_not_there_costs_a_clear_line_and_is_tried_again(
    run: Callable[[str], RecorderProgram],
) -> None:
    lens = 'v4l2src device="/dev/video77" ! tee name=t t. ! '
    program = run(f"{lens} x264enc ! appsink name=h264 t. ! appsink name=lores")
    status = program.until(lambda status: bool(status.faults))
    assert status.state == "standby"
    assert "/dev/video77" in status.faults[0]
    assert "is the camera plugged in" in status.faults[0]
    assert "/dev/video77" in program.start()
