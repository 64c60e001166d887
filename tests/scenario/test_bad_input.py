"""Bad input to the real programs: one clear line, the remedy, an exit code; nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firmware_tools.dev_fleet import make_fleet
from firmware_tools.local_broker import LocalBroker
from firmware_tools.local_stack import DEVICE_ID, LocalStack
from tests.footage_maker import write_mp4
from tests.scenario import evidence
from tests.scenario.commands import agent, only_line, program
from tests.scenario.conftest import (
    QUICK_FOOTAGE,
    QUICK_PERIOD_NS,
    QUICK_RATE_HZ,
    MakeStack,
)
from tests.scenario.processes import command_lines, pid_of
from tests.scenario.waiting import (
    status_of,
    wait_for_frames,
    wait_for_standby,
    wait_until_sent,
)

pytestmark = pytest.mark.scenario

CUT_PERIOD_NS = 50_000_000  # of the footage that is cut in the middle


# --- settings


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("pre_roll_s", "pre_rol_s", "recorder.pre_rol_s"),
        ("[recorder]", "[recodrer]", "recodrer"),
        ("frame_rate_hz = 35", 'frame_rate_hz = "fast"', "camera.frame_rate_hz"),
        ("frame_rate_hz = 35", "frame_rate_hz = 1000", "camera.frame_rate_hz"),
        ("[recorder]", "[recorder", "line"),
        ('kind = "desk"', 'kind = "camera"', "camera.driver"),
    ],
    ids=["unknown key", "unknown section", "wrong type", "out of range", "no TOML", "fake"],
)
@pytest.mark.parametrize("command", ["check-config", "recorder"])
def test_a_setting_that_cannot_be_used_is_named_with_its_file(
    files: LocalStack, tmp_path: Path, command: str, old: str, new: str, key: str
) -> None:
    text = files.agent_config.read_text()
    assert old in text
    config = tmp_path / "agent.toml"
    config.write_text(text.replace(old, new))
    said = only_line(program("agent", "--config", config, command), exit_code=2)
    assert str(config) in said
    assert key in said


def test_a_settings_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for command in ("check-config", "run", "doctor"):
        said = only_line(program("agent", "--config", tmp_path / "no.toml", command), exit_code=2)
        assert str(tmp_path / "no.toml") in said
        assert "--config FILE" in said


def test_a_bad_setting_of_the_collector_is_named_with_its_file(
    files: LocalStack, tmp_path: Path
) -> None:
    config = tmp_path / "collector.toml"
    config.write_text(files.collector_config.read_text().replace("store_dir", "stor_dir"))
    said = only_line(program("collector", "run", "--config", config), exit_code=2)
    assert str(config) in said
    assert "stor_dir" in said


def test_good_settings_are_called_good(files: LocalStack) -> None:
    ran = agent(files, "check-config")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"{files.agent_config}: good" in ran.stdout
    ran = program("collector", "check-config", "--config", files.collector_config)
    assert (ran.returncode, ran.stderr) == (0, "")


# --- keys

KeyFile = Callable[[LocalStack], Path]
DEVICE_KEYS: list[tuple[str, str, KeyFile]] = [
    ("recorder", "collector key", lambda s: s.fleet.device(DEVICE_ID).recipients_file),
    ("recorder", "custody key", lambda s: s.fleet.device(DEVICE_ID).custody_key_file),
    ("uplink", "collector key", lambda s: s.fleet.device(DEVICE_ID).receipt_key_file),
    ("uplink", "certificate", lambda s: s.fleet.device(DEVICE_ID).tls.cert_file),
]
COLLECTOR_KEYS: list[KeyFile] = [
    lambda s: s.fleet.collector.age_identity_file,
    lambda s: s.fleet.collector.receipt_private_key_file,
    lambda s: s.fleet.collector.tls.key_file,
    lambda s: s.fleet.collector.devices_dir,
]


@pytest.fixture
def taken_away() -> Iterator[Callable[[Path], None]]:
    """Takes a file away until the test is over."""
    moved: list[Path] = []

    def take(path: Path) -> None:
        path.rename(path.with_name(f"{path.name}.away"))
        moved.append(path)

    yield take
    for path in moved:
        path.with_name(f"{path.name}.away").rename(path)


@pytest.mark.parametrize(
    ("service", "part", "key_file"), DEVICE_KEYS, ids=["recipients", "custody", "receipt", "tls"]
)
def test_a_key_file_missing_on_the_camera_is_named_with_the_remedy(
    files: LocalStack,
    taken_away: Callable[[Path], None],
    service: str,
    part: str,
    key_file: KeyFile,
) -> None:
    path = key_file(files)
    taken_away(path)
    said = only_line(agent(files, service), exit_code=1)
    assert str(path) in said
    assert "provision" in said
    ran = agent(files, "doctor", "--json")
    assert ran.returncode == 1
    findings = {one["part"]: one for one in json.loads(ran.stdout)["findings"]}
    assert findings[part]["state"] == "bad"
    assert str(path) in findings[part]["fact"]
    assert findings[part]["remedy"]
    assert not evidence.stack_traces(ran.stderr)


@pytest.mark.parametrize(
    "key_file", COLLECTOR_KEYS, ids=["age identity", "receipt", "tls", "devices"]
)
def test_a_key_file_missing_on_the_collector_is_named_with_the_remedy(
    files: LocalStack, taken_away: Callable[[Path], None], key_file: KeyFile
) -> None:
    path = key_file(files)
    taken_away(path)
    ran = program("collector", "run", "--config", files.collector_config)
    said = only_line(ran, exit_code=1)
    assert str(path) in said
    assert any(word in said for word in ("correct", "provision", "make"))


def test_a_recorder_without_its_key_holds_up_nobody_and_begins_when_the_key_is_there(
    make_stack: MakeStack,
) -> None:
    stack = make_stack(programs=("agent",))
    key = stack.fleet.device(DEVICE_ID).custody_key_file
    away = key.rename(key.with_name("away"))
    log = stack.logs_dir / "agent.log"

    def says_it_twice() -> bool:
        return log.exists() and log.read_text().count(f"{key} cannot be read") >= 2

    stack.wait_until(says_it_twice, timeout_s=30, what="the recorder to name its key file twice")
    assert pid_of(stack, "tagger") is not None
    assert pid_of(stack, "uplink") is not None
    away.rename(key)
    stack.wait_ready()
    evidence.assert_no_stack_trace(stack)


# --- footage


def make_footage(folder: Path, kind: str) -> Path:
    path = folder / "x.mp4"
    if kind == "directory":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("this is no video\n" * 100)
    elif kind == "cut in its index":
        path.write_bytes(QUICK_FOOTAGE.read_bytes()[:2000])
    elif kind == "cut":
        # Its index lies in front, so that a player gets as far as the cut.
        whole = write_mp4(folder / "whole.mov", width=320, height=240, frames=60, frame_rate_hz=20)
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 4])
    return path


@pytest.mark.parametrize("kind", ["missing", "directory", "empty", "text", "cut in its index"])
def test_footage_that_cannot_be_replayed_is_named_with_the_remedy(
    files: LocalStack, tmp_path: Path, kind: str
) -> None:
    path = make_footage(tmp_path, kind)
    config = tmp_path / "agent.toml"
    config.write_text(files.agent_config.read_text().replace(str(QUICK_FOOTAGE), str(path)))
    ran = program("agent", "--config", config, "doctor", "--json")
    assert ran.returncode == 1
    assert not evidence.stack_traces(ran.stderr)
    findings = {one["part"]: one for one in json.loads(ran.stdout)["findings"]}
    assert findings["camera"]["state"] == "bad"
    assert str(path) in findings["camera"]["fact"]
    assert findings["camera"]["remedy"]


def test_a_camera_without_pictures_refuses_the_start_press_and_records_when_there_are_some(
    make_stack: MakeStack, tmp_path: Path
) -> None:
    path = make_footage(tmp_path, "empty")
    stack = make_stack(footage=path)
    stack.wait_until(lambda: bool(status_of(stack).faults), timeout_s=30, what="the fault")
    said = only_line(agent(stack, "start"), exit_code=1)
    assert str(path) in said
    assert "copy it again" in said
    ran = agent(stack, "status")
    assert ran.returncode == 0
    assert f"FAULT footage {path}" in ran.stdout
    path.write_bytes(QUICK_FOOTAGE.read_bytes())
    wait_for_frames(stack, 1)
    assert agent(stack, "start").returncode == 0
    assert agent(stack, "stop").returncode == 0
    evidence.assert_no_stack_trace(stack)


def test_footage_cut_in_the_middle_is_replayed_up_to_there_and_all_of_it_arrives(
    make_stack: MakeStack, tmp_path: Path
) -> None:
    path = make_footage(tmp_path, "cut")
    stack = make_stack(footage=path)
    stack.wait_ready()
    stack.start()
    wait_for_frames(stack, 100)  # more than there are before the cut: it was met
    stack.stop()
    wait_until_sent(stack)
    clips = evidence.stored_clips(stack)
    assert clips
    evidence.assert_frames_continuous(clips, CUT_PERIOD_NS)
    log = (stack.logs_dir / "agent.log").read_text()
    assert log.count(f"footage {path} is damaged, cut short") == 1
    evidence.assert_no_stack_trace(stack)


def test_the_demo_names_footage_that_is_no_video(tmp_path: Path) -> None:
    path = make_footage(tmp_path, "text")
    ran = program("firmware_tools.demo", "--footage", path, "--out", tmp_path / "demo")
    assert ran.returncode == 1
    assert str(path) in ran.stderr.strip().splitlines()[-1]
    assert not evidence.stack_traces(ran.stderr)
    assert not command_lines(tmp_path)


# --- the broker


def test_without_a_broker_clips_wait_and_arrive_when_there_is_one(make_stack: MakeStack) -> None:
    stack = make_stack(programs=("agent", "collector"))
    stack.wait_ready()
    waiting = record_session(stack)
    log = (stack.logs_dir / "agent.log").read_text()
    assert log.count("no broker, recording goes on and clips wait") == 1
    assert f"{stack.fleet.host}:{stack.fleet.port}" in log
    with LocalBroker(stack.fleet):
        wait_until_sent(stack)
        assert set(waiting) <= set(evidence.shelf(stack, "sent"))
        evidence.assert_frames_continuous(evidence.stored_clips(stack), QUICK_PERIOD_NS)
        evidence.assert_no_stack_trace(stack)


def test_a_broker_with_a_foreign_certificate_gets_nothing_and_is_named(
    make_stack: MakeStack, tmp_path: Path
) -> None:
    stack = make_stack(programs=("agent", "collector"))
    foreign = make_fleet(tmp_path / "foreign", [DEVICE_ID], port=stack.fleet.port)
    with LocalBroker(foreign):
        stack.wait_ready()
        waiting = record_session(stack)
        ran = agent(stack, "doctor", "--json")
        assert ran.returncode == 1
        findings = {one["part"]: one for one in json.loads(ran.stdout)["findings"]}
        assert findings["broker"]["state"] == "bad"
        assert "certificate is not trusted" in findings["broker"]["fact"]
        assert "uplink.ca_file" in findings["broker"]["remedy"]
    complaints = [
        line
        for line in (stack.logs_dir / "agent.log").read_text().splitlines()
        if " uplink: " in line and "certificate" in line
    ]
    assert len(complaints) == 1
    assert f"{stack.fleet.host}:{stack.fleet.port}" in complaints[0]
    with LocalBroker(stack.fleet):
        wait_until_sent(stack)
        assert set(waiting) <= set(evidence.shelf(stack, "sent"))
        evidence.assert_no_stack_trace(stack)


def record_session(stack: LocalStack) -> list[str]:
    """A session from press to standby; what then waits in the outbox."""
    stack.start({"scenario": "patience"})
    wait_for_frames(stack, 3 * QUICK_RATE_HZ)
    stack.stop()
    wait_for_standby(stack)
    waiting = evidence.shelf(stack, "outbox")
    assert len(waiting) >= 2  # a clip at least, and the session record
    assert not evidence.stored_clips(stack)
    return waiting
