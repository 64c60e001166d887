"""Tells the recorder, for the wearer's light, that clips are being sent."""

from __future__ import annotations

import contextlib
from pathlib import Path

import zmq

from agent.ipc import sockets
from agent.ipc.messages import SendingNote, pack

_EVERY_NS = 2_000_000_000
# So long one word lasts at the recorder, so that a lost one does not make the light flicker.
NOTE_LASTS_NS = 3 * _EVERY_NS


class SendingSign:
    """Never waits. A recorder that is not there misses nothing that it needs."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], runtime_dir: Path) -> None:
        self._socket = sockets.connect(context, zmq.DEALER, runtime_dir, "control", high_water=2)
        self._next_ns = 0

    def show(self, now_ns: int) -> None:
        """Clips are being sent now."""
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + _EVERY_NS
        with contextlib.suppress(zmq.Again):
            while True:
                self._socket.recv_multipart(zmq.NOBLOCK)  # answers of before
        with contextlib.suppress(zmq.Again):
            self._socket.send(pack(SendingNote()), zmq.NOBLOCK)

    def close(self) -> None:
        self._socket.close(linger=0)
