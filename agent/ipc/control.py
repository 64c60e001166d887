"""The asking side of the control socket: CLI, demo, tests and uplink talk to the recorder by it."""

from __future__ import annotations

from pathlib import Path

import zmq

from agent.errors import ControlError, WireError
from agent.ipc import sockets
from agent.ipc.messages import ControlReply, ControlRequest, pack, unpack


def ask(
    runtime_dir: Path, request: ControlRequest, *, timeout_ms: int = sockets.CONTROL_TIMEOUT_MS
) -> ControlReply:
    """Send one request and wait for the reply.

    Raises ControlError: no recorder answers within `timeout_ms`, or it answers nonsense. A reply
    with `refused` set is returned, not raised.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        socket = sockets.connect(context, zmq.REQ, runtime_dir, "control", high_water=10)
        try:
            socket.send(pack(request))
            if not socket.poll(timeout_ms):
                raise ControlError(
                    f"no recorder answers on {runtime_dir}/control.sock",
                    remedy="start it (`sightline-agent run`), or give its --config",
                )
            reply: ControlReply = unpack(ControlReply, socket.recv())
        finally:
            socket.close(linger=0)
    except WireError as exc:
        raise ControlError(f"the recorder's reply is not understood ({exc})") from exc
    finally:
        context.term()
    return reply
