"""A wall clock that is wrong, or jumps: durations, order and names come from elsewhere."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from agent.wire.custody import ClockTrust
from tests.clock import START_WALL_NS, ManualClock
from tests.recorder_rig import SESSION, Rig

SECOND = 10**9
YEAR = 365 * 86_400 * SECOND
YEAR_1970 = 30 * SECOND


def facts_of(folder: Path, jumps: list[tuple[int, ClockTrust]]) -> list[object]:
    """A session with one jump a second; all that a wall clock must not change."""
    with Rig(folder, clock=ManualClock(wall_ns=YEAR_1970, trust="untrusted")) as rig:
        rig.start()
        for second in range(6):
            if second < len(jumps):
                rig.clock.correct_wall(*jumps[second])
            rig.run(1)
            if second == 3:
                rig.mark()
        rig.stop()
        rig.run(1.5)
        rig.settle()
        found: list[object] = [rig.outbox()]
        for name in rig.outbox():
            item = rig.item(name.removeprefix(f"{SESSION}-"))
            manifest = item.manifest
            found.append((manifest.start_pts_ns, manifest.end_pts_ns, manifest.frames))
            found.append(
                [line.mono_ns for line in item.lines] == sorted(line.mono_ns for line in item.lines)
            )
            if manifest.name.clip is not None:
                sheet = item.sheet
                found.append((sheet.video.duration_ns, sheet.marks, sheet.gaps, sheet.pre_roll))
            else:
                record = item.record
                found.append((record.start_pts_ns, record.stop_pts_ns, record.clips, record.gaps))
        return found


# 1970, years to and fro, the hour that summer time gives and takes.
JUMPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                0,
                YEAR_1970,
                START_WALL_NS,
                START_WALL_NS + 3600 * SECOND,
                START_WALL_NS - 3600 * SECOND,
                START_WALL_NS + 12 * YEAR,
            ]
        ),
        st.sampled_from(["trusted", "untrusted"]),
    ),
    min_size=1,
    max_size=4,
)


@cache
def steady_facts() -> list[object]:
    with tempfile.TemporaryDirectory() as folder:
        return facts_of(Path(folder), [])


@settings(max_examples=6, deadline=None, phases=[Phase.generate])
@given(JUMPS)
def test_no_jump_of_the_wall_clock_changes_a_duration_an_order_or_a_name(
    jumps: list[tuple[int, ClockTrust]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert facts_of(Path(folder), jumps) == steady_facts()


def test_the_record_says_when_the_clock_became_trusted(tmp_path: Path) -> None:
    with Rig(tmp_path, clock=ManualClock(wall_ns=YEAR_1970, trust="untrusted")) as rig:
        rig.start()
        rig.run(2)
        rig.clock.correct_wall(START_WALL_NS, "trusted")
        trusted_at = rig.clock.boot_ns()
        rig.run(3)
        rig.stop()
        ended_at = rig.clock.boot_ns()
        rig.run(1.5)
        rig.settle()
        record, first = rig.item("record").record, rig.item(0).sheet
        began, trusted, ended = record.clocks
        assert (began.trust, began) == ("untrusted", record.clock)
        assert (trusted.trust, ended.trust) == ("trusted", "trusted")
        assert trusted.mono_ns >= trusted_at
        assert trusted.wall_ns - trusted.mono_ns == START_WALL_NS - trusted_at
        assert ended.mono_ns >= ended_at
        assert first.clock.trust == "untrusted"


def test_a_session_that_was_cut_off_keeps_the_time_it_learned(tmp_path: Path) -> None:
    clock = ManualClock(wall_ns=YEAR_1970, trust="untrusted")
    with Rig(tmp_path / "a", clock=clock, os_boot="one") as rig:
        rig.start()
        rig.run(2)
        clock.correct_wall(START_WALL_NS, "trusted")
        rig.run(1)
        rig.until(lambda: rig.recorder._writer.is_idle, "an idle card")
        shutil.copytree(tmp_path / "a" / "state", tmp_path / "b" / "state")
        shutil.copytree(tmp_path / "a" / "state", tmp_path / "c" / "state")
    with Rig(tmp_path / "b", keys=rig.keys, boot=2) as again:
        record = again.item("record").record
        assert [reading.trust for reading in record.clocks] == ["untrusted", "trusted"]
        assert {reading.boot_counter for reading in record.clocks} == {1}
    # The machine did not boot in between: its boot clock went on, and what it knows now counts.
    with Rig(tmp_path / "c", keys=rig.keys, boot=2, clock=clock, os_boot="one") as again:
        record = again.item("record").record
        assert len(record.clocks) == 3
        assert record.clocks[-1].boot_counter == 1
