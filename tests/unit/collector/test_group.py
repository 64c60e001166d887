"""Two collectors of one group, one store, no affinity: any part to either, in any order, twice."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.wire.manifest import fragment_file
from agent.wire.transfer import Need, unpack_have
from collector.locking import try_lock
from tests.collector_rig import PART_BYTES, need
from tests.group_rig import GroupCamera, GroupRig
from tests.sample_clip import SampleClip


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[Callable[[Callable[[int], int]], GroupRig]]:
    made: list[GroupRig] = []

    def make(choose: Callable[[int], int]) -> GroupRig:
        root = tmp_path / str(len(made))
        root.mkdir()
        rig = GroupRig(root, choose)
        made.append(rig)
        rig.join("collector-1")
        rig.join("collector-2")
        return rig

    yield make
    for rig in made:
        rig.stop()


def turns() -> Callable[[int], int]:
    """Round robin."""
    calls = iter(range(10**9))
    return lambda count: next(calls) % count


def assert_stored_once(rig: GroupRig, camera: GroupCamera, clips: list[SampleClip]) -> None:
    receipts = camera.receipts()
    assert len(set(receipts)) == len(clips)
    for clip in clips:
        assert (rig.folder(clip) / "clip.mp4").read_bytes() == clip.plain
    assert len(rig.rows("SELECT * FROM clips WHERE conflict = 0")) == len(clips)
    assert not rig.rows("SELECT * FROM clips WHERE conflict = 1")
    assert len(rig.said("stored")) == len(clips)
    rig.wait(2)
    assert not list((rig.root / "store" / "incoming").glob("*/*"))


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32))
def test_parts_in_any_order_and_twice_to_either_store_each_clip_once(
    make_rig: Callable[[Callable[[int], int]], GroupRig], seed: int
) -> None:
    chance = random.Random(seed)
    rig = make_rig(chance.randrange)
    device, camera = rig.device(), GroupCamera(rig)
    clips = [device.clip(count=2) for _ in range(3)]
    for clip in clips:
        camera.post_open(clip)
    rig.settle()
    parts = [(clip, n) for clip in clips for n in range(len(clip.parts(PART_BYTES)))]
    posts = chance.sample(parts * 2, 2 * len(parts))
    for clip, number in posts:
        camera.post_part(clip, number)
        if chance.random() < 0.3:
            rig.settle()
    rig.wait(2)
    assert_stored_once(rig, camera, clips)


def test_one_collector_answers_and_the_other_lets_go(
    make_rig: Callable[[Callable[[int], int]], GroupRig],
) -> None:
    rig = make_rig(turns())
    device, camera = rig.device(), GroupCamera(rig)
    for _ in range(5):
        clip = device.clip()
        camera.post_open(clip)
        rig.settle()
        for number in range(len(clip.parts(PART_BYTES))):
            camera.post_part(clip, number)
        rig.wait(2)
    assert len(camera.receipts()) == 5
    incoming = str(rig.root / "store" / "incoming")
    links = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    held = [name for path in links if incoming in (name := str(path.readlink()))]
    assert len(held) <= 2  # the last clip's at most, until the next one comes


def test_need_of_either_names_what_both_made_durable(
    make_rig: Callable[[Callable[[int], int]], GroupRig],
) -> None:
    rig = make_rig(turns())
    device, camera = rig.device(), GroupCamera(rig)
    clip = device.clip()
    camera.post_open(clip)
    rig.settle()
    for number in range(4):
        camera.post_part(clip, number)
    rig.settle()
    for _ in range(2):  # one to each
        camera.post_open(clip)
        rig.settle()
        camera.listen()
        answer = need(camera.answers[-1])
        assert unpack_have(answer, len(clip.parts(PART_BYTES))) == {0, 1, 2, 3}


def test_what_a_collector_that_ended_had_recorded_completes_the_clip_at_the_other(
    make_rig: Callable[[Callable[[int], int]], GroupRig],
) -> None:
    rig = make_rig(turns())
    device, camera = rig.device(), GroupCamera(rig)
    clip = device.clip()
    camera.post_open(clip)
    rig.settle()
    parts = range(len(clip.parts(PART_BYTES)))
    for number in parts[:-1]:
        camera.post_part(clip, number)
    rig.settle()
    rig.leave("collector-1")
    camera.post_part(clip, parts[-1])
    rig.settle()
    assert_stored_once(rig, camera, [clip])


def test_clip_whose_collector_hangs_with_the_claim_is_stored_by_the_other(
    make_rig: Callable[[Callable[[int], int]], GroupRig],
) -> None:
    rig = make_rig(turns())
    device, camera = rig.device(), GroupCamera(rig)
    clip = device.clip()
    camera.post_open(clip)
    rig.settle()
    folder = next((rig.root / "store" / "incoming").glob("*/*"))
    descriptor = os.open(folder / "sealed", os.O_RDWR)
    try:
        assert try_lock(descriptor)
        for number in range(len(clip.parts(PART_BYTES))):
            camera.post_part(clip, number)
        rig.settle()
        camera.listen()
        assert isinstance(camera.answers[-1], Need)
        assert camera.receipts() == []
        rig.wait(16)
        rig.wait(2)
    finally:
        os.close(descriptor)
    assert_stored_once(rig, camera, [clip])


def test_damaged_file_is_mended_whichever_collector_had_its_parts(
    make_rig: Callable[[Callable[[int], int]], GroupRig],
) -> None:
    rig = make_rig(turns())
    device, camera = rig.device(), GroupCamera(rig)
    clip = device.clip()
    camera.post_open(clip)
    rig.settle()
    names = [entry.name for entry in clip.manifest.files]
    at = sum(entry.bytes for entry in clip.manifest.files[: names.index(fragment_file(1))])
    broken = (at + 20_000) // PART_BYTES
    parts = clip.parts(PART_BYTES)
    for number, content in enumerate(parts):
        wrong = bytes([content[0] ^ 1]) + content[1:] if number == broken else content
        camera.post_part(clip, number, wrong)
    rig.settle()
    camera.listen()
    assert broken not in unpack_have(need(camera.answers[-1]), len(parts))
    for _ in range(4):  # what a camera does: send what a Need lacks, until all is said
        camera.listen()
        answer = camera.answers[-1]
        if isinstance(answer, Need):
            for number in set(range(len(parts))) - unpack_have(answer, len(parts)):
                camera.post_part(clip, number)
        rig.wait(2)
    assert_stored_once(rig, camera, [clip])


def test_two_part_sizes_at_the_same_time_agree_on_one(
    make_rig: Callable[[Callable[[int], int]], GroupRig],
) -> None:
    rig = make_rig(turns())
    device, camera = rig.device(), GroupCamera(rig)
    clip = device.clip()
    first, second = camera.open(clip, PART_BYTES), camera.open(clip, 2 * PART_BYTES)
    assert need(first).part_bytes == need(second).part_bytes == PART_BYTES


def test_group_name_ends_in_a_word_that_only_its_store_knows(
    make_rig: Callable[[Callable[[int], int]], GroupRig],
) -> None:
    rig, other = make_rig(turns()), make_rig(turns())
    names = {member.joined for member in rig.connections.values()}
    (name,) = names
    assert name.startswith("group-")
    assert len(name) >= len("group-") + 32
    assert name not in {member.joined for member in other.connections.values()}
    assert (rig.root / "store" / "group").stat().st_mode & 0o077 == 0
    rig.leave("collector-2")
    rig.join("collector-2")
    assert {member.joined for member in rig.connections.values()} == names
