"""The control client: an absent recorder is one clear line, a reply is handed over as it is."""

import threading
from pathlib import Path

import pytest
import zmq

from agent.errors import ControlError
from agent.ipc import sockets
from agent.ipc.control import ask
from agent.ipc.messages import MarkRequest, StatusRequest


def test_no_recorder_is_one_clear_line_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match=r"no recorder answers .*sightline-agent run"):
        ask(tmp_path, StatusRequest(), timeout_ms=50)


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="shorter"):
        ask(tmp_path / ("x" * 120), StatusRequest(), timeout_ms=50)


def test_a_reply_that_is_nonsense_is_one_clear_line(tmp_path: Path) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = sockets.bind(context, zmq.REP, tmp_path, "control", high_water=10)

    def answer() -> None:
        socket.recv()
        socket.send(b"nonsense")

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with pytest.raises(ControlError, match="not understood"):
            ask(tmp_path, MarkRequest(1), timeout_ms=5000)
    finally:
        thread.join()
        socket.close()
        context.term()
