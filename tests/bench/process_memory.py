"""What a running process weighs: proportional set size, and the CPU time it used."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def pss_mb(pid: int) -> float:
    """Proportional set size in MB (10^6 bytes): shared pages count by share (proc(5))."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"process {pid} states no PSS")


def cpu_s(pid: int) -> float:
    """User and system seconds so far, all threads (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def children(pid: int) -> dict[int, list[str]]:
    """pid -> command line of the direct children of `pid`."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            found[int(child)] = [word.decode() for word in words if word]
    return found
