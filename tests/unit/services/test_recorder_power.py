"""The recorder on a battery that runs low: everything is closed before the power goes."""

from __future__ import annotations

from agent.drivers.power_fake import FakePower
from agent.ports.power import PowerReading
from tests.recorder_rig import MakeRig, Rig


def charge(rig: Rig, power: FakePower, reading: PowerReading) -> None:
    """Set the supply and wait until it was read often enough to be believed."""
    power.reading = reading
    wanted = power.reads + 5
    rig.until(lambda: power.reads >= wanted, "readings")
    rig.recorder.step()


def test_a_low_battery_closes_clip_and_session_and_refuses_the_next(make_rig: MakeRig) -> None:
    power = FakePower()
    rig = make_rig(power=power, label_grace_s=60)
    rig.start()
    rig.run(3)
    charge(rig, power, PowerReading(on_mains=False, percent=12))
    status = rig.recorder.status()
    assert status.state == "recording"
    assert status.battery_percent == 12
    assert [fault for fault in status.faults if "charge it soon" in fault]
    charge(rig, power, PowerReading(on_mains=False, percent=4))
    assert rig.recorder.status().state != "recording"
    # The labels' grace of a minute is not waited for.
    rig.clock.advance(1.1)
    rig.until(lambda: rig.recorder.status().state == "standby", "standby")
    record = rig.item("record").record
    assert record.ended == "low_battery"
    assert not rig.item(0).manifest.recovered
    assert rig.item(0).frames == rig.item(0).sheet.video.frames == 40 - 10 + 1
    assert rig.spool.clips("recording") == []
    assert "charge it before recording" in rig.start().refused

    charge(rig, power, PowerReading(on_mains=False, percent=7))
    assert "charge it before recording" in rig.start().refused
    charge(rig, power, PowerReading(on_mains=True, percent=7))
    assert rig.recorder.status().faults == ()
    assert rig.start().refused == ""


def test_a_supply_that_fails_ends_the_session_though_the_battery_is_full(
    make_rig: MakeRig,
) -> None:
    power = FakePower(PowerReading(on_mains=True, percent=100))
    rig = make_rig(power=power)
    rig.start()
    rig.run(2)
    charge(rig, power, PowerReading(on_mains=False, percent=100, failing=True))
    rig.settle()
    assert rig.item("record").record.ended == "low_battery"
    assert "power is failing" in rig.start().refused


def test_a_session_ended_by_the_battery_is_not_gone_on_with_after_a_restart(
    make_rig: MakeRig,
) -> None:
    power = FakePower()
    rig = make_rig(power=power, os_boot="one")
    rig.start()
    rig.run(2)
    charge(rig, power, PowerReading(on_mains=False, percent=1))
    rig.written()
    rig.close()
    power.reading = PowerReading(on_mains=True, percent=50)
    again = make_rig(keys=rig.keys, clock=rig.clock, boot=2, os_boot="one", power=power)
    assert again.recorder.status().state == "standby"


def test_a_broken_gauge_costs_no_footage(make_rig: MakeRig) -> None:
    power = FakePower()
    rig = make_rig(power=power)
    rig.start()
    power.error = OSError(5, "Input/output error")
    charge(rig, power, power.reading)
    rig.run(2)
    assert rig.recorder.status().state == "recording"
    assert rig.recorder.status().battery_percent is None
