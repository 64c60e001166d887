"""Takes whole MQTT packets off a non-blocking socket.

paho 2.2 asks for each header byte by itself and puts a packet together from the pieces that come:
for a 256 KiB part that was more work than decrypting it. Here a packet's body is received straight
into a buffer of its size.
"""

from __future__ import annotations

import errno
import ssl
from typing import Protocol

_AHEAD_BYTES = 16 * 1024
_MAX_LENGTH_BYTES = 4


class Receiver(Protocol):
    """What is needed of a socket."""

    def recv_into(self, buffer: memoryview, /) -> int: ...


class PacketReader:
    """Packets in the order they come. One of more than `most_bytes` ends the connection."""

    def __init__(self, source: Receiver, most_bytes: int) -> None:
        self._source = source
        self._most_bytes = most_bytes
        self._ahead = memoryview(bytearray(_AHEAD_BYTES))
        self._start = self._end = 0
        self._first_byte = 0
        self._body: bytearray | None = None
        self._filled = 0

    @property
    def has_unread(self) -> bool:
        """Bytes of a later packet were received with an earlier one."""
        return self._start < self._end

    @property
    def missing_bytes(self) -> int:
        """What is still to come of the packet that has begun; 0 when none has."""
        return 0 if self._body is None else len(self._body) - self._filled

    def next(self) -> tuple[int, bytearray] | None:
        """The first byte of a packet and what follows its length; None while it is not all here.

        Raises OSError when the connection ended, or when a packet is too large or malformed.
        """
        if self._body is None:
            self._body = self._begun_body()
            if self._body is None:
                return None
        body = self._body
        view = memoryview(body)
        while self._filled < len(body):
            count = self._receive(view[self._filled :])
            if count == 0:
                return None
            self._filled += count
        self._body = None
        return self._first_byte, body

    def _begun_body(self) -> bytearray | None:
        """Room for the body of the next packet, with as much of it as came with its header."""
        length = self._length()
        while length is None:
            self._ahead[: self._end - self._start] = self._ahead[self._start : self._end]
            self._start, self._end = 0, self._end - self._start
            count = self._receive(self._ahead[self._end :])
            if count == 0:
                return None
            self._end += count
            length = self._length()
        if length > self._most_bytes:
            raise OSError(errno.EMSGSIZE, f"a packet of {length} bytes arrived")
        body = bytearray(length)
        self._filled = min(length, self._end - self._start)
        body[: self._filled] = self._ahead[self._start : self._start + self._filled]
        self._start += self._filled
        return body

    def _length(self) -> int | None:
        """The length that the fixed header states (2.1.4), and step behind the header; None while
        the header is not all here."""
        header = bytes(self._ahead[self._start : min(self._end, self._start + 5)])
        length = 0
        for index, byte in enumerate(header[1:]):
            length |= (byte & 0x7F) << (7 * index)
            if not byte & 0x80:
                self._first_byte = header[0]
                self._start += index + 2
                return length
        if len(header) > _MAX_LENGTH_BYTES:
            raise OSError(errno.EPROTO, "a packet's length has more than 4 bytes")
        return None

    def _receive(self, target: memoryview) -> int:
        """How many bytes were put into `target`; 0 when none are here now."""
        try:
            count = self._source.recv_into(target)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        if count == 0:
            raise ConnectionAbortedError(errno.ECONNABORTED, "the broker closed the connection")
        return count
