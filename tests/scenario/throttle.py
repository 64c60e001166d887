"""A thin link: a TCP proxy that passes so many bits a second each way, whatever they are."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Self

_PIECE_BYTES = 4096
_BUFFER_BYTES = 16 * 1024  # of each socket: a buffer of megabytes would hide the link


class ThrottledLink:
    """Listens on a port of its own and passes connections on to `target_port` of this machine."""

    def __init__(self, bits_per_s: int) -> None:
        self._bytes_per_s = bits_per_s / 8
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.target_port = 0
        self.bytes_up = 0
        self._open: list[socket.socket] = []
        self._closing = False
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
        self._closing = True
        for each in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._closing:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                    end.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
            self._open += [near, far]
            for source, sink, is_up in ((near, far, True), (far, near, False)):
                thread = threading.Thread(target=self._pass, args=(source, sink, is_up))
                thread.daemon = True
                self._threads.append(thread)
                thread.start()

    def _pass(self, source: socket.socket, sink: socket.socket, is_up: bool) -> None:
        """Until one end closes. Each piece takes the time that the link needs for it."""
        free_at_s = time.monotonic()
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE_BYTES):
                free_at_s = max(free_at_s, time.monotonic()) + len(piece) / self._bytes_per_s
                time.sleep(max(0.0, free_at_s - time.monotonic()))
                sink.sendall(piece)
                if is_up:
                    self.bytes_up += len(piece)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
