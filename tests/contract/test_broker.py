"""What every Broker keeps, over the fake, a plain Mosquitto and a Mosquitto with mutual TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.drivers.broker_fake import FakeBroker
from agent.errors import BrokerError
from agent.ports.broker import Arrived, Broker, LastWill, Settled
from firmware_tools.dev_fleet import make_fleet
from firmware_tools.mosquitto_conf import MAX_PACKET_BYTES
from tests.broker_grounds import (
    DOWN,
    UP,
    FakeGround,
    Ground,
    PlainGround,
    TlsGround,
    arrived,
    connected,
    disconnected,
    settled,
    until,
)


@pytest.fixture(params=["fake", "plain", "tls"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    made: Ground
    if request.param == "fake":
        made = FakeGround()
    elif request.param == "plain":
        made = PlainGround(tmp_path)
    else:
        made = TlsGround(make_fleet(tmp_path / "fleet", ["cam01", "cam02"]))
    yield made
    made.go_down()


@pytest.fixture
def pair(ground: Ground) -> Iterator[tuple[Broker, Broker]]:
    """The camera and the collector, connected and subscribed to each other."""
    camera, collector = ground.client("cam01"), ground.client("collector")
    camera.subscribe("sightline/v1/down/cam01/clip/+")
    collector.subscribe("sightline/v1/up/#")
    for each in (camera, collector):
        each.start()
        connected(each)
    yield camera, collector
    camera.stop()
    collector.stop()


def test_message_arrives_whole_with_its_properties(pair: tuple[Broker, Broker]) -> None:
    camera, collector = pair
    payload = bytes(range(256)) * 1024
    properties = {"crc32c": "0badcafe", "more": "ä"}
    token = camera.publish(UP, payload, properties=properties)
    assert settled(camera, token).outcome == "taken"
    assert arrived(collector) == Arrived(topic=UP, payload=payload, properties=properties)


@pytest.mark.parametrize("qos", [0, 1])
def test_each_publish_settles_once_and_order_is_kept(pair: tuple[Broker, Broker], qos: int) -> None:
    camera, collector = pair
    tokens = [camera.publish(UP, b"%d" % number, qos=qos) for number in range(5)]
    assert None not in tokens
    assert len(set(tokens)) == 5
    for token in tokens:
        assert settled(camera, token).outcome == "taken"
    assert [arrived(collector).payload for _ in range(5)] == [b"%d" % n for n in range(5)]


def test_publish_that_nobody_subscribed_to_says_so(ground: Ground) -> None:
    camera = ground.client("cam01")
    camera.start()
    connected(camera)
    token = camera.publish(UP, b"x")
    assert settled(camera, token).outcome == "no_subscriber"
    camera.stop()


def test_empty_payload_arrives(pair: tuple[Broker, Broker]) -> None:
    camera, collector = pair
    collector.publish(DOWN, b"")
    assert arrived(camera) == Arrived(topic=DOWN, payload=b"")


def test_payload_above_the_limit_is_refused_and_the_connection_stays(
    pair: tuple[Broker, Broker],
) -> None:
    camera, collector = pair
    token = camera.publish(UP, bytes(MAX_PACKET_BYTES + 1))
    assert settled(camera, token).outcome == "refused"
    camera.publish(UP, b"after")
    assert arrived(collector).payload == b"after"


def test_publish_before_connected_sends_nothing(ground: Ground) -> None:
    camera = ground.client("cam01")
    assert camera.publish(UP, b"x") is None
    camera.start()
    connected(camera)
    camera.stop()
    assert camera.publish(UP, b"x") is None


def test_read_without_anything_returns_none(pair: tuple[Broker, Broker]) -> None:
    camera, _collector = pair
    assert camera.read(0) is None
    assert camera.read(0.01) is None


def test_full_pipe_sends_nothing_and_empties_again(pair: tuple[Broker, Broker]) -> None:
    camera, collector = pair
    taken = 0
    while camera.publish(UP, bytes(256 * 1024)) is not None:
        taken += 1
        assert taken < 10_000
    until(camera, lambda item: isinstance(item, Settled))
    assert camera.publish(UP, b"room again") is not None
    while arrived(collector).payload != b"room again":
        taken -= 1
    assert taken == 0


def test_broker_that_falls_is_reported_and_found_again(
    ground: Ground, pair: tuple[Broker, Broker]
) -> None:
    camera, collector = pair
    ground.go_down()
    assert disconnected(camera)
    assert camera.publish(UP, b"lost") is None
    ground.come_up()
    connected(camera)
    connected(collector)
    token = camera.publish(UP, b"found")
    assert settled(camera, token).outcome == "taken"
    assert arrived(collector).payload == b"found"


def test_what_was_in_flight_at_a_disconnect_is_not_sent_again(
    ground: Ground, pair: tuple[Broker, Broker]
) -> None:
    camera, collector = pair
    for _ in range(8):
        camera.publish(UP, bytes(64 * 1024))
    ground.go_down()
    disconnected(camera)
    disconnected(collector)
    ground.come_up()
    connected(collector)
    connected(camera)
    camera.publish(UP, b"first")
    assert arrived(collector).payload == b"first"


def test_last_will_is_published_when_the_connection_is_cut(ground: Ground) -> None:
    watcher, will = ground.client("collector"), LastWill(topic=UP, payload=b"gone")
    camera = ground.client("cam01", will=will)
    watcher.subscribe("sightline/v1/up/#")
    watcher.start()
    connected(watcher)
    camera.start()
    connected(camera)
    if isinstance(ground, FakeGround) and isinstance(camera, FakeBroker):
        ground.exchange.drop(camera, "cut")
    else:
        usurper = ground.client("cam01")  # the same id: the broker throws the first one out
        usurper.start()
        connected(usurper)
        usurper.stop()
    assert arrived(watcher).payload == b"gone"
    camera.stop()
    watcher.stop()


def test_clean_stop_publishes_what_is_queued_and_no_last_will(ground: Ground) -> None:
    watcher = ground.client("collector")
    watcher.subscribe("sightline/v1/up/#")
    watcher.start()
    connected(watcher)
    camera = ground.client("cam01", will=LastWill(topic=UP, payload=b"gone"))
    camera.start()
    connected(camera)
    camera.publish(UP, b"goodbye")
    camera.stop()
    camera.stop()
    other = ground.client("cam01")
    other.start()
    connected(other)
    other.publish(UP, b"next")
    assert [arrived(watcher).payload for _ in range(2)] == [b"goodbye", b"next"]
    other.stop()
    watcher.stop()


def test_retained_message_greets_who_comes_later(ground: Ground) -> None:
    camera, late = ground.client("cam01"), ground.client("collector")
    camera.start()
    connected(camera)
    settled(camera, camera.publish(UP, b"kept", retain=True))
    late.subscribe("sightline/v1/up/#")
    late.start()
    assert arrived(late).payload == b"kept"
    camera.stop()
    late.stop()


def test_broker_started_twice_is_an_error(pair: tuple[Broker, Broker]) -> None:
    with pytest.raises(BrokerError):
        pair[0].start()


def test_hung_up_connection_sends_no_more_and_comes_again(pair: tuple[Broker, Broker]) -> None:
    camera, collector = pair
    camera.hang_up()
    disconnected(camera)
    assert camera.publish(UP, b"too late") is None
    connected(camera)
    token = camera.publish(UP, b"again")
    assert settled(camera, token).outcome == "taken"
    assert arrived(collector).payload == b"again"


def test_hanging_up_without_a_connection_does_nothing(ground: Ground) -> None:
    camera = ground.client("cam01")
    camera.hang_up()
    camera.start()
    connected(camera)
    token = camera.publish(UP, b"here", qos=0)
    assert settled(camera, token).outcome == "taken"
    camera.stop()
