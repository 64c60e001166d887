"""The kernel's clocks."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Literal

from agent.ports.clock import Clock

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), as glibc lays it out on 64-bit Linux; only `status` is read."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    ]


class SystemClock(Clock):
    """CLOCK_BOOTTIME and CLOCK_REALTIME; trusted while adjtimex(2) says synchronised."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def boot_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def wall_ns(self) -> int:
        return time.time_ns()

    def os_boot(self) -> str:
        """The kernel's random name of this boot of the machine (random(4)); empty when not told."""
        try:
            return _BOOT_ID.read_text().strip()
        except OSError:
            return ""

    def trust(self) -> Literal["trusted", "untrusted"]:
        timex = _Timex()
        state = self._libc.adjtimex(ctypes.byref(timex))
        synchronised = 0 <= state < _TIME_ERROR and not timex.status & _STA_UNSYNC
        return "trusted" if synchronised else "untrusted"
