from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import WireError
from agent.wire.base45 import decode45, encode45


# The examples of RFC 9285, section 4.
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"AB", "BB8"),
        (b"Hello!!", "%69 VD92EX0"),
        (b"base-45", "UJCLQE7W581"),
        (b"ietf!", "QED8WEX0"),
    ],
)
def test_the_examples_of_the_standard_hold(content: bytes, text: str) -> None:
    assert encode45(content) == text
    assert decode45(text) == content


@given(st.binary(max_size=200))
def test_what_was_encoded_decodes_to_itself(content: bytes) -> None:
    assert decode45(encode45(content)) == content


@pytest.mark.parametrize("text", ["A", "ABCD", "abc", "::::::", "GGW", "ZZ", "é12"])
def test_what_nothing_encodes_to_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        decode45(text)
