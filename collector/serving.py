"""Gives cameras the chunks of bundles that they ask for, so many at a time over the whole fleet.

A camera that asks again has what it was given before: so what is under way is known without
answers. When a fleet wakes at once, those who come later wait in line.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import msgspec

from agent.errors import WireError
from agent.ports.broker import Arrived, Broker
from agent.wire.codec import decode, encode
from agent.wire.depot import TargetGet, TargetRefusal
from agent.wire.topics import UP_GETS, down_target, parse_up_get
from collector.depot import Depot
from collector.report import Report

# Under 0.8 of what the broker queues in all (see mosquitto_conf), beside the clips' windows.
BUDGET_BYTES = 32 * 1024 * 1024
_FORGOTTEN_S = 10.0
_PER_STEP = 16


class _Wanting(msgspec.Struct):
    """What one camera asked for and has not been sent yet."""

    get: TargetGet
    left: list[int]


class TargetServer:
    """Used from the main thread, beside the clips."""

    shared_subscriptions = (UP_GETS,)

    def __init__(
        self, broker: Broker, depot: Depot, report: Report, budget_bytes: int = BUDGET_BYTES
    ) -> None:
        self._broker, self._depot, self._report = broker, depot, report
        self._budget_bytes = budget_bytes
        self._wanting: OrderedDict[str, _Wanting] = OrderedDict()
        # What each camera was sent since it asked last, and when the last of it.
        self._under_way: dict[str, tuple[int, float]] = {}
        self.sent_bytes = 0

    def take(self, item: Arrived) -> bool:
        """True when `item` asked for chunks. Raises WireError when it cannot be read."""
        device_id = parse_up_get(item.topic)
        if device_id is None:
            return False
        get = decode(TargetGet, item.payload)
        self._under_way.pop(device_id, None)
        self._wanting[device_id] = _Wanting(get, list(get.chunks))
        return True

    def connected(self) -> None:
        """What was under way is lost; cameras ask again."""
        self._under_way.clear()
        self._wanting.clear()

    def step(self, now_s: float) -> bool:
        """Send what is asked for, camera by camera in turn. True when anything went out."""
        for device_id, (_bytes, since_s) in list(self._under_way.items()):
            if now_s - since_s > _FORGOTTEN_S:
                del self._under_way[device_id]
        sent = 0
        while self._wanting and sent < _PER_STEP and self._has_room():
            device_id, wanting = next(iter(self._wanting.items()))
            if not self._send_one(device_id, wanting, now_s):
                break
            sent += 1
            if wanting.left:
                self._wanting.move_to_end(device_id)
            else:
                self._wanting.pop(device_id, None)
        return sent > 0

    def _has_room(self) -> bool:
        return sum(under_way for under_way, _since in self._under_way.values()) < self._budget_bytes

    def _send_one(self, device_id: str, wanting: _Wanting, now_s: float) -> bool:
        """False when the pipe to the broker is full."""
        get, number = wanting.get, wanting.left[0]
        try:
            content = _chunk(self._depot.target(get.sha256), number, get.chunk_bytes)
        except WireError as exc:
            wanting.left.clear()
            self._report.complain(f"get {device_id}", f"{device_id}: {exc.what}")
            refusal = encode(TargetRefusal(why=exc.what))
            topic = down_target(device_id, get.sha256, None)
            return self._broker.publish(topic, refusal, qos=0) is not None
        topic = down_target(device_id, get.sha256, number)
        if self._broker.publish(topic, content, qos=0) is None:
            return False
        wanting.left.pop(0)
        under_way = self._under_way.get(device_id, (0, 0.0))[0]
        self._under_way[device_id] = under_way + len(content), now_s
        self.sent_bytes += len(content)
        return True


def _chunk(file: Path, number: int, chunk_bytes: int) -> bytes:
    """Raises WireError: the target is not here, or has no such chunk."""
    try:
        with file.open("rb") as stream:
            stream.seek(number * chunk_bytes)
            content = stream.read(chunk_bytes)
    except OSError as exc:
        raise WireError(f"target {file.name[:12]} is not in the depot ({exc.strerror})") from exc
    if not content:
        raise WireError(f"target {file.name[:12]} has no chunk {number}")
    return content
