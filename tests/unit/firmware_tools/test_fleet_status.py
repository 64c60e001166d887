"""The table of who runs what, and when a roll-out has failed too often."""

from __future__ import annotations

import msgspec
import pytest

from agent.drivers.broker_fake import FakeBroker, FakeExchange
from agent.errors import BrokerError
from agent.wire.codec import encode
from agent.wire.rollout import RolloutTerms
from agent.wire.telemetry import DeviceStatus, ModelProgress, UpdateState
from agent.wire.topics import up_status
from firmware_tools.fleet_status import FleetWatch, is_over, rows, table
from tests.clock import ManualClock

TERMS = RolloutTerms(
    push=4, name="m", version=2, hardware=("onnxruntime",), groups=("lab",), halt_above=1000
)


def camera(
    number: int,
    state: UpdateState | None = None,
    *,
    push: int = 4,
    hardware: str = "onnxruntime",
    online: bool = True,
    why: str = "",
    percent: int = 0,
) -> DeviceStatus:
    update = None
    if state is not None:
        update = ModelProgress(
            state=state, push=push, name="m", version=2, why=why, percent=percent
        )
    return DeviceStatus(
        device_id=f"cam{number:02}",
        online=online,
        agent_version="0.1.0",
        hardware=hardware,
        groups=("lab",),
        active_model="m 1",
        update=update,
    )


def test_every_state_of_a_push_is_a_line_that_says_it() -> None:
    statuses = [
        camera(1),
        camera(2, "downloading", percent=40),
        camera(3, "rolled_back", why="gave a score that is not a finite number"),
        camera(4, "gating"),
        camera(5, "active", push=3),
        camera(6, "waiting", why="a session is being recorded", online=False),
    ]
    assert table(rows(statuses, [TERMS])) == [
        "camera  hardware     groups  runs  push  state",
        "cam01   onnxruntime  lab     m 1   4     wanted",
        "cam02   onnxruntime  lab     m 1   4     downloading 40 %",
        "cam03   onnxruntime  lab     m 1   4     rolled back: gave a score that is not a finite"
        " number",
        "cam04   onnxruntime  lab     m 1   4     gating",
        "cam05   onnxruntime  lab     m 1   4     wanted",
        "cam06   onnxruntime  lab     m 1   4     waiting: a session is being recorded (offline)",
    ]


def test_a_roll_out_is_over_when_more_failed_than_it_bears() -> None:
    good = [camera(n, "active") for n in range(9)]
    assert not is_over([*good, camera(10, "refused")], TERMS)
    assert is_over([*good, camera(10, "refused"), camera(11, "rolled_back")], TERMS)


def test_cameras_of_other_hardware_and_other_pushes_are_no_failures() -> None:
    others = [camera(n, "refused", hardware="hailo") for n in range(5)]
    others += [camera(9, "rolled_back", push=3), camera(10, "failed"), camera(11)]
    assert not is_over(others, TERMS)


def test_without_a_limit_and_once_withdrawn_nothing_is_over() -> None:
    failed = [camera(1, "refused")]
    assert is_over(failed, TERMS)
    assert not is_over(failed, msgspec.structs.replace(TERMS, halt_above=None))
    assert not is_over(failed, msgspec.structs.replace(TERMS, withdrawn=True))


def test_what_cameras_retain_is_gathered_and_one_that_went_away_keeps_its_last_word() -> None:
    exchange = FakeExchange()
    clock = ManualClock()
    device = FakeBroker(exchange)
    device.start()
    device.read(0)
    device.publish(up_status("cam01"), encode(camera(1, "active")), retain=True)
    device.publish(up_status("cam02"), b"nonsense", retain=True)

    class Waiting(FakeBroker):
        def read(self, timeout_s: float):  # type: ignore[no-untyped-def]
            clock.advance(timeout_s)
            return super().read(0)

    watch = FleetWatch(Waiting(exchange), lambda: clock.boot_ns() / 1e9)
    assert list(watch.gather()) == ["cam01"]
    gone = DeviceStatus(device_id="cam01", online=False, agent_version="0.1.0")
    device.publish(up_status("cam01"), encode(gone), retain=True)
    watch.follow(1.0)
    assert rows(watch.statuses.values(), [TERMS])[0].state == "active (offline)"
    exchange.go_down()
    nobody = FleetWatch(Waiting(exchange), lambda: clock.boot_ns() / 1e9)
    with pytest.raises(BrokerError, match="no broker"):
        nobody.gather()
