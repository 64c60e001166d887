"""Frames from the recorder, in order, the next one prepared while this one is in the accelerator.

Only when the tagger lags: a frame that already waits is prepared on a second thread, since runtimes
leave the interpreter alone while they compute. At the usual rate nothing waits and no thread works.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import zmq

from agent.core.picture import LORES_HEIGHT, LORES_WIDTH, Rect
from agent.errors import WireError
from agent.ipc.messages import FrameHeader, unpack
from agent.ports.accelerator import Picture
from agent.services.tagger_model import TaggerModel


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message as it came. `picture`: its preparation under way, by `model`."""

    parts: list[bytes]
    picture: Future[Picture] | None = None
    model: TaggerModel | None = None


class FrameReader:
    """Owns the `frames` socket. `close` is idempotent."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket
        self._pool: ThreadPoolExecutor | None = None
        self._now: Arrived | None = None
        self._next: Arrived | None = None

    def take(self) -> list[bytes] | None:
        """The next message, None when there is none."""
        self._now, self._next = self._next, None
        if self._now is None:
            parts = self._receive()
            self._now = None if parts is None else Arrived(parts)
        return None if self._now is None else self._now.parts

    @property
    def is_ahead(self) -> bool:
        """A message is here that the socket no longer shows."""
        return self._next is not None

    def picture(self, model: TaggerModel) -> Picture:
        """The message taken last, prepared for `model`; the preparation of the one behind it is
        begun, if it is there. Raises ValueError as `TaggerModel.prepare`."""
        now = self._now
        if now is None:
            raise ValueError("no frame was taken")
        if now.picture is not None and now.model is model:
            picture = now.picture.result()
        else:
            picture = _prepare(model, now.parts)
        self._look_ahead(model)
        return picture

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        self.socket.close(linger=0)

    def _look_ahead(self, model: TaggerModel) -> None:
        if self._next is not None:
            return
        parts = self._receive()
        if parts is None:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "prepare")
        self._next = Arrived(parts, self._pool.submit(_prepare, model, parts), model)

    def _receive(self) -> list[bytes] | None:
        try:
            return self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None


def _prepare(model: TaggerModel, parts: list[bytes]) -> Picture:
    """Raises ValueError for whatever is wrong with the message: who takes it says so."""
    try:
        header: FrameHeader = unpack(FrameHeader, parts[0])
        active = Rect(header.active_x, header.active_y, header.active_width, header.active_height)
        return model.prepare(parts[1], LORES_WIDTH, LORES_HEIGHT, active)
    except (WireError, IndexError) as exc:
        raise ValueError(str(exc)) from exc
