"""What a real Mosquitto lets a fleet's certificates do: each device its own topics alone."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.wire import topics
from firmware_tools.dev_fleet import Fleet, TlsFiles, make_fleet
from firmware_tools.local_broker import LocalBroker
from firmware_tools.mosquitto_conf import MAX_PACKET_BYTES, MAX_PAYLOAD_BYTES

DEADLINE_S = 10.0
DENIED = 0x87
SECRET = "0123456789abcdef0123456789abcdef"
CLIP = "cam01-0123456789abcdef-000001-0001-0000"


class Peer:
    """One MQTT v5 connection that notes what it hears, for assertions."""

    def __init__(
        self,
        fleet: Fleet,
        tls: TlsFiles,
        *,
        client_id: str = "anything",
        will_topic: str = "",
    ) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._connected: queue.Queue[tuple[ReasonCode, Properties | None]] = queue.Queue()
        self._settled: queue.Queue[ReasonCode] = queue.Queue()
        self._subscribed: queue.Queue[None] = queue.Queue()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5
        )
        self._client.tls_set(str(tls.ca_file), str(tls.cert_file), str(tls.key_file))
        if will_topic:
            self._client.will_set(will_topic, b"will", qos=1)
        self._client.on_connect = lambda _c, _u, _f, reason, properties: self._connected.put(
            (reason, properties)
        )
        self._client.on_message = lambda _c, _u, message: self.heard.put(
            (message.topic, message.payload)
        )
        self._client.on_publish = lambda _c, _u, _m, reason, _p: self._settled.put(reason)
        self._client.on_subscribe = lambda *_: self._subscribed.put(None)
        self._client.connect(fleet.host, fleet.port)
        self._client.loop_start()
        self.answer, self.connack = self._connected.get(timeout=DEADLINE_S)

    def subscribe(self, topic_filter: str) -> None:
        self._client.subscribe(topic_filter, qos=1)
        self._subscribed.get(timeout=DEADLINE_S)

    def publish(self, topic: str, payload: bytes = b"x", *, retain: bool = False) -> int:
        """The reason code of the broker's answer."""
        self._client.publish(topic, payload, qos=1, retain=retain)
        return self._settled.get(timeout=DEADLINE_S).value

    def try_to_subscribe(self, topic_filter: str) -> None:
        """Subscribe by force: with a filter that the library would refuse, too."""
        with contextlib.suppress(ValueError):
            self._client.subscribe(topic_filter, qos=1)
        with contextlib.suppress(queue.Empty):
            self._subscribed.get(timeout=0.2)

    def vanish(self) -> None:
        """The network is gone, without a goodbye."""
        connection = self._client.socket()
        assert connection is not None
        connection.shutdown(socket.SHUT_RDWR)
        self._client.loop_stop()

    def next(self) -> tuple[str, bytes]:
        return self.heard.get(timeout=DEADLINE_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        # They refer to us, and we to the client: paho closes its sockets when the client goes.
        self._client.on_connect = self._client.on_message = None
        self._client.on_publish = self._client.on_subscribe = None


Join = Callable[..., Peer]


@pytest.fixture
def join(fleet: Fleet, broker: LocalBroker) -> Iterator[Join]:
    """Connects as a device, or as the collector when no id is given."""
    assert broker.is_running
    peers: list[Peer] = []

    def connect(device_id: str = "", **words: str) -> Peer:
        tls = fleet.device(device_id).tls if device_id else fleet.collector.tls
        peers.append(Peer(fleet, tls, **words))
        return peers[-1]

    yield connect
    for peer in peers:
        peer.close()


def test_device_reaches_the_collector_and_hears_its_answer(join: Join) -> None:
    collector, camera = join(), join("cam01")
    collector.subscribe(topics.UP_MANIFESTS)
    camera.subscribe(topics.down_clips("cam01"))
    assert camera.publish(topics.up_manifest("cam01", CLIP), b"open") == 0
    assert collector.next() == (topics.up_manifest("cam01", CLIP), b"open")
    assert collector.publish(topics.down_clip("cam01", CLIP), b"need") == 0
    assert camera.next() == (topics.down_clip("cam01", CLIP), b"need")


def test_shared_subscription_of_collectors_hears_devices(join: Join) -> None:
    collector, camera = join(), join("cam02")
    collector.subscribe(f"$share/collectors/{topics.UP_PARTS}")
    assert camera.publish(topics.up_part("cam02", CLIP, 7), b"part") == 0
    assert collector.next() == (topics.up_part("cam02", CLIP, 7), b"part")


@pytest.mark.parametrize(
    "topic",
    [
        topics.up_manifest("cam02", CLIP),
        topics.up_status("cam02"),
        topics.up_event("cam02"),
        topics.up_part("cam02", CLIP, 0),
        topics.up_status("cam011"),
        f"{topics.ROOT}/up",
        f"{topics.ROOT}/up//status",
        f"/{topics.up_status('cam01')}",
        topics.down_clip("cam01", CLIP),
        topics.down_clip("cam02", CLIP),
        f"{topics.ROOT}/tuf/metadata/root.json",
        "elsewhere",
        "$SYS/broker/version",
        "$share/collectors/elsewhere",
    ],
)
def test_device_cannot_publish_outside_its_own_prefix(join: Join, topic: str) -> None:
    collector, camera = join(), join("cam01")
    collector.subscribe("#")
    assert camera.publish(topic, b"forged") == DENIED
    # What was allowed arrives, so what was denied would have arrived before it.
    assert camera.publish(topics.up_status("cam01"), b"own") == 0
    assert collector.next() == (topics.up_status("cam01"), b"own")


@pytest.mark.parametrize(
    "topic_filter",
    [
        "#",
        "+/#",
        f"{topics.ROOT}/+/+/#",
        f"{topics.ROOT}/down/#",
        f"{topics.ROOT}/down/+/clip/+",
        topics.down_clips("cam02"),
        topics.down_clip("cam02", CLIP),
        topics.UP_MANIFESTS,
        topics.UP_STATUS,
        topics.up_status("cam02"),
        f"$share/mine/{topics.UP_MANIFESTS}",
        f"$share/mine/{topics.ROOT}/down/#",
        f"$share/mine/{topics.down_clips('cam02')}",
    ],
)
def test_device_hears_nothing_that_is_meant_for_another(join: Join, topic_filter: str) -> None:
    collector, other, camera = join(), join("cam02"), join("cam01")
    other.publish(topics.up_status("cam02"), b"retained of cam02", retain=True)
    camera.subscribe(topic_filter)
    camera.subscribe(topics.down_clips("cam01"))
    collector.publish(topics.down_clip("cam02", CLIP), b"for cam02")
    other.publish(topics.up_manifest("cam02", CLIP), b"by cam02")
    collector.publish(topics.down_clip("cam01", CLIP), b"for cam01")
    # The broker keeps the order: had it let the others through, they would be here first.
    assert camera.next() == (topics.down_clip("cam01", CLIP), b"for cam01")


def test_device_hears_nothing_of_the_broker_itself(join: Join) -> None:
    collector, camera = join(), join("cam01")
    camera.subscribe("$SYS/#")
    camera.subscribe(topics.down_clips("cam01"))
    collector.publish(topics.down_clip("cam01", CLIP), b"for cam01")
    assert camera.next() == (topics.down_clip("cam01", CLIP), b"for cam01")


@pytest.mark.parametrize(
    "topic", [topics.up_status("cam02"), topics.down_clip("cam02", CLIP), "elsewhere"]
)
def test_will_outside_its_own_prefix_is_never_published(join: Join, topic: str) -> None:
    collector, other = join(), join("cam02")
    collector.subscribe("#")
    other.subscribe(topics.down_clips("cam02"))
    camera = join("cam01", will_topic=topic)
    if not camera.answer.is_failure:
        camera.vanish()
    join("cam01").publish(topics.up_status("cam01"), b"own")
    collector.publish(topics.down_clip("cam02", CLIP), b"for cam02")
    assert collector.next() == (topics.up_status("cam01"), b"own")
    assert other.next() == (topics.down_clip("cam02", CLIP), b"for cam02")


def test_will_below_its_own_prefix_is_published(join: Join) -> None:
    collector = join()
    collector.subscribe(topics.UP_STATUS)
    join("cam01", will_topic=topics.up_status("cam01")).vanish()
    assert collector.next() == (topics.up_status("cam01"), b"will")


def test_device_cannot_overwrite_or_clear_the_retained_status_of_another(join: Join) -> None:
    other, camera = join("cam02"), join("cam01")
    other.publish(topics.up_status("cam02"), b"online", retain=True)
    assert camera.publish(topics.up_status("cam02"), b"", retain=True) == DENIED
    assert camera.publish(topics.up_status("cam02"), b"forged", retain=True) == DENIED
    collector = join()
    collector.subscribe(topics.UP_STATUS)
    assert collector.next() == (topics.up_status("cam02"), b"online")


def test_device_that_knows_the_name_of_a_group_makes_messages_vanish(join: Join) -> None:
    """Mosquitto 2.0 lets anyone join and denies the delivery only: what it had dealt to that client
    is gone. This is why the name is a secret (`collector.store.Store.group_word`). The day that
    this fails, the broker has become better than we need."""
    collector, camera, thief = join(), join("cam02"), join("cam01")
    for peer in (collector, thief):
        peer.subscribe(f"$share/known/{topics.UP_PARTS}")
    for number in range(10):
        assert camera.publish(topics.up_part("cam02", CLIP, number)) == 0
    collector.subscribe(topics.UP_MANIFESTS)
    camera.publish(topics.up_manifest("cam02", CLIP), b"last")
    heard = [collector.next() for _ in range(6)]
    assert heard[-1] == (topics.up_manifest("cam02", CLIP), b"last")


def test_device_cannot_join_a_group_whose_name_it_does_not_know(join: Join) -> None:
    collector, camera, thief = join(), join("cam02"), join("cam01")
    collector.subscribe(f"$share/known-{SECRET}/{topics.UP_PARTS}")
    for group in ("known", "known-", SECRET):
        thief.subscribe(f"$share/{group}/{topics.UP_PARTS}")
    thief.subscribe("$share/#")
    # The broker may throw it out for one of these, which MQTT does not allow: so it comes last.
    for malformed in ("+", "#", "known-+", "known/#"):
        thief.try_to_subscribe(f"$share/{malformed}/{topics.UP_PARTS}")
    for number in range(10):
        assert camera.publish(topics.up_part("cam02", CLIP, number)) == 0
    heard = [collector.next()[0] for _ in range(10)]
    assert heard == [topics.up_part("cam02", CLIP, number) for number in range(10)]


def test_client_id_of_another_device_does_not_end_its_session(join: Join) -> None:
    victim = join("cam02")
    victim.subscribe(topics.down_clips("cam02"))
    join("cam01", client_id="cam02")
    collector = join()
    collector.publish(topics.down_clip("cam02", CLIP), b"still here")
    assert victim.next() == (topics.down_clip("cam02", CLIP), b"still here")


def test_certificate_of_another_authority_is_refused(
    fleet: Fleet, broker: LocalBroker, tmp_path: Path
) -> None:
    stranger = make_fleet(tmp_path / "other", port=fleet.port).device("cam01").tls
    assert broker.is_running
    with pytest.raises((ssl.SSLError, OSError)):
        _exchange(fleet, stranger.cert_file, stranger.key_file)


def test_client_without_certificate_is_refused(fleet: Fleet, broker: LocalBroker) -> None:
    assert broker.is_running
    with pytest.raises((ssl.SSLError, OSError)):
        _exchange(fleet, None, None)


def test_client_refuses_a_broker_of_another_authority(
    fleet: Fleet, broker: LocalBroker, tmp_path: Path
) -> None:
    assert broker.is_running
    other = make_fleet(tmp_path / "other", port=fleet.port)
    tls = fleet.device("cam01").tls
    with pytest.raises(ssl.SSLCertVerificationError):
        _exchange(fleet, tls.cert_file, tls.key_file, ca_file=other.ca_file)


def test_tls_1_2_is_refused(fleet: Fleet, broker: LocalBroker) -> None:
    assert broker.is_running
    tls = fleet.device("cam01").tls
    with pytest.raises(ssl.SSLError):
        _exchange(fleet, tls.cert_file, tls.key_file, newest=ssl.TLSVersion.TLSv1_2)


def test_broker_tells_its_packet_limit_and_takes_the_largest_payload_we_send(join: Join) -> None:
    collector, camera = join(), join("cam01")
    collector.subscribe(topics.UP_PARTS)
    assert camera.connack is not None
    assert camera.connack.MaximumPacketSize == MAX_PACKET_BYTES
    part = b"\0" * MAX_PAYLOAD_BYTES
    assert camera.publish(topics.up_part("cam01", CLIP, 1), part) == 0
    assert collector.next() == (topics.up_part("cam01", CLIP, 1), part)


def _exchange(
    fleet: Fleet,
    cert_file: Path | None,
    key_file: Path | None,
    *,
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ca_file: Path | None = None,
) -> None:
    """A TLS handshake and one read: in TLS 1.3 the server's refusal comes with the first read."""
    context = ssl.create_default_context(cafile=str(ca_file or fleet.ca_file))
    context.maximum_version = newest
    if cert_file is not None:
        context.load_cert_chain(cert_file, key_file)
    with (
        socket.create_connection((fleet.host, fleet.port), timeout=DEADLINE_S) as plain,
        context.wrap_socket(plain, server_hostname=fleet.host) as secured,
    ):
        # An MQTT v5 CONNECT with an empty client id: an accepted client is answered by a CONNACK.
        secured.sendall(bytes.fromhex("100d00044d5154540502001e000000"))
        if not secured.recv(1):
            raise ConnectionAbortedError("closed without an answer")
