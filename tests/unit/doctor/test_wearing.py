"""The doctor on button and indicator: held, absent or tried, one line each."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import config
from agent.config.hands import Button, Indicator
from agent.core.indication_table import NOTHING
from agent.doctor.finding import Visit
from agent.doctor.report import examine
from agent.doctor.wearing import check_button, check_led
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
    assert "none configured" in check_button(Visit(settings, None)).fact
    assert "none configured" in check_led(Visit(settings, None)).fact


def test_a_line_that_is_not_there_is_bad_with_its_remedy(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path,
        button=Button(driver="gpiod", line="NO_SUCH_LINE"),
        indicator=Indicator(driver="gpiod", red="NO_SUCH_LINE"),
    )
    findings = {finding.part: finding for finding in examine(settings)}
    for part in ("button", "LED"):
        assert findings[part].state == "bad"
        assert "NO_SUCH_LINE" in findings[part].fact
        assert "gpioinfo" in findings[part].remedy


def test_what_is_there_is_tried_and_let_go(tmp_path: Path) -> None:
    bench = SysfsBench(tmp_path)
    lamps = Indicator(driver="sysfs", leds_dir=tmp_path / "leds", **NAMES)
    settings = settings_of(tmp_path, button=Button(driver="pipe"), indicator=lamps)
    assert check_button(Visit(settings, None)).state == "good"
    assert check_led(Visit(settings, None)).fact.startswith("sysfs: green, motor, red, all on")
    assert bench.lit() == NOTHING


def test_what_the_recorder_holds_is_asked_of_it(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path,
        button=Button(driver="gpiod", line="NO_SUCH_LINE"),
        indicator=Indicator(driver="sysfs", red="ACT"),
    )
    with Rig(tmp_path) as rig:
        status = rig.recorder.status()
        assert check_button(Visit(settings, status)).state == "good"
        assert "held by the recorder" in check_led(Visit(settings, status)).fact
        rig.recorder._faults.judge("button", "button lost")
        assert check_button(Visit(settings, rig.recorder.status())).state == "bad"


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
