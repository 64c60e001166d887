"""paho's client with a shorter way for messages and their acknowledgements.

paho 2.2 copies a message about eight times between socket and callback and matches its topic
against callbacks that we do not have; its property and reason objects cost 0.1 ms a part. The
overrides here (private in paho: the contract suite runs over them, so a paho that has changed shows
at once) copy the payload once on either way and make no such objects. They also take any reason
code in a PUBACK: paho itself ends the connection over one that the standard does not list.
"""

from __future__ import annotations

import select
import ssl
import struct
import time
from collections.abc import Callable
from typing import Any, Literal

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.drivers.broker_packets import PacketReader

_USER_PROPERTY = 0x26


def _ignore_settled(_mid: int, _reason_code: int) -> None:
    return None


def _ignore(_topic: str, _payload: bytes, _properties: dict[str, str]) -> None:
    return None


class LeanClient(mqtt.Client):
    """`arrived(topic, payload, user_properties)` is called for each message, and `settled(mid,
    reason_code)` for each PUBACK to a message of ours, in paho's loop."""

    arrived: Callable[[str, bytes, dict[str, str]], None] = staticmethod(_ignore)
    settled: Callable[[int, int], None] = staticmethod(_ignore_settled)
    reader: PacketReader | None = None
    read_error: OSError | None = None

    def _packet_read(self) -> MQTTErrorCode:
        """Take one packet from `reader`, which belongs to the socket in use."""
        if self._sock is None or self.reader is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        try:
            packet = self.reader.next()
        except OSError as exc:
            self.read_error = exc
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        if packet is None:
            return MQTTErrorCode.MQTT_ERR_AGAIN
        self._in_packet["command"], self._in_packet["packet"] = packet
        self._in_packet["remaining_length"] = len(packet[1])
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        try:
            return self._packet_handle()
        except MalformedPacket:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        finally:
            self._in_packet["packet"] = bytearray()

    def _packet_queue(
        self, command: int, packet: Any, mid: int, qos: int, info: Any = None
    ) -> MQTTErrorCode:
        # paho slices what is left of a packet for each send: of a view that is no copy
        return super()._packet_queue(command, memoryview(packet), mid, qos, info)  # type: ignore[arg-type]

    def _handle_publish(self) -> MQTTErrorCode:
        qos = (self._in_packet["command"] & 0x06) >> 1
        try:
            topic, mid, properties, payload = split_publish(self._in_packet["packet"], qos)
        except (struct.error, IndexError, ValueError) as exc:
            raise MalformedPacket(str(exc)) from exc
        if qos == 2:  # never asked for: subscriptions are at most QoS 1
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        self.arrived(topic, payload, properties)
        return self._send_puback(mid) if qos else MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        if cmd != "PUBACK" or len(packet) < 2:  # no QoS 2 is ever sent
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        (mid,) = struct.unpack_from("!H", packet)
        with self._out_message_mutex:
            # paho also counts what is in flight, for a limit that is off here
            known = self._out_messages.pop(mid, None)
        if known is not None:
            self.settled(mid, packet[2] if len(packet) > 2 else 0)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    @property
    def has_unread(self) -> bool:
        """Bytes wait that poll does not know of."""
        ahead = self.reader is not None and self.reader.has_unread
        sock = self.socket()
        return ahead or (isinstance(sock, ssl.SSLSocket) and sock.pending() > 0)

    def say_goodbye(self, descriptor: int, timeout_s: float) -> None:
        """Send what is queued and a DISCONNECT, as far as that goes within `timeout_s`."""
        self.disconnect()
        poller = select.poll()
        poller.register(descriptor, select.POLLOUT)
        for _ in range(100):
            if self.socket() is None or not self.want_write():
                return
            if poller.poll(timeout_s * 1000 / 100) and self.loop_write():
                return


class UserProperties:
    """The user properties of one PUBLISH, packed as paho packs its own (`pack` is all it calls)."""

    def __init__(self, pairs: dict[str, str]) -> None:
        block = bytearray()
        for name, value in pairs.items():
            block.append(_USER_PROPERTY)
            for text in (name.encode("utf-8"), value.encode("utf-8")):
                block += struct.pack("!H", len(text)) + text
        self._packed = _packed_int(len(block)) + bytes(block)

    def pack(self) -> bytes:
        return self._packed


def split_publish(packet: bytearray, qos: int) -> tuple[str, int, dict[str, str], bytes]:
    """Topic, packet id (0 for QoS 0), user properties and payload of a v5 PUBLISH (3.3.2, 3.3.3).

    Raises struct.error, IndexError or ValueError when the packet is malformed.
    """
    (topic_bytes,) = struct.unpack_from("!H", packet)
    at = 2 + topic_bytes
    topic = packet[2:at].decode("utf-8")
    mid = 0
    if qos:
        (mid,) = struct.unpack_from("!H", packet, at)
        at += 2
    size, at = _variable_int(packet, at)
    end = at + size
    if end > len(packet) or at > len(packet):
        raise ValueError("properties run past the packet")
    properties = _user_properties(bytes(packet[at:end])) if size else {}
    return topic, mid, properties, bytes(memoryview(packet)[end:])


def _variable_int(packet: bytearray, at: int) -> tuple[int, int]:
    value = 0
    for shift in (0, 7, 14, 21):
        byte = packet[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise ValueError("variable byte integer longer than 4 bytes")


def _user_properties(block: bytes) -> dict[str, str]:
    """The user properties in `block`; a block with others in it goes through paho's own parser."""
    found: dict[str, str] = {}
    at = 0
    while at < len(block):
        if block[at] != _USER_PROPERTY:
            return _parsed_by_paho(block)
        name, at = _text(block, at + 1)
        found[name], at = _text(block, at)
    return found


def _text(block: bytes, at: int) -> tuple[str, int]:
    (size,) = struct.unpack_from("!H", block, at)
    end = at + 2 + size
    if end > len(block):
        raise ValueError("text runs past the properties")
    return block[at + 2 : end].decode("utf-8"), end


def _parsed_by_paho(block: bytes) -> dict[str, str]:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.unpack(_packed_int(len(block)) + block)  # type: ignore[no-untyped-call]
    return dict(getattr(properties, "UserProperty", []))


def _packed_int(number: int) -> bytes:
    """A variable byte integer (1.5.5)."""
    packed = bytearray()
    while True:
        number, low = divmod(number, 128)
        packed.append(low | (0x80 if number else 0))
        if not number:
            return bytes(packed)
