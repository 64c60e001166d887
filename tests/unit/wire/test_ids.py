"""Clip ids are canonical, safe in paths and topics, and sort by time without a clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import WireError
from agent.wire.ids import ClipName, parse_clip_id

names = st.builds(
    ClipName,
    device_id=st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True),
    epoch=st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    boot=st.integers(1, 999_999_999),
    session=st.integers(0, 999_999),
    clip=st.none() | st.integers(0, 999_999),
)


@given(names)
def test_every_name_comes_back_from_its_text(name: ClipName) -> None:
    assert parse_clip_id(name.clip_id) == name


@given(st.text(max_size=120))
def test_what_parses_is_canonical_and_safe_in_a_path(text: str) -> None:
    try:
        name = parse_clip_id(text)
    except WireError:
        return
    assert name.clip_id == text
    assert "/" not in text
    assert "." not in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cam",
        "../../etc/passwd",
        "cam-0123456789abcdef-000001-0001-0001/x",
        "cam-0123456789abcdef-1-0001-0001",
        "cam-0123456789ABCDEF-000001-0001-0001",
        "cam-0123456789abcdef-0000001-0001-0001",
        "cam-0123456789abcdef-000001-0001-0001\n",
    ],
)
def test_what_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        parse_clip_id(text)


def test_ids_sort_by_boot_then_session_then_clip_with_the_record_last() -> None:
    base = ClipName("cam", "0" * 16, 1, 1, 1)
    later = [
        base,
        ClipName("cam", "0" * 16, 1, 1, 12),
        ClipName("cam", "0" * 16, 1, 1, None),
        ClipName("cam", "0" * 16, 1, 2, 0),
        ClipName("cam", "0" * 16, 10, 1, 0),
    ]
    ids = [name.clip_id for name in later]
    assert ids == sorted(ids)
