"""Waiting for a stack to get somewhere: always on a condition, always with an end."""

from __future__ import annotations

from agent.ipc.messages import RecorderStatus
from firmware_tools.local_stack import LocalStack
from tests.scenario.evidence import shelf


def status_of(stack: LocalStack) -> RecorderStatus:
    """The recorder's state, as soon as it answers."""
    answers: list[RecorderStatus] = []

    def answered() -> bool:
        now = stack.status()
        answers.extend([] if now is None else [now])
        return bool(answers)

    stack.wait_until(answered, timeout_s=30, what="the recorder")
    return answers[-1]


def wait_for_frames(stack: LocalStack, count: int) -> None:
    """Until the camera gave `count` frames more."""
    goal = status_of(stack).frames_captured + count

    def reached() -> bool:
        now = stack.status()
        return now is not None and now.frames_captured >= goal

    stack.wait_until(reached, timeout_s=90, what=f"{count} frames")


def wait_for_standby(stack: LocalStack) -> None:
    """Until the session's clips and its record are out of the recorder's hands."""

    def in_standby() -> bool:
        now = stack.status()
        return now is not None and now.state == "standby"

    stack.wait_until(in_standby, timeout_s=60, what="standby")


def wait_until_sent(stack: LocalStack) -> None:
    """Until nothing is recorded and everything on the card has its receipt."""
    wait_for_standby(stack)
    stack.wait_until(
        lambda: not shelf(stack, "recording") and not shelf(stack, "outbox"),
        timeout_s=90,
        what="the receipts of all clips",
    )
    assert not shelf(stack, "rejected")
