"""The doctor on button and indicator: held, absent or tried, one line each."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import config, doctor
from agent.config.hands import Button, Indicator
from agent.core.indication_table import NOTHING
from agent.doctor_hands import button, indicator
from agent.drivers.power_several import SeveralPower
from agent.parts import build_power
from tests.contract.indicator_benches import NAMES, SysfsBench
from tests.recorder_rig import Rig


def settings_of(folder: Path, **sections: object) -> config.Settings:
    return config.Settings(
        device=config.Device(device_id="cam01", kind="desk"),
        paths=config.Paths(state_dir=folder / "state", runtime_dir=folder / "run"),
        **sections,  # type: ignore[arg-type]
    )


def test_parts_that_are_not_set_are_said(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert "button.driver" in button(settings, None).fact
    assert "indicator.driver" in indicator(settings, None).fact


def test_a_line_that_is_not_there_is_bad_with_its_remedy(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path,
        button=Button(driver="gpiod", line="NO_SUCH_LINE"),
        indicator=Indicator(driver="gpiod", red="NO_SUCH_LINE"),
    )
    findings = {finding.part: finding for finding in doctor.examine(settings)}
    for part in ("button", "indicator"):
        assert findings[part].state == "bad"
        assert "NO_SUCH_LINE" in findings[part].fact
        assert "gpioinfo" in findings[part].remedy


def test_what_is_there_is_tried_and_let_go(tmp_path: Path) -> None:
    bench = SysfsBench(tmp_path)
    lamps = Indicator(driver="sysfs", leds_dir=tmp_path / "leds", **NAMES)
    settings = settings_of(tmp_path, button=Button(driver="pipe"), indicator=lamps)
    assert button(settings, None).state == "good"
    assert indicator(settings, None).fact.startswith("green, motor, red: all were on")
    assert bench.lit() == NOTHING


def test_what_the_recorder_holds_is_asked_of_it(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path,
        button=Button(driver="gpiod", line="NO_SUCH_LINE"),
        indicator=Indicator(driver="sysfs", red="ACT"),
    )
    with Rig(tmp_path) as rig:
        status = rig.recorder.status()
        assert button(settings, status).state == "good"
        assert "recorder's hands" in indicator(settings, status).fact
        rig.recorder._faults.judge("button", "button lost")
        assert button(settings, rig.recorder.status()).state == "bad"


@pytest.mark.parametrize("driver", ["sysfs", "none"])
def test_the_failing_line_is_watched_beside_the_gauge_by_one_program(
    tmp_path: Path, driver: str
) -> None:
    power = config.Power(driver=driver, supplies_dir=tmp_path, failing_line="X")  # type: ignore[arg-type]
    settings = settings_of(tmp_path, power=power)
    source = build_power(settings, with_line=True)
    assert isinstance(source, SeveralPower) == (driver == "sysfs")
    assert source is not None
    assert "gpioinfo" in source.read().problem
    alone = build_power(settings)
    assert alone is None or "gpioinfo" not in alone.read().problem
