"""Messages from outside: bounded, versioned, refused with a reason, never a crash."""

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import WireError
from agent.wire.codec import decode, encode
from agent.wire.telemetry import DeviceEvent, DeviceStatus
from agent.wire.transfer import Open, Receipt, decode_state


def test_unknown_fields_are_ignored() -> None:
    event = decode(DeviceEvent, b'{"v":1,"kind":"mark","device_id":"a","new":[1,2]}')
    assert event.kind == "mark"


def test_an_unknown_version_is_refused_with_its_number() -> None:
    with pytest.raises(WireError, match="version 2"):
        decode(DeviceEvent, b'{"v":2,"kind":"mark","device_id":"a"}')


def test_an_oversize_message_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(WireError, match="larger than 10"):
        decode(DeviceEvent, b"not even json", max_bytes=10)


def test_a_bomb_of_brackets_is_refused() -> None:
    # At the parser's full depth no callback of the garbage collector finds room on the stack.
    gc.disable()
    try:
        with pytest.raises(WireError):
            decode(DeviceEvent, b'{"x":' + b"[" * 200_000)
    finally:
        gc.enable()


def test_the_same_struct_gives_the_same_bytes() -> None:
    status = DeviceStatus(device_id="a", online=True, agent_version="1")
    assert encode(status) == encode(decode(DeviceStatus, encode(status)))


@given(st.binary(max_size=200))
def test_rubbish_is_a_wire_error_and_nothing_else(payload: bytes) -> None:
    for parse in (
        decode_state,
        lambda content: decode(Open, content),
        lambda content: decode(Receipt, content),
        lambda content: decode(DeviceStatus, content),
    ):
        with pytest.raises(WireError):
            parse(payload)
