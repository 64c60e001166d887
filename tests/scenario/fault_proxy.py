"""A network with faults: a TCP proxy on loopback whose link a test makes worse, and good again.

Thin (`bits_per_s` each way), far (`latency_s` each way), one-way stalls, resets in mid-stream, half
open (accepts, then silence), a captive portal (HTTP, or TLS under a foreign name). All may change
at any moment; what is under way feels it at once, but for a portal and half open: those are for new
connections, so `reset` the old ones.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from collections import deque
from types import TracebackType
from typing import Literal, Self

_PIECE_BYTES = 4096
# Of each socket of a thin link: a buffer of megabytes would hide it. (On a fast one so small a
# buffer is a fault of its own: TCP then waits 0.2 s for each.)
_BUFFER_BYTES = 16 * 1024
_THIN_BITS_PER_S = 2_500_000
_WIDE_BUFFER_BYTES = 1024 * 1024
_HELD_BYTES = 64 * 1024  # on the way, in either direction
_TICK_S = 0.02
_REDIRECT = (
    b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\nContent-Length: 0\r\n\r\n"
)

Manner = Literal["pass", "silent", "http", "foreign"]


class FaultProxy:
    """Listens on `port` and passes connections on to `target_port` of this machine.

    `bytes_up` counts what was taken from clients, `accepted_s` when each of them came (monotonic).
    `foreign`: the server's TLS for the manner "foreign".
    """

    def __init__(
        self,
        bits_per_s: float = 0,
        *,
        target_port: int = 0,
        latency_s: float = 0.0,
        foreign: ssl.SSLContext | None = None,
    ) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.target_port = target_port
        self.bits_per_s = bits_per_s
        self.latency_s = latency_s
        self.manner: Manner = "pass"
        self.stall_up = self.stall_down = False
        self.reset_after_bytes = 0  # of each connection, upwards; 0: never
        self.resets = 0
        self.bytes_up = 0
        self.accepted_s: list[float] = []
        self._foreign = foreign
        self._links: list[_Link] = []
        self.is_closing = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.is_closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()
        for thread in self._threads:
            thread.join(10)

    def reset(self) -> None:
        """End all connections with a reset, as a network that changed its mind."""
        for link in self._links:
            link.reset()
        self._links.clear()

    def heal(self) -> None:
        """A perfect network from now on."""
        self.bits_per_s, self.latency_s, self.reset_after_bytes = 0, 0.0, 0
        self.stall_up = self.stall_down = False
        self.manner = "pass"
        for link in self._links:
            link.set_buffers(_WIDE_BUFFER_BYTES)

    def _accept(self) -> None:
        while not self.is_closing:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.accepted_s.append(time.monotonic())
            link = _Link(self, near)
            self._links.append(link)
            self._start(link.serve, self.manner)

    def _start(self, serve: object, manner: Manner) -> None:
        thread = threading.Thread(target=serve, args=(manner, self._foreign), daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()


class _Link:
    """One connection of a client, served by one thread (passing takes a second one)."""

    def __init__(self, proxy: FaultProxy, near: socket.socket) -> None:
        self._proxy = proxy
        self._near = near
        self._far: socket.socket | None = None
        self._over = threading.Event()
        self._bytes_up = 0

    def serve(self, manner: Manner, foreign: ssl.SSLContext | None) -> None:
        with contextlib.suppress(OSError):
            if manner == "silent":
                self._over.wait()
            elif manner == "http":
                self._near.recv(_PIECE_BYTES)
                self._near.sendall(_REDIRECT)
            elif manner == "foreign" and foreign is not None:
                with foreign.wrap_socket(self._near, server_side=True) as tls:
                    tls.recv(_PIECE_BYTES)
            else:
                self._pass_both()
        self._close()

    def reset(self) -> None:
        self._over.set()
        for end in self._ends():
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close()

    def set_buffers(self, size_bytes: int) -> None:
        for end in self._ends():
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, option, size_bytes)

    def _ends(self) -> list[socket.socket]:
        return [self._near, *([self._far] if self._far is not None else [])]

    def _close(self) -> None:
        self._over.set()
        for end in self._ends():
            with contextlib.suppress(OSError):
                end.close()

    def _pass_both(self) -> None:
        self._far = socket.create_connection(("127.0.0.1", self._proxy.target_port), timeout=5)
        self._far.settimeout(None)
        for end in self._ends():
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if 0 < self._proxy.bits_per_s <= _THIN_BITS_PER_S:
            self.set_buffers(_BUFFER_BYTES)
        down = threading.Thread(target=self._pass, args=(self._far, self._near, False), daemon=True)
        down.start()
        self._pass(self._near, self._far, True)
        self._over.set()
        down.join(10)

    def _pass(self, source: socket.socket, sink: socket.socket, is_up: bool) -> None:
        """Until either end closes. Each piece takes the time that the link needs for it."""
        proxy = self._proxy
        on_way: deque[tuple[float, bytes]] = deque()
        free_at_s = time.monotonic()
        with contextlib.suppress(OSError, ValueError):
            while not self._over.is_set():
                if proxy.stall_up if is_up else proxy.stall_down:
                    time.sleep(_TICK_S)
                    continue
                now_s = time.monotonic()
                while on_way and on_way[0][0] <= now_s:
                    sink.sendall(on_way.popleft()[1])
                wait_s = min(_TICK_S, max(0.0, on_way[0][0] - now_s)) if on_way else _TICK_S
                if sum(len(piece) for _, piece in on_way) >= _HELD_BYTES:
                    time.sleep(wait_s)
                    continue
                if not select.select([source], [], [], wait_s)[0]:
                    continue
                piece = source.recv(_PIECE_BYTES)
                if not piece:
                    break
                rate = proxy.bits_per_s / 8
                free_at_s = max(free_at_s, time.monotonic()) + (len(piece) / rate if rate else 0)
                on_way.append((free_at_s + proxy.latency_s, piece))
                if is_up:
                    self._count(len(piece))
            for due_s, piece in on_way:
                if self._over.wait(max(0.0, due_s - time.monotonic())):
                    break
                sink.sendall(piece)
        self._over.set()

    def _count(self, size_bytes: int) -> None:
        proxy = self._proxy
        proxy.bytes_up += size_bytes
        self._bytes_up += size_bytes
        if 0 < proxy.reset_after_bytes <= self._bytes_up:
            proxy.resets += 1
            self.reset()
