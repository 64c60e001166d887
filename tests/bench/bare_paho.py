"""The yardstick: what paho -> broker -> paho moves when it does nothing else.

256 KiB messages, QoS 1, window 16, each publisher and subscriber in a process of its own,
TCP_NODELAY on both. Rates are MB/s (10^6 bytes). As a program it prints one pair's, without and
with the allocator tuning:

    python -m tests.bench.bare_paho HOST PORT [CA CERT KEY]
"""

from __future__ import annotations

import multiprocessing
import socket
import ssl
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.drivers.allocator import tune_allocator

MESSAGE_BYTES = 256 * 1024
WINDOW = 16
READY_WITHIN_S = 90.0
# A broker drops what its queue for a slow subscriber does not hold, though it acknowledged it: such
# a run never ends by itself.
STALLED_AFTER_S = 5.0
_LOOK_EVERY_S = 0.002

TlsPaths = tuple[Path, Path, Path]


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """One client. `tls`: CA, certificate, key. `topic`: what it publishes or subscribes to."""

    topic: str
    tls: TlsPaths | None = None
    client_id: str = ""


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """`rate_mb_s`: from the first publish to the last message at a subscriber. `lost`: of
    `messages`, those that never came (the broker had acknowledged them)."""

    rate_mb_s: float
    messages: int
    lost: int


def measure(
    host: str,
    port: int,
    publishers: Sequence[Peer],
    subscribers: Sequence[Peer],
    *,
    messages: int = 400,
    tuned: bool = True,
) -> Moved:
    """`messages` from each publisher, to the subscribers together. Ends STALLED_AFTER_S after the
    last message when some are lost. Raises RuntimeError when a process fails or nothing comes."""
    context = multiprocessing.get_context("spawn")
    counters: list[Any] = [context.Value("q", 0) for _ in subscribers]
    ends: list[Connection] = []
    processes: list[SpawnProcess] = []

    def start(target: Any, peer: Peer, last: Any) -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=target, args=(theirs, host, port, peer, last, tuned))
        process.start()
        ends.append(ours)
        processes.append(process)

    try:
        for peer, counter in zip(subscribers, counters, strict=True):
            start(_subscriber, peer, counter)
        for peer in publishers:
            start(_publisher, peer, messages)
        for end in ends:
            _await_ready(end)
        start_s = time.monotonic()
        for end in ends:
            end.send("go")
        return _watch(counters, messages * len(publishers), start_s)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _watch(counters: list[Any], messages: int, start_s: float) -> Moved:
    seen, last_s = 0, start_s
    while seen < messages and time.monotonic() - last_s < STALLED_AFTER_S:
        time.sleep(_LOOK_EVERY_S)
        now = sum(counter.value for counter in counters)
        if now > seen:
            seen, last_s = now, time.monotonic()
    if seen == 0:
        raise RuntimeError(f"bare paho: no message came within {STALLED_AFTER_S:.0f} s")
    rate = seen * MESSAGE_BYTES / (last_s - start_s) / 1e6
    return Moved(rate_mb_s=rate, messages=messages, lost=max(0, messages - seen))


def _await_ready(end: Connection) -> None:
    if not end.poll(READY_WITHIN_S):
        raise RuntimeError(f"bare paho: a client is not ready within {READY_WITHIN_S:.0f} s")
    try:
        end.recv()
    except EOFError as exc:
        raise RuntimeError("bare paho: a process ended before it was ready") from exc


def _client(peer: Peer) -> mqtt.Client:
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=peer.client_id, protocol=mqtt.MQTTv5
    )
    if peer.tls is not None:
        context = ssl.create_default_context(cafile=str(peer.tls[0]))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(str(peer.tls[1]), str(peer.tls[2]))
        client.tls_set_context(context)
    client.on_socket_open = _on_socket_open
    return client


def _on_socket_open(_client: mqtt.Client, _userdata: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _subscriber(
    end: Connection, host: str, port: int, peer: Peer, counter: Any, tuned: bool
) -> None:
    if tuned:
        tune_allocator()
    client = _client(peer)

    def on_message(_client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        counter.value += len(message.payload) == MESSAGE_BYTES

    def on_connect(
        _client: mqtt.Client, _userdata: Any, _flags: Any, _code: Any, _properties: Any
    ) -> None:
        client.subscribe(peer.topic, qos=1)

    client.on_message = on_message
    client.on_connect = on_connect
    client.on_subscribe = lambda *_: end.send("ready")
    client.connect(host, port)
    client.loop_forever()


def _publisher(
    end: Connection, host: str, port: int, peer: Peer, messages: int, tuned: bool
) -> None:
    if tuned:
        tune_allocator()
    client = _client(peer)
    client.max_inflight_messages_set(WINDOW)
    room = threading.Semaphore(WINDOW)
    client.on_publish = lambda *_: room.release()
    client.on_connect = lambda *_: end.send("ready")
    client.connect(host, port)
    client.loop_start()
    end.recv()
    payload = bytes(MESSAGE_BYTES)
    for _ in range(messages):
        room.acquire()
        client.publish(peer.topic, payload, qos=1)
    end.recv()  # until terminated


def main() -> None:
    host, port = sys.argv[1], int(sys.argv[2])
    tls = (Path(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5])) if len(sys.argv) > 5 else None
    peer = Peer(topic="bench/bare", tls=tls)
    for tuned in (False, True):
        moved = measure(host, port, [peer], [peer], tuned=tuned)
        lost = f", {moved.lost} of {moved.messages} messages lost" if moved.lost else ""
        how = "tuned" if tuned else "as it comes"
        print(f"bare paho, allocator {how}: {moved.rate_mb_s:.0f} MB/s{lost}")


if __name__ == "__main__":
    main()
