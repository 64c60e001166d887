"""The yardstick: what paho -> broker -> paho moves when it does nothing else.

256 KiB messages, QoS 1, window 16, publisher and subscriber in processes of their own, TCP_NODELAY
on both. `measure` gives MB/s (10^6 bytes); run as a program it prints it without and with the
allocator tuning:

    python -m tests.bench.bare_paho HOST PORT [CA CERT KEY]
"""

from __future__ import annotations

import multiprocessing
import socket
import ssl
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.drivers.allocator import tune_allocator

MESSAGE_BYTES = 256 * 1024
WINDOW = 16
DEADLINE_S = 60.0

TlsPaths = tuple[Path, Path, Path]


def measure(
    host: str,
    port: int,
    tls: TlsPaths | None,
    *,
    topic: str,
    subscriber_tls: TlsPaths | None = None,
    messages: int = 400,
    tuned: bool = True,
    publisher_id: str = "",
    subscriber_id: str = "",
) -> float:
    """MB/s from the first publish to the last message at the subscriber.

    `tls`: CA, certificate, key of the publisher (and of the subscriber unless `subscriber_tls`).
    Raises RuntimeError when a process fails or the messages do not arrive within DEADLINE_S.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    publisher_end, publisher_theirs = context.Pipe()
    sub_tls = subscriber_tls or tls
    processes = [
        context.Process(
            target=_subscriber,
            args=(theirs, host, port, sub_tls, subscriber_id, topic, messages, tuned),
        ),
        context.Process(
            target=_publisher,
            args=(publisher_theirs, host, port, tls, publisher_id, topic, messages, tuned),
        ),
    ]
    for process in processes:
        process.start()
    try:
        _await(ours, "subscriber ready")
        _await(publisher_end, "publisher ready")
        start_s = time.monotonic()
        publisher_end.send("go")
        _await(ours, "all messages")
        return messages * MESSAGE_BYTES / (time.monotonic() - start_s) / 1e6
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _await(end: Connection, what: str) -> None:
    if not end.poll(DEADLINE_S):
        raise RuntimeError(f"bare paho: no word of {what} within {DEADLINE_S:.0f} s")
    try:
        end.recv()
    except EOFError as exc:
        raise RuntimeError(f"bare paho: the process ended before {what}") from exc


def _client(tls: TlsPaths | None, client_id: str) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
    if tls is not None:
        context = ssl.create_default_context(cafile=str(tls[0]))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(str(tls[1]), str(tls[2]))
        client.tls_set_context(context)
    return client


def _on_socket_open(_client: mqtt.Client, _userdata: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _subscriber(
    end: Connection,
    host: str,
    port: int,
    tls: TlsPaths | None,
    client_id: str,
    topic: str,
    messages: int,
    tuned: bool,
) -> None:
    if tuned:
        tune_allocator()
    client = _client(tls, client_id)
    seen = 0

    def on_message(_client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        nonlocal seen
        seen += len(message.payload) == MESSAGE_BYTES
        if seen == messages:
            end.send("done")

    client.on_socket_open = _on_socket_open
    client.on_message = on_message

    def on_connect(
        _client: mqtt.Client, _userdata: Any, _flags: Any, _code: Any, _properties: Any
    ) -> None:
        client.subscribe(topic, qos=1)

    client.on_connect = on_connect
    client.on_subscribe = lambda *_: end.send("ready")
    client.connect(host, port)
    client.loop_forever()


def _publisher(
    end: Connection,
    host: str,
    port: int,
    tls: TlsPaths | None,
    client_id: str,
    topic: str,
    messages: int,
    tuned: bool,
) -> None:
    if tuned:
        tune_allocator()
    client = _client(tls, client_id)
    client.max_inflight_messages_set(WINDOW)
    room = threading.Semaphore(WINDOW)
    client.on_socket_open = _on_socket_open
    client.on_publish = lambda *_: room.release()
    client.on_connect = lambda *_: end.send("ready")
    client.connect(host, port)
    client.loop_start()
    end.recv()
    payload = bytes(MESSAGE_BYTES)
    for _ in range(messages):
        room.acquire()
        client.publish(topic, payload, qos=1)
    end.recv()  # until terminated


def main() -> None:
    host, port = sys.argv[1], int(sys.argv[2])
    tls = (Path(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5])) if len(sys.argv) > 5 else None
    for tuned in (False, True):
        rate = measure(host, port, tls, topic="bench/bare", tuned=tuned)
        print(f"bare paho, allocator {'tuned' if tuned else 'as it comes'}: {rate:.0f} MB/s")


if __name__ == "__main__":
    main()
