from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.exception import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.drivers.broker_publish import UserProperties, split_publish


def publish(topic: str, mid: int, qos: int, properties: Properties, payload: bytes) -> bytearray:
    """A v5 PUBLISH without its fixed header, the properties packed by paho itself."""
    name = topic.encode()
    packet = bytearray(struct.pack("!H", len(name)) + name)
    if qos:
        packet += struct.pack("!H", mid)
    return packet + properties.pack() + payload


text = st.text(st.characters(min_codepoint=1, exclude_categories=("Cs",)), max_size=60)


@given(
    topic=text,
    mid=st.integers(1, 65535),
    qos=st.integers(0, 1),
    pairs=st.dictionaries(text, text, max_size=5),
    payload=st.binary(max_size=300),
    expiry=st.none() | st.integers(1, 1000),
)
def test_every_publish_that_paho_packs_is_split_again(
    topic: str,
    mid: int,
    qos: int,
    pairs: dict[str, str],
    payload: bytes,
    expiry: int | None,
) -> None:
    properties = Properties(PacketTypes.PUBLISH)
    if pairs:
        properties.UserProperty = list(pairs.items())
    if expiry is not None:
        properties.MessageExpiryInterval = expiry
    packet = publish(topic, mid, qos, properties, payload)
    assert split_publish(packet, qos) == (topic, mid if qos else 0, pairs, payload)


@given(st.dictionaries(text, text, max_size=8))
def test_user_properties_are_packed_as_paho_packs_them(pairs: dict[str, str]) -> None:
    properties = Properties(PacketTypes.PUBLISH)
    if pairs:
        properties.UserProperty = list(pairs.items())
    assert UserProperties(pairs).pack() == properties.pack()


@given(st.binary(max_size=60), st.integers(0, 1))
def test_rubbish_is_refused_or_read_but_never_anything_else(packet: bytes, qos: int) -> None:
    # paho's own parser of foreign properties raises MQTTException; the driver ends the connection
    with contextlib.suppress(struct.error, IndexError, ValueError, KeyError, MQTTException):
        topic, _mid, _properties, payload = split_publish(bytearray(packet), qos)
        assert len(topic.encode()) + len(payload) <= len(packet)


def test_properties_that_run_past_the_packet_are_refused() -> None:
    with pytest.raises(ValueError):
        split_publish(bytearray(b"\x00\x01a\x7f"), 0)
