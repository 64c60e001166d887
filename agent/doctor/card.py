"""The card: its room, its speed against what is recorded, and what it says of its health."""

from __future__ import annotations

import os
import re
import shutil
import time
from itertools import repeat
from pathlib import Path

from agent.doctor.finding import Finding, Visit, bad, good, warn
from agent.storage import atomic

LITTLE_ROOM_MINUTES = 60.0
SLOW_SYNC_MS = 200.0
# What is recorded must fit through with as much again for the upload and for a slow moment.
_SPEED_MARGIN = 3.0
_SMALL_BYTES, _LARGE_BYTES = 64 * 1024, 8 * 1024 * 1024
# eMMC (JESD84-B51, 7.4): life used in steps of 10 %, and the state of its reserve.
_LIFE_USED_UP = 0x0A
_HEX = re.compile(r"0x[0-9a-fA-F]{2}\b")
_RESERVE = {"0x02": "80 % of its reserve is used", "0x03": "its reserve is used up"}


def check_card(visit: Visit) -> Finding:
    settings = visit.settings
    folder = settings.paths.state_dir
    atomic.make_directory(folder / "state")
    sync_ms = _durable_s(folder, _SMALL_BYTES) * 1e3
    rate = _LARGE_BYTES / _durable_s(folder, _LARGE_BYTES)
    needed = settings.encoder.bitrate_kbps * 125
    room = shutil.disk_usage(folder).free - settings.retention.min_free_bytes
    minutes = max(0.0, room) / needed / 60
    if visit.status is not None and visit.status.card_minutes_left is not None:
        minutes = visit.status.card_minutes_left  # it knows the budget, and what has a receipt
    health, is_worn = _health(folder, visit.sys_dir)
    fact = (
        f"{folder}: {minutes:.0f} min of room, {rate / 1e6:.0f} MB/s ({needed / 1e6:.1f} needed),"
        f" {sync_ms:.0f} ms to make 64 KiB durable, {health}"
    )
    if is_worn:
        return bad("card", fact, "copy what is on it and put in a new card")
    if minutes < LITTLE_ROOM_MINUTES:
        return warn("card", fact, "upload, or use a larger card")
    if sync_ms > SLOW_SYNC_MS or rate < _SPEED_MARGIN * needed:
        return warn("card", fact, "the card is slow or worn: use a faster one")
    return good("card", fact)


def _durable_s(folder: Path, size: int) -> float:
    """Seconds to write `size` bytes that no cache makes up."""
    probe, content = folder / "state" / "doctor.probe", os.urandom(size)
    began_s = time.perf_counter()
    try:
        atomic.write_file(probe, content)
        return time.perf_counter() - began_s
    finally:
        probe.unlink(missing_ok=True)


def _health(folder: Path, sys_dir: Path) -> tuple[str, bool]:
    """What device and file system say of themselves, and whether that is bad."""
    number = folder.stat().st_dev
    block = sys_dir / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}"
    partition = block.resolve()
    errors = _word(sys_dir / "fs" / "ext4" / partition.name / "errors_count")
    if errors not in ("", "0"):
        return f"the file system counts {errors} errors", True
    disk = partition if (partition / "device").exists() else partition.parent
    reserve = _RESERVE.get(_word(disk / "device" / "pre_eol_info"))
    if reserve:
        return reserve, True
    used = max(map(int, _HEX.findall(_word(disk / "device" / "life_time")), repeat(16)), default=0)
    if used:
        return f"{(used - 1) * 10} to {used * 10} % of its life used", used > _LIFE_USED_UP
    if errors == "0":
        return "no file system errors", False
    return "it says nothing of its health", False


def _word(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
