"""The card's line: room, speed, and what device and file system say of their health."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.config import Device, Paths, Settings
from agent.doctor import Visit, examine_part


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        device=Device(device_id="cam01", kind="desk"),
        paths=Paths(state_dir=tmp_path / "state", runtime_dir=tmp_path / "run"),
    )


def kernel(folder: Path, state_dir: Path, device: dict[str, str], errors: str = "") -> Path:
    """A /sys in which the card under `state_dir` is partition mmcblk0p2 of mmcblk0."""
    state_dir.mkdir(parents=True, exist_ok=True)
    number = state_dir.stat().st_dev
    partition = folder / "devices" / "mmcblk0" / "mmcblk0p2"
    partition.mkdir(parents=True)
    for name, content in device.items():
        (partition.parent / "device").mkdir(exist_ok=True)
        (partition.parent / "device" / name).write_text(f"{content}\n")
    block = folder / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}"
    block.parent.mkdir(parents=True)
    block.symlink_to(partition)
    if errors:
        count = folder / "fs" / "ext4" / "mmcblk0p2" / "errors_count"
        count.parent.mkdir(parents=True)
        count.write_text(f"{errors}\n")
    return folder


@pytest.mark.parametrize(
    ("device", "errors", "is_bad", "says"),
    [
        ({"life_time": "0x01 0x01"}, "0", False, "0 to 10 % of its life used"),
        ({"life_time": "0x03 0x05", "pre_eol_info": "0x01"}, "0", False, "40 to 50 %"),
        ({"life_time": "0x0b 0x02"}, "0", True, "100 to 110 % of its life used"),
        ({"life_time": "0x01 0x01", "pre_eol_info": "0x03"}, "0", True, "reserve is used up"),
        ({"life_time": "0x00 0x00"}, "0", False, "no file system errors"),
        ({"life_time": "rubbish"}, "", False, "it says nothing of its health"),
        ({}, "7", True, "the file system counts 7 errors"),
        ({}, "0", False, "no file system errors"),
        ({}, "", False, "it says nothing of its health"),
    ],
)
def test_what_the_card_says_of_its_health_is_said_and_judged(
    device: dict[str, str], errors: str, is_bad: bool, says: str, settings: Settings, tmp_path: Path
) -> None:
    sys_dir = kernel(tmp_path / "sys", settings.paths.state_dir, device, errors)
    line = examine_part("card", Visit(settings, None, sys_dir))
    assert says in line.fact
    assert (line.state == "bad") == is_bad
    assert ("new card" in line.remedy) == is_bad


def test_speed_and_room_are_measured_and_nothing_is_left_behind(settings: Settings) -> None:
    line = examine_part("card", Visit(settings, None))
    assert "MB/s (0.5 needed)" in line.fact
    assert "min of room" in line.fact
    assert list((settings.paths.state_dir / "state").iterdir()) == []


def test_card_that_takes_no_writes_is_bad_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(
        device=Device(device_id="cam01", kind="desk"),
        paths=Paths(state_dir=tmp_path / "file" / "state", runtime_dir=tmp_path / "run"),
    )
    line = examine_part("card", Visit(settings, None))
    assert line.state == "bad"
    assert str(tmp_path / "file") in line.fact
    assert line.remedy
