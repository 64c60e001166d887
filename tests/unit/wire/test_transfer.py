"""The transfer's arithmetic and bitmaps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import WireError
from agent.wire.codec import encode
from agent.wire.transfer import Need, decode_state, pack_have, part_count, unpack_have


def need(contiguous: int, have: str) -> Need:
    return Need(
        manifest_sha256="0" * 64,
        contiguous=contiguous,
        have=have,
        window_bytes=1,
        part_bytes=16 * 1024,
    )


@given(st.sets(st.integers(0, 3000)))
def test_every_set_of_parts_comes_back_from_the_bitmap(parts: set[int]) -> None:
    contiguous = next(n for n in range(3002) if n not in parts)
    message = decode_state(encode(need(contiguous, pack_have(parts, contiguous))))
    assert isinstance(message, Need)
    assert unpack_have(message, 3001) == parts


def test_a_part_beyond_the_clip_is_refused() -> None:
    with pytest.raises(WireError, match="names part 9 of a clip of 9"):
        unpack_have(need(0, pack_have({9}, 0)), 9)


def test_a_bitmap_that_is_not_base64_is_refused() -> None:
    with pytest.raises(WireError, match="base64"):
        unpack_have(need(0, "*"), 9)


@pytest.mark.parametrize(("total", "parts"), [(1, 1), (10, 1), (11, 2), (20, 2), (0, 1)])
def test_parts_cover_the_concatenation(total: int, parts: int) -> None:
    assert part_count(total, 10) == parts
