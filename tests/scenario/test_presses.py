"""Start, stop, mark, status and doctor as commands, in the order in which people get them wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from firmware_tools.local_stack import DEVICE_ID, LocalStack
from tests.scenario import evidence
from tests.scenario.commands import agent, only_line
from tests.scenario.conftest import BUNDLE, QUICK, QUICK_FOOTAGE
from tests.scenario.processes import command_lines
from tests.scenario.waiting import status_of, wait_until_sent

pytestmark = pytest.mark.scenario


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A whole stack in standby. Each test leaves it so."""
    folder = tmp_path_factory.mktemp("running")
    with LocalStack(folder, footage=QUICK_FOOTAGE, bundle=BUNDLE, agent=QUICK) as stack:
        stack.wait_ready()
        yield stack
        evidence.assert_no_stack_trace(stack)
    assert not command_lines(folder)


def test_without_a_recorder_every_command_says_how_to_start_it(files: LocalStack) -> None:
    said = only_line(agent(files, "status"), exit_code=1)
    assert "no recorder answers" in said
    assert "sightline-agent run" in said


def test_stop_and_mark_in_standby_are_refused_and_change_nothing(running: LocalStack) -> None:
    for command in ("stop", "mark"):
        said = only_line(agent(running, command), exit_code=1)
        assert "no session is being recorded" in said
        assert "start one first" in said
    assert status_of(running).state == "standby"


def test_a_second_start_press_is_refused_and_the_session_goes_on(running: LocalStack) -> None:
    ran = agent(running, "start", "--declare", "scenario=twice")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "recording" in ran.stdout
    first = status_of(running)
    assert "stop it first" in only_line(agent(running, "start"), exit_code=1)
    assert status_of(running).session_id == first.session_id
    assert agent(running, "mark").returncode == 0
    assert agent(running, "stop").returncode == 0
    wait_until_sent(running)
    (record_of_it,) = [
        one for one in evidence.stored_records(running) if one.session_id == first.session_id
    ]
    assert len(record_of_it.marks_pts_ns) == 1
    assert [(one.key, one.value) for one in record_of_it.declared] == [("scenario", "twice")]


def test_a_declared_label_that_is_no_pair_is_refused(running: LocalStack) -> None:
    said = only_line(agent(running, "start", "--declare", "hostage"), exit_code=1)
    assert "'hostage' is not KEY=VALUE" in said


def test_status_is_one_line_or_one_json_object(running: LocalStack) -> None:
    ran = agent(running, "status")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(ran.stdout.splitlines()) == 1
    assert ran.stdout.startswith(f"{DEVICE_ID}: standby")
    ran = agent(running, "status", "--json")
    assert json.loads(ran.stdout)["device_id"] == DEVICE_ID


def test_doctor_finds_nothing_bad_in_a_whole_stack(running: LocalStack) -> None:
    ran = agent(running, "doctor")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert " bad " not in ran.stdout
    parts = {line.split("  ")[0] for line in ran.stdout.splitlines()}
    assert {"recorder", "camera", "model", "card", "broker"} <= parts
