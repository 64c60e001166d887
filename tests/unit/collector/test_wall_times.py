"""A clip's wall time comes from a trusted reading of its boot, whatever arrives first."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire.label_sheet import ClockReading
from collector import catalogue, wall_times
from tests.collector_rig import Camera, Rig, stored
from tests.sample_clip import SECOND_NS, START_PTS_NS, SampleDevice

YEAR_1970 = 7 * SECOND_NS
TRUE_WALL_NS = 1_800_000_000 * SECOND_NS  # at START_PTS_NS


def reading(mono_ns: int, *, trusted: bool = True, boot: int = 1) -> ClockReading:
    wall = TRUE_WALL_NS + mono_ns - START_PTS_NS if trusted else YEAR_1970
    trust = "trusted" if trusted else "untrusted"
    return ClockReading(boot_counter=boot, mono_ns=mono_ns, wall_ns=wall, trust=trust)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    rig.start()
    yield rig
    rig.stop()


def device_in_1970(rig: Rig) -> SampleDevice:
    device = rig.device()
    device.clock = reading(START_PTS_NS, trusted=False)
    return device


TIMES = (
    "SELECT kind, clip, wall_ns, clock_trust, corrected_wall_ns FROM clips ORDER BY kind, clip_key"
)
RECORD_CLOCKS = (
    reading(START_PTS_NS, trusted=False),
    reading(START_PTS_NS + 40 * SECOND_NS),
    reading(START_PTS_NS + 60 * SECOND_NS),
)


@pytest.mark.parametrize("record_first", [False, True])
def test_clips_from_1970_get_their_time_from_the_record(rig: Rig, record_first: bool) -> None:
    device, camera = device_in_1970(rig), Camera(rig)
    clips = [device.clip(), device.clip()]
    record = device.record(clocks=RECORD_CLOCKS)
    for item in [record, *clips] if record_first else [*clips, record]:
        stored(camera.deliver(item))

    assert rig.rows(TIMES)[:2] == [
        ("clip", 0, YEAR_1970, "untrusted", TRUE_WALL_NS),
        ("clip", 1, YEAR_1970, "untrusted", TRUE_WALL_NS + 30 * SECOND_NS),
    ]
    # The sheet says what the camera believed: it was signed so.
    assert b"1800000000" not in (rig.folder(clips[0]) / "labels.json").read_bytes()


def test_without_a_trusted_reading_no_time_is_made_up(rig: Rig) -> None:
    device, camera = device_in_1970(rig), Camera(rig)
    stored(camera.deliver(device.clip()))
    stored(camera.deliver(device.record()))
    assert {row[-1] for row in rig.rows(TIMES)} == {None}


def test_a_later_clip_of_the_boot_dates_a_recovered_one_before_it(rig: Rig) -> None:
    device, camera = device_in_1970(rig), Camera(rig)
    stored(camera.deliver(device.recovered_clip()))
    device.clock = reading(START_PTS_NS + 30 * SECOND_NS)
    stored(camera.deliver(device.clip()))
    assert [row[-1] for row in rig.rows(TIMES)] == [TRUE_WALL_NS, TRUE_WALL_NS + 30 * SECOND_NS]


def test_a_reading_of_another_boot_dates_nothing(rig: Rig) -> None:
    device, camera = device_in_1970(rig), Camera(rig)
    stored(camera.deliver(device.clip()))
    stored(camera.deliver(device.record(clocks=(reading(START_PTS_NS, boot=2),))))
    assert {row[-1] for row in rig.rows(TIMES)} == {None}


def test_a_lost_catalogue_is_rebuilt_with_the_same_times(rig: Rig) -> None:
    device, camera = device_in_1970(rig), Camera(rig)
    for item in (device.clip(), device.record(clocks=RECORD_CLOCKS)):
        stored(camera.deliver(item))
    before = rig.rows(TIMES)
    rig.stop()
    for file in (rig.root / "store").glob("catalogue.sqlite*"):
        file.unlink()
    rig.start()
    assert rig.rows(TIMES) == before


PTS = st.integers(0, 100).map(lambda second: second * SECOND_NS)
# (pts of the item, readings that it brings: where, and how far its clock is off)
ITEMS = st.lists(
    st.tuples(PTS, st.lists(st.tuples(PTS, st.integers(-3, 3)), max_size=3)),
    min_size=1,
    max_size=8,
)


@given(st.data(), ITEMS)
def test_the_order_of_arrival_changes_nothing(
    data: st.DataObject, items: list[tuple[int, list[tuple[int, int]]]]
) -> None:
    numbered = list(enumerate(items))
    other = data.draw(st.permutations(numbered))
    times = dated(numbered)
    assert dated(other) == times
    offsets = [(mono, off) for _pts, readings in items for mono, off in readings]
    for number, (pts, _readings) in numbered:
        if not offsets:
            assert times[number] is None
            continue
        nearest = min(abs(mono - pts) for mono, _off in offsets)
        possible = {pts + off for mono, off in offsets if abs(mono - pts) == nearest}
        assert times[number] in possible


def dated(items: list[tuple[int, tuple[int, list[tuple[int, int]]]]]) -> dict[int, int | None]:
    """Number of the item -> the time it has in the end."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(catalogue._SCHEMA + wall_times.SCHEMA)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for number, (pts, readings) in items:
        columns: dict[str, object] = dict.fromkeys(_NOT_NULL, 0)
        columns |= {"clip_key": str(number), "clip_id": str(number), "device_id": "cam01"}
        columns |= {"epoch": "e", "boot": 1, "start_pts_ns": pts, "manifest_sha256": str(number)}
        catalogue._insert(connection, "clips", columns)
        clocks = [
            ClockReading(boot_counter=1, mono_ns=mono, wall_ns=mono + off, trust="trusted")
            for mono, off in readings
        ]
        wall_times.date_clips(connection, columns, clocks)
    rows = connection.execute("SELECT clip_key, corrected_wall_ns FROM clips").fetchall()
    connection.close()
    return {int(key): wall for key, wall in rows}


_NOT_NULL = (
    *("session_id", "kind", "conflict", "session", "end_pts_ns", "frames", "fragments"),
    *("recovered", "priority", "sealed_bytes", "custody_head", "receipt"),
    *("stored_wall_ns", "folder"),
)
