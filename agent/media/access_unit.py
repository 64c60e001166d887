"""What an H.264 access unit holds, by its NAL units (ITU-T H.264, table 7-1 and annex B)."""

from __future__ import annotations

NAL_IDR, NAL_SPS, NAL_PPS = 5, 7, 8
_START_CODE = b"\x00\x00\x01"
# The NAL units that matter here come before the slices, all but the IDR slice itself.
_SLICES = {1, 2, 3, 4, NAL_IDR}


def leading_kinds(access_unit: bytes) -> set[int]:
    """The kinds of the NAL units up to and with the first slice. Emulation prevention makes a start
    code inside a NAL unit impossible."""
    found: set[int] = set()
    at = access_unit.find(_START_CODE)
    while 0 <= at < len(access_unit) - len(_START_CODE):
        kind = access_unit[at + len(_START_CODE)] & 0x1F
        found.add(kind)
        if kind in _SLICES:
            break
        at = access_unit.find(_START_CODE, at + len(_START_CODE))
    return found


def opens_gop(access_unit: bytes) -> bool:
    """Whether decoding can begin here: an IDR picture with SPS and PPS in band."""
    return leading_kinds(access_unit) >= {NAL_IDR, NAL_SPS, NAL_PPS}
