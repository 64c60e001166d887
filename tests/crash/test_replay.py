"""The power goes at any operation of the real programs: nothing that was promised is lost.

A sample; `make crash` tries every disk.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import trace
from tests.crash.disk import File
from tests.crash.processes import Operation
from tests.crash.record import Recording, record
from tests.crash.replay import Extent, Part, Replay, Tally, in_memory

WHY_NOT = trace.why_not()
pytestmark = [
    pytest.mark.scenario,
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
]


@pytest.fixture(scope="module")
def exercise(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return record(tmp_path_factory.mktemp("crash") / "whole", "whole")


@pytest.fixture
def scratch() -> Iterator[Path]:
    with in_memory() as folder:
        yield folder


def without(recording: Recording, part: Part, kind: type) -> Recording:
    """The same exercise as programs would have done it that forget to sync."""
    disk = str({"card": recording.card, "store": recording.store}[part])

    def is_forgotten(done: Operation) -> bool:
        return done.what == "sync" and done.disk == disk and isinstance(done.node, kind)

    forgotten = {done.ended for done, _disks in recording.play() if is_forgotten(done)}
    calls = [call for call in recording.calls if call.ended not in forgotten]
    return dataclasses.replace(recording, calls=calls)


def lost(tally: Tally) -> list[str]:
    return [text for _row, text in tally.violations if "LOST" in text]


def test_no_power_cut_breaks_a_promise(exercise: Recording, scratch: Path) -> None:
    tally = Replay(exercise, scratch, Extent(every=24, watched=2, every_watched=24)).run()
    assert tally.violations == []
    tried = {name: 0 for name, _kind in tally.tried}
    for (name, _kind), count in tally.tried.items():
        tried[name] += count
    assert tried["card"] > 50
    assert tried["store"] > 100
    assert min(tried["card, recovering"], tried["store, recovering"]) > 1


@pytest.mark.parametrize("fsync", ["folders", "none"])
def test_recorder_that_renames_without_a_sync_is_caught(
    fsync: str, tmp_path: Path, scratch: Path
) -> None:
    recording = record(tmp_path / "broken", "recorder", fsync=fsync)
    tally = Replay(recording, scratch, Extent(every=12, parts=("card",))).run()
    assert lost(tally)


def test_collector_that_does_not_sync_files_is_caught(exercise: Recording, scratch: Path) -> None:
    broken = without(exercise, "store", File)
    assert Replay(broken, scratch, Extent(every=48, parts=("store",))).run().violations
