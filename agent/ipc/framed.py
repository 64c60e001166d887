"""Messages over one end of a socket pair: a length, then msgpack. Neither side trusts the other."""

from __future__ import annotations

import select
import socket
import struct
from collections import deque
from typing import Any

import msgspec

from agent.errors import WireError

MAX_FRAME_BYTES = 2 * 1024 * 1024
_LENGTH = struct.Struct(">I")
_READ_BYTES = 512 * 1024


class Framed:
    """One end. `kind`: the union of what may come. Nothing here waits but `wait`."""

    def __init__(self, end: socket.socket, kind: Any) -> None:
        end.setblocking(False)
        self._end = end
        self._kind = kind
        self._incoming = bytearray()
        self._outgoing: deque[memoryview] = deque()
        self.is_closed = False

    def send(self, message: msgspec.Struct) -> None:
        """Queue `message`, and send what the socket takes now."""
        body = msgspec.msgpack.encode(message)
        self._outgoing.append(memoryview(_LENGTH.pack(len(body)) + body))
        self.flush()

    def flush(self) -> None:
        """Send what the socket takes now."""
        while self._outgoing and not self.is_closed:
            try:
                sent = self._end.send(self._outgoing[0])
            except BlockingIOError:
                return
            except OSError:
                self.is_closed = True
                return
            if sent < len(self._outgoing[0]):
                self._outgoing[0] = self._outgoing[0][sent:]
            else:
                self._outgoing.popleft()

    def receive(self) -> Any:
        """The next message, or None. Raises WireError: too large, or not of the kind."""
        while True:
            message = self._whole()
            if message is not None or self.is_closed:
                return message
            try:
                read = self._end.recv(_READ_BYTES)
            except BlockingIOError:
                return None
            except OSError:
                read = b""
            if not read:
                self.is_closed = True
                return self._whole()
            self._incoming += read

    def wait(self, timeout_s: float) -> Any:
        """The next message, or None after `timeout_s` or when the other end is gone."""
        message = self.receive()
        if message is None and not self.is_closed:
            writing = [self._end] if self._outgoing else []
            select.select([self._end], writing, [], timeout_s)
            self.flush()
            message = self.receive()
        return message

    def drain(self, timeout_s: float) -> None:
        """Send what is queued, as far as the other end takes it in time."""
        while self._outgoing and not self.is_closed:
            if not select.select([], [self._end], [], timeout_s)[1]:
                return
            self.flush()

    def close(self) -> None:
        self.is_closed = True
        self._outgoing.clear()
        self._incoming = bytearray()
        self._end.close()

    def _whole(self) -> Any:
        if len(self._incoming) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._incoming)
        if length > MAX_FRAME_BYTES:
            raise WireError(f"frame of {length} bytes is larger than {MAX_FRAME_BYTES}")
        end = _LENGTH.size + length
        if len(self._incoming) < end:
            return None
        body = bytes(self._incoming[_LENGTH.size : end])
        del self._incoming[:end]
        try:
            return msgspec.msgpack.decode(body, type=self._kind)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
            raise WireError(f"frame not understood ({exc})") from exc
