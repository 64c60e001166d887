"""The command line: every mistake is one line and a code, never a stack trace."""

from pathlib import Path

import pytest

from agent.__main__ import describe, main
from agent.ipc.messages import RecorderStatus

CONFIG = """
[device]
device_id = "cam01"
kind = "desk"
[paths]
state_dir = "state"
runtime_dir = "{runtime}"
[camera]
footage = "clips"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "agent.toml"
    file.write_text(CONFIG.format(runtime=tmp_path / "run"))
    return file


def status(**changes: object) -> RecorderStatus:
    fields: dict[str, object] = {
        "device_id": "cam01",
        "agent_version": "1",
        "state": "standby",
        "session_id": None,
        "clip_id": None,
        "recorded_s": 0.0,
        "pre_roll_ready_s": 12.4,
        "pre_roll_asked_s": 30.0,
        "pre_roll_bytes": 0,
        "frames_captured": 0,
        "frames_written": 0,
        "last_durable_pts_ns": None,
        "writer_queue_s": 0.0,
        "writer_stalls": 0,
        "tagger": "ready",
        "model": "m 1",
        "accelerator": "CPU",
        "coverage_lately": None,
        "clock_trust": "untrusted",
        "free_bytes": 2_000_000_000,
    }
    return RecorderStatus(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_good_configuration_is_said_to_be_good(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(config), "check-config"]) == 0
    assert "good" in capsys.readouterr().out


def test_a_bad_configuration_is_one_line_and_code_2(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(config.read_text() + "[recorder]\npre_roll = 3\n")
    assert main(["--config", str(config), "check-config"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_press_without_a_recorder_is_one_line_with_the_remedy(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(config), "mark"]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "sightline-agent run" in line


@pytest.mark.parametrize("word", ["scenario", "=hostage", "scenario="])
def test_a_declared_label_that_is_no_pair_is_refused(
    config: Path, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    assert main(["--config", str(config), "start", "--declare", word]) == 1
    assert "KEY=VALUE" in capsys.readouterr().err


def test_standby_says_how_much_pre_roll_is_ready() -> None:
    line = describe(status())
    assert line.startswith("cam01: standby; pre-roll 12 of 30 s ready; tagger ready (m 1 on CPU)")


def test_what_is_left_of_card_and_battery_is_in_the_line() -> None:
    line = describe(status(card_minutes_left=61.4, battery_percent=57.0, on_mains=False))
    assert "2.0 GB free, 61 min of room; battery 57 %; clock" in line
    assert "battery 57 %, on mains" in describe(status(battery_percent=57.0, on_mains=True))


def test_a_session_and_every_fault_are_in_the_line() -> None:
    line = describe(
        status(state="post_roll", session_id="s1", recorded_s=61.2, faults=("card full", "hot"))
    )
    assert "post-roll" in line
    assert "session s1, 61 s recorded" in line
    assert line.endswith("FAULT card full; FAULT hot")
