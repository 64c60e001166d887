"""Carries what is not clips: orders down to cameras, and cameras' new custody keys up.

Orders lie as files in the store (see `orders`), so any collector of the group passes them on, and
does it again after a broker forgot what it retained.
"""

from __future__ import annotations

import os
from pathlib import Path

from agent.ports.broker import Arrived, Broker
from agent.wire.topics import UP_CUSTODY_KEYS, parse_up_custody_keys
from collector.custody_keys import CustodyRegister
from collector.orders import topic_of
from collector.report import Report

_LOOK_EVERY_S = 2.0
_PER_STEP = 32
_MAX_ORDER_FILE_BYTES = 1024 * 1024

Stamp = tuple[int, int, int]


class Courier:
    """Used from the main thread, beside the clips."""

    subscriptions = (UP_CUSTODY_KEYS,)

    def __init__(
        self, broker: Broker, orders_dir: Path, register: CustodyRegister, report: Report
    ) -> None:
        self._broker = broker
        self._orders_dir = orders_dir
        self._register = register
        self._report = report
        self._passed_on: dict[str, Stamp] = {}
        self._waiting: list[tuple[str, Stamp]] = []
        self._look_due_s = 0.0
        self._is_connected = False

    def take(self, item: Arrived) -> bool:
        """True when `item` was about custody keys. Raises WireError when it cannot be read."""
        device_id = parse_up_custody_keys(item.topic)
        if device_id is None:
            return False
        self._register.take(device_id, item.payload)
        return True

    def connected(self) -> None:
        """Another connection, perhaps to a broker that forgot everything: all orders go again."""
        self._is_connected = True
        self._passed_on.clear()
        self._waiting.clear()
        self._look_due_s = 0.0

    def disconnected(self) -> None:
        self._is_connected = False

    def step(self, now_s: float) -> bool:
        """Publish orders that are new. True when any went out."""
        if not self._is_connected:
            return False
        if not self._waiting and now_s >= self._look_due_s:
            self._look_due_s = now_s + _LOOK_EVERY_S
            self._waiting = self._changed()
        sent = 0
        while self._waiting and sent < _PER_STEP:
            name, stamp = self._waiting[0]
            if not self._publish(name):
                break
            self._waiting.pop(0)
            self._passed_on[name] = stamp
            sent += 1
        return sent > 0

    def _changed(self) -> list[tuple[str, Stamp]]:
        found = []
        try:
            with os.scandir(self._orders_dir) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or topic_of(entry.name) is None:
                        continue
                    facts = entry.stat()
                    stamp = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
                    if self._passed_on.get(entry.name) != stamp:
                        found.append((entry.name, stamp))
        except FileNotFoundError:
            return []
        except OSError as exc:
            self._report.complain("orders", f"{self._orders_dir}: {exc.strerror}")
        return sorted(found)

    def _publish(self, name: str) -> bool:
        """True when it is on its way, or cannot be."""
        topic = topic_of(name)
        try:
            content = (self._orders_dir / name).read_bytes()[:_MAX_ORDER_FILE_BYTES]
        except OSError as exc:
            self._report.complain("orders", f"{self._orders_dir / name}: {exc.strerror}")
            return True
        return topic is None or self._broker.publish(topic, content, retain=True) is not None
