"""The recorder in the wearer's hands: presses, what they do, and what is seen and felt."""

from __future__ import annotations

import pytest
import zmq

from agent.drivers.button_fake import FakeButton
from agent.drivers.indicator_fake import FakeIndicator
from agent.drivers.power_fake import FakePower
from agent.ipc.messages import SendingNote, pack
from agent.ports.power import PowerReading
from tests.recorder_rig import MakeRig, Rig

S = 1_000_000_000


def press(rig: Rig, button: FakeButton, *durations_s: float) -> int:
    """Down now, then each edge so long after the one before it, while the camera films. Returns
    the time of the first edge."""
    first_ns = rig.clock.boot_ns()
    button.edge(True, first_ns)
    for index, duration_s in enumerate(durations_s):
        rig.run(duration_s, step_s=duration_s)
        button.edge(index % 2 == 1, rig.clock.boot_ns())
    return first_ns


def state(rig: Rig, wanted: str) -> None:
    rig.until(lambda: _passes(rig) and rig.recorder.status().state == wanted, wanted)


def _passes(rig: Rig) -> bool:
    """Time does: the pause after the last press must come to its end."""
    rig.clock.advance(0.05)
    return True


def test_a_double_press_starts_a_press_marks_and_a_hold_stops(make_rig: MakeRig) -> None:
    button = FakeButton()
    rig = make_rig(button=button, clip_s=30)
    rig.until(lambda: button.opened == 1, "the button")
    rig.run(5)
    started_ns = press(rig, button, 0.2, 0.4, 0.2)
    state(rig, "recording")
    rig.run(2)
    marked_ns = press(rig, button, 0.4)
    rig.run(2)
    held_ns = press(rig, button, 4.0)
    state(rig, "standby")
    record = rig.item("record").record
    assert record.ended == "stopped"
    assert record.marks_pts_ns == (marked_ns,)
    assert record.stop_pts_ns == held_ns + 3 * S
    (mark,) = rig.item(0).sheet.marks
    assert rig.item(0).manifest.start_pts_ns + mark.offset_ns == marked_ns
    pre_roll = rig.item(0).sheet.pre_roll
    assert pre_roll is not None
    # Counted from the first press of the two.
    assert rig.item(0).manifest.start_pts_ns + pre_roll.kept_s * S == started_ns


def test_what_cannot_be_done_is_felt_and_said_and_changes_nothing(
    make_rig: MakeRig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    button = FakeButton()
    rig = make_rig(button=button)
    felt: list[str] = []
    monkeypatch.setattr(rig.recorder._hands._loop, "confirm", felt.append)
    rig.until(lambda: button.opened == 1, "the button")
    for durations_s, line in (
        ((0.2,), "the mark was not taken"),
        ((3.5,), "start one first"),
        ((0.2, 0.3, 0.2, 0.3, 0.2), "nothing to mute"),
    ):
        press(rig, button, *durations_s)
        rig.until(lambda: _passes(rig) and line in caplog.text, line)  # noqa: B023
    assert felt == ["refused"] * 3
    assert rig.recorder.status().state == "standby"


def test_the_light_tells_filling_standby_and_recording(make_rig: MakeRig) -> None:
    rig = make_rig(indicator=FakeIndicator())
    assert rig.status().status.indication == "filling"
    rig.run(5)
    assert rig.recorder.status().indication == "standby"
    rig.start()
    rig.recorder.step()
    assert rig.recorder.status().indication == "recording"


def test_the_light_tells_that_clips_are_sent_as_long_as_the_uplink_says_so(
    make_rig: MakeRig,
) -> None:
    rig = make_rig()
    rig.run(5)
    uplink = rig.connect(zmq.DEALER, "control")
    uplink.send(pack(SendingNote()))
    rig.until(lambda: rig.recorder.status().indication == "uploading", "uploading")
    rig.run(7)
    assert rig.recorder.status().indication == "standby"


def test_a_session_that_ends_by_itself_alarms_until_somebody_presses(make_rig: MakeRig) -> None:
    free = [1 << 40]
    button = FakeButton()
    rig = make_rig(button=button, indicator=FakeIndicator(), free_bytes=lambda: free[0])
    rig.run(4)
    rig.start()
    rig.run(2)
    free[0] = 0
    rig.clock.advance(6)
    rig.until(lambda: rig.recorder.status().state != "recording", "the end")
    rig.recorder.step()
    assert rig.recorder.status().indication == "alarm"
    rig.settle()
    assert rig.recorder.status().indication == "alarm"
    press(rig, button, 0.2)
    rig.until(lambda: _passes(rig) and rig.recorder.status().indication == "not_ready", "no alarm")


def test_a_low_battery_alarms_when_it_ends_the_session(make_rig: MakeRig) -> None:
    power = FakePower()
    rig = make_rig(power=power)
    rig.start()
    rig.run(2)
    power.reading = PowerReading(on_mains=False, percent=50, failing=True)
    rig.until(lambda: rig.recorder.status().state != "recording", "the end")
    rig.recorder.step()
    assert rig.recorder.status().indication == "alarm"


def test_a_camera_that_is_lost_alarms_while_the_session_goes_on(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.start()
    rig.run(2)
    seen: list[str] = []
    take = rig.recorder._take

    def watch(item: object) -> None:
        take(item)  # type: ignore[arg-type]
        rig.recorder._tick()
        seen.append(rig.recorder.status().indication)

    rig.recorder._take = watch  # type: ignore[method-assign]
    rig.camera.lose("cable out")
    rig.run(2)
    assert "alarm" in seen
    assert seen[-1] == "recording"
    assert rig.recorder.status().state == "recording"


def test_a_broken_button_and_broken_lamps_are_faults_and_cost_no_footage(
    make_rig: MakeRig,
) -> None:
    button, indicator = FakeButton(), FakeIndicator()
    button.lose("none there")
    indicator.error = OSError(19, "No such device")
    rig = make_rig(button=button, indicator=indicator)
    rig.start()
    rig.run(3)
    faults = rig.recorder.status().faults
    assert [fault for fault in faults if "no button" in fault]
    assert [fault for fault in faults if "No such device" in fault]
    assert rig.recorder.status().state == "recording"
    rig.stop()
    rig.run(2)
    rig.settle()
    assert rig.item(0).frames == rig.item(0).sheet.video.frames > 0


def test_a_button_that_comes_back_works_again(make_rig: MakeRig) -> None:
    button = FakeButton()
    rig = make_rig(button=button)
    rig.until(lambda: button.opened == 1, "the button")
    button.edge(True, rig.clock.boot_ns())
    rig.run(0.5)
    button.lose("cable out")
    rig.until(lambda: bool(rig.recorder.status().faults), "the fault")
    button.restore()
    rig.until(lambda: button.opened == 2, "the button")
    rig.run(5)  # no hold of the press that was cut off
    assert not rig.recorder.status().faults
    press(rig, button, 0.2, 0.3, 0.2)
    state(rig, "recording")


def test_a_button_that_is_stuck_is_said(make_rig: MakeRig) -> None:
    button = FakeButton()
    rig = make_rig(button=button)
    rig.until(lambda: button.opened == 1, "the button")
    button.edge(True, rig.clock.boot_ns())
    rig.run(31)
    assert [fault for fault in rig.recorder.status().faults if "down for more than 30 s" in fault]
    button.edge(False, rig.clock.boot_ns())
    rig.until(lambda: not rig.recorder.status().faults, "no fault")
