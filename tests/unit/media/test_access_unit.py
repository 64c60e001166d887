from __future__ import annotations

from agent.media.access_unit import leading_kinds, opens_gop

AUD, SPS, PPS, IDR, SLICE = (b"\x00\x00\x00\x01" + bytes([kind]) for kind in (9, 7, 8, 5, 1))


def test_an_idr_with_its_headers_opens_a_gop() -> None:
    assert opens_gop(AUD + SPS + b"aa" + PPS + b"b" + IDR + b"\x88" * 50)


def test_an_idr_without_headers_opens_none() -> None:
    assert not opens_gop(IDR + b"\x88" * 50)
    assert not opens_gop(SPS + b"aa" + IDR + b"\x88" * 50)


def test_a_recovery_point_without_an_idr_opens_none() -> None:
    assert not opens_gop(SPS + b"aa" + PPS + b"b" + SLICE + b"\x88" * 50)


def test_nothing_behind_the_first_slice_is_looked_at() -> None:
    assert leading_kinds(SLICE + b"\x9a" + SPS) == {1}


def test_bytes_that_are_no_access_unit_hold_nothing() -> None:
    assert leading_kinds(b"") == set()
    assert leading_kinds(b"\x00\x00\x01") == set()
