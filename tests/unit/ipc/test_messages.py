"""Messages between the services come back as they were; rubbish is refused, never a crash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.picture import LORES_BYTES
from agent.errors import WireError
from agent.ipc.messages import (
    MAX_IPC_BYTES,
    ControlReply,
    ControlRequest,
    EventMessage,
    EventOccurred,
    FrameHeader,
    FrameScores,
    MarkRequest,
    StartRequest,
    TaggerMessage,
    Watermark,
    pack,
    unpack,
)
from agent.wire.telemetry import DeviceEvent


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (FrameHeader, FrameHeader(1, 2, 80, 0, 480, 360)),
        (TaggerMessage, FrameScores(5, (0.25, 1.0))),
        (TaggerMessage, Watermark(7)),
        (ControlRequest, StartRequest(9, declared={"scenario": "hostage"})),
        (ControlRequest, MarkRequest(9)),
        (EventMessage, EventOccurred(DeviceEvent(kind="mark", device_id="a"))),
    ],
)
def test_a_message_comes_back(kind: object, message: object) -> None:
    assert unpack(kind, pack(message)) == message  # type: ignore[arg-type]


@given(st.binary(max_size=100))
def test_rubbish_is_a_wire_error_and_nothing_else(payload: bytes) -> None:
    for kind in (TaggerMessage, ControlRequest, ControlReply):
        with pytest.raises(WireError):
            unpack(kind, payload)


def test_an_oversize_message_is_refused() -> None:
    with pytest.raises(WireError, match="larger than"):
        unpack(TaggerMessage, bytes(MAX_IPC_BYTES + 1))


def test_a_declared_label_of_absurd_length_is_refused() -> None:
    with pytest.raises(WireError):
        unpack(ControlRequest, pack(StartRequest(1, declared={"site": "x" * 1000})))


def test_a_lores_picture_is_i420_at_640x360() -> None:
    assert LORES_BYTES == 640 * 360 + 2 * (320 * 180)
