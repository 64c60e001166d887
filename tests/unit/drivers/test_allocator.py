from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

PROGRAM = """
from pathlib import Path
from agent.drivers.allocator import tune_allocator

def faults():
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[7])

if {tuned}:
    assert tune_allocator()
before = faults()
for _ in range(100):
    blocks = [bytes(1 << 18) for _ in range(16)]
    del blocks
print(faults() - before)
"""


def page_faults(tuned: bool) -> int:
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(tuned=tuned)],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    return int(found.stdout)


def test_large_blocks_are_reused_instead_of_faulted_in_again() -> None:
    if platform.libc_ver()[0] != "glibc":
        return  # nothing to tune: the function says False
    assert page_faults(tuned=True) < page_faults(tuned=False) / 2
