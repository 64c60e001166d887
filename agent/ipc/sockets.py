"""The ZeroMQ sockets between the services. The recorder and the uplink bind, others connect.

frames   PUSH recorder -> PULL tagger    at most 2 s wait, then the newest is dropped
scores   PUSH tagger -> PULL recorder    never dropped by the sender while the recorder lives
control  DEALER/REQ -> ROUTER recorder   request and reply
events   PUSH recorder, tagger -> PULL uplink   oldest dropped by the sender
"""

from __future__ import annotations

from pathlib import Path

import zmq

from agent.errors import ControlError

FRAMES_HIGH_WATER = 15
SCORES_HIGH_WATER = 100_000
EVENTS_HIGH_WATER = 1_000
CONTROL_TIMEOUT_MS = 3_000

_MAX_SOCKET_PATH = 107


def address(runtime_dir: Path, name: str) -> str:
    """ipc address of socket `name`. Raises ControlError when the path is too long for a socket."""
    path = runtime_dir / f"{name}.sock"
    if len(str(path).encode()) > _MAX_SOCKET_PATH:
        raise ControlError(
            f"socket path {path} is longer than {_MAX_SOCKET_PATH} bytes",
            remedy="choose a shorter paths.runtime_dir",
        )
    return f"ipc://{path}"


def bind(
    context: zmq.Context[zmq.Socket[bytes]],
    kind: int,
    runtime_dir: Path,
    name: str,
    *,
    high_water: int,
) -> zmq.Socket[bytes]:
    """A bound socket; the runtime directory is made, mode 0700."""
    runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    where = address(runtime_dir, name)
    socket = _socket(context, kind, high_water)
    socket.bind(where)
    return socket


def connect(
    context: zmq.Context[zmq.Socket[bytes]],
    kind: int,
    runtime_dir: Path,
    name: str,
    *,
    high_water: int,
) -> zmq.Socket[bytes]:
    """A connected socket; the other side may come, go and come back."""
    # Before the socket exists: one that is never closed would hold up the context's end for ever.
    where = address(runtime_dir, name)
    socket = _socket(context, kind, high_water)
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
    socket.connect(where)
    return socket


def _socket(
    context: zmq.Context[zmq.Socket[bytes]], kind: int, high_water: int
) -> zmq.Socket[bytes]:
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, high_water)
    socket.setsockopt(zmq.RCVHWM, high_water)
    socket.setsockopt(zmq.MAXMSGSIZE, 2 * 1024 * 1024)
    return socket
