"""Orders reach the broker retained, once each, and again when the broker forgot them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.wire.topics import down_keys, down_request
from collector.orders import ORDERS_DIR
from tests.collector_rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def put(rig: Rig, name: str, content: bytes) -> None:
    folder = rig.root / "store" / ORDERS_DIR
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "new").write_bytes(content)
    (folder / "new").replace(folder / name)


def later(rig: Rig) -> None:
    rig.now_s += 5
    rig.settle()


def test_orders_are_passed_on_at_start_and_while_running(rig: Rig) -> None:
    put(rig, "cam01.request.jws", b"first")
    rig.start()
    assert rig.exchange.retained[down_request("cam01")].payload == b"first"
    put(rig, "cam01.request.jws", b"second")
    put(rig, "cam02.keys.json", b"keys")
    later(rig)
    assert rig.exchange.retained[down_request("cam01")].payload == b"second"
    assert rig.exchange.retained[down_keys("cam02")].payload == b"keys"
    rig.stop()


def test_broker_that_forgot_what_it_retained_is_told_again(rig: Rig) -> None:
    put(rig, "cam01.request.jws", b"first")
    rig.start()
    rig.exchange.retained.clear()
    later(rig)
    assert rig.exchange.retained == {}
    rig.exchange.go_down()
    rig.settle()
    rig.exchange.come_up()
    later(rig)
    assert down_request("cam01") in rig.exchange.retained
    rig.stop()


def test_more_orders_than_fit_at_once_all_get_through(rig: Rig) -> None:
    for number in range(100):
        put(rig, f"cam{number}.request.jws", b"x")
    rig.start()
    later(rig)
    assert len(rig.exchange.retained) == 100
    rig.stop()
