"""The tagger's word with the recorder: may the model change now? A session takes it back."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import zmq

from agent.errors import WireError
from agent.ipc import sockets
from agent.ipc.messages import ControlReply, LeaseRequest, pack, unpack

LeaseState = Literal["none", "asked", "held"]


class StandbyLease:
    """Nothing here waits but `confirm`. `poll` first, then look at `state`. `in_session`: what the
    recorder said last."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], runtime_dir: Path) -> None:
        self.socket = sockets.connect(context, zmq.DEALER, runtime_dir, "control", high_water=10)
        self.state: LeaseState = "none"
        self._pending = 0
        self.in_session = False

    @property
    def is_held(self) -> bool:
        return self.state == "held"

    def ask(self) -> None:
        """Ask once; the answer comes with a later `poll`. What a recorder that died owed is not
        waited for."""
        self.state = "asked"
        self._pending += 1
        try:
            self.socket.send_multipart([b"", pack(LeaseRequest())], zmq.NOBLOCK)
        except zmq.Again:
            self.state, self._pending = "none", 0

    def poll(self) -> bool:
        """Take what the recorder said; True when it said anything."""
        said = False
        while True:
            try:
                payload = self.socket.recv_multipart(zmq.NOBLOCK)[-1]
            except zmq.Again:
                return said
            said = True
            self._take(payload)

    def confirm(self, timeout_ms: int) -> bool:
        """Ask again and wait for the answer, `timeout_ms` at most: True when it is held now."""
        self.poll()
        if not self.is_held:
            return False
        self.ask()
        while self._pending and self.socket.poll(timeout_ms):
            self.poll()
        return self.is_held

    def give_back(self) -> None:
        self.state = "none"

    def close(self) -> None:
        self.socket.close(linger=0)

    def _take(self, payload: bytes) -> None:
        try:
            refused: str = unpack(ControlReply, payload).refused
        except WireError as exc:
            refused = exc.what
        self.in_session = refused != ""
        if refused:
            # Also what comes by itself: a session has begun.
            self.state, self._pending = "none", 0
        elif self.state == "asked":
            self._pending = max(0, self._pending - 1)
            self.state = "held" if self._pending == 0 else "asked"
