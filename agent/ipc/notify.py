"""sd_notify(3): readiness, status line and watchdog, to systemd or to our own supervisor."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping

# systemd advises half of the watchdog's time; a quarter leaves room for one lost datagram.
_ALIVE_SHARE = 0.25


class Notifier:
    """Sends to $NOTIFY_SOCKET; does nothing when there is none (a desk, a test).

    Never waits: a supervisor that is gone, or does not read, must not stop a recording.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        values = os.environ if environment is None else environment
        name = values.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_UNIX, kind) if name else None
        self._monotonic_s = monotonic_s
        self._alive_every_s = int(values.get("WATCHDOG_USEC") or 0) / 1e6 * _ALIVE_SHARE
        self._alive_due_s = 0.0

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog; more often than a quarter of its time is not sent."""
        now_s = self._monotonic_s()
        if now_s >= self._alive_due_s:
            self._alive_due_s = now_s + self._alive_every_s
            self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        self._send(f"STATUS={text}")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(text.encode(), self._address)


def child_environment() -> dict[str, str]:
    """The environment for a child of a service: it ends with its parent, and speaks for nobody."""
    environment = dict(os.environ, SIGHTLINE_PARENT=str(os.getpid()))
    environment.pop("NOTIFY_SOCKET", None)
    return environment
