"""When was a clip recorded? From a trusted clock reading of the same boot, whenever one arrives.

A clip's `pts` count CLOCK_BOOTTIME, which never jumps. One trusted reading (boot time, wall time)
therefore dates everything of its boot, also what was recorded while the clock said 1970. Readings
come in the sheets of clips and in session records, before or after the clips that they date; the
nearest one counts, so the result does not depend on the order. Sheets are never changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from agent.wire.label_sheet import ClockReading, LabelSheet, SessionRecord

SCHEMA = """
CREATE TABLE IF NOT EXISTS clock_readings (device_id TEXT NOT NULL, epoch TEXT NOT NULL,
  boot INTEGER NOT NULL, mono_ns INTEGER NOT NULL, wall_ns INTEGER NOT NULL,
  clip_key TEXT NOT NULL REFERENCES clips ON DELETE CASCADE,
  UNIQUE (device_id, epoch, boot, mono_ns, wall_ns));
CREATE INDEX IF NOT EXISTS clips_by_boot ON clips (device_id, epoch, boot);
"""

# Of two readings equally near the earlier one counts, of two contradicting ones the lesser: any
# rule will do that does not ask which came first.
_NEAREST = """
SELECT mono_ns, wall_ns FROM clock_readings WHERE device_id = :device_id AND epoch = :epoch
  AND boot = :boot ORDER BY abs(mono_ns - :start_pts_ns), mono_ns, wall_ns LIMIT 1
"""
_DATE = """
UPDATE clips SET corrected_wall_ns = start_pts_ns + :wall_ns - :mono_ns, clock_mono_ns = :mono_ns
  WHERE device_id = :device_id AND epoch = :epoch AND boot = :boot AND (
    clock_mono_ns IS NULL
    OR (abs(:mono_ns - start_pts_ns), :mono_ns, start_pts_ns + :wall_ns - :mono_ns)
     < (abs(clock_mono_ns - start_pts_ns), clock_mono_ns, corrected_wall_ns))
"""


def trusted_readings(
    words: LabelSheet | SessionRecord | None, boot: int
) -> tuple[ClockReading, ...]:
    """The readings in a sheet or record that date the clips of `boot`."""
    if words is None:
        return ()
    found = (words.clock, *(words.clocks if isinstance(words, SessionRecord) else ()))
    return tuple(one for one in found if one.trust == "trusted" and one.boot_counter == boot)


def date_clips(
    connection: sqlite3.Connection,
    columns: dict[str, object],
    readings: Iterable[ClockReading],
) -> None:
    """Take up a new row of `clips` (its `columns`) and the `readings` that came with it."""
    row = {name: columns[name] for name in ("device_id", "epoch", "boot", "start_pts_ns")}
    for reading in readings:
        values = {**row, "mono_ns": reading.mono_ns, "wall_ns": reading.wall_ns}
        connection.execute(
            "INSERT OR IGNORE INTO clock_readings (device_id, epoch, boot, mono_ns, wall_ns,"
            " clip_key) VALUES (:device_id, :epoch, :boot, :mono_ns, :wall_ns, :clip_key)",
            {**values, "clip_key": columns["clip_key"]},
        )
        connection.execute(_DATE, values)
    nearest = connection.execute(_NEAREST, row).fetchone()
    if nearest is not None:
        connection.execute(_DATE, {**row, "mono_ns": nearest[0], "wall_ns": nearest[1]})
