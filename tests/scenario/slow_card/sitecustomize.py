"""A card that stalls: every so many calls, the recorder's fsync takes seconds longer.

Python imports this before the program when its folder is on PYTHONPATH: the product has no hook.
"""

from __future__ import annotations

import itertools
import os
import sys
import time

STALL_S = float(os.environ.get("SLOW_CARD_STALL_S", "2"))
EVERY = int(os.environ.get("SLOW_CARD_EVERY", "30"))

if sys.orig_argv[-1] == "recorder":
    _calls = itertools.count(1)
    _real_fsync = os.fsync

    def _stalling_fsync(descriptor: int) -> None:
        if next(_calls) % EVERY == 0:
            time.sleep(STALL_S)
        _real_fsync(descriptor)

    os.fsync = _stalling_fsync  # type: ignore[assignment]
