"""No bytes that anyone can send crash a decoder or make a process grow (see `make fuzz` too)."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import AgentError
from agent.ports.broker import Arrived
from agent.wire.topics import ROOT
from agent.wire.transfer import CRC_PROPERTY
from tests.collector_rig import PART_BYTES, Camera, Rig, stored
from tests.fuzz.targets import all_targets, message_kinds, mutated, run_target, socket_kinds

TARGETS = all_targets()
# An input of a few KB may be taken apart into so much, for as long as it is looked at.
MOST_BYTES = 32 * 1024 * 1024


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_what_the_decoder_takes(name: str) -> None:
    for seed in TARGETS[name].seeds:
        run_target(TARGETS[name].target, seed)


@pytest.mark.parametrize("error", [ValueError(""), KeyError("x"), AgentError("two\nlines \n")])
def test_decoder_that_breaks_is_noticed(error: Exception) -> None:
    def broken(_payload: bytes) -> None:
        raise error

    if isinstance(error, AgentError):
        run_target(broken, b"")  # always one line
    else:
        with pytest.raises(type(error)):
            run_target(broken, b"")


def test_every_message_has_a_target() -> None:
    assert set(message_kinds()) <= set(TARGETS)
    assert {f"agent.ipc.messages.{name}" for name in socket_kinds()} <= set(TARGETS)
    assert len(TARGETS) > 30


@pytest.mark.parametrize("name", TARGETS)
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**64))
def test_wounded_message_is_refused_in_one_line_or_taken(name: str, seed: int) -> None:
    chance, fuzzed = random.Random(seed), TARGETS[name]
    for _ in range(5):
        run_target(fuzzed.target, mutated(chance.choice(fuzzed.seeds), chance))


@pytest.mark.parametrize("name", TARGETS)
@settings(deadline=None, max_examples=20)
@given(payload=st.binary(max_size=300))
def test_any_bytes_are_refused_in_one_line_or_taken(name: str, payload: bytes) -> None:
    run_target(TARGETS[name].target, payload)


def test_no_message_makes_a_decoder_grow_or_keeps_memory() -> None:
    chance = random.Random(1)
    tracemalloc.start()
    try:
        for name, fuzzed in TARGETS.items():
            inputs = [mutated(chance.choice(fuzzed.seeds), chance) for _ in range(10)]
            for payload in inputs:
                run_target(fuzzed.target, payload)
            gc.collect()
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            for payload in inputs:
                run_target(fuzzed.target, payload)
            gc.collect()
            after, peak = tracemalloc.get_traced_memory()
            assert peak - before < MOST_BYTES, name
            assert after - before < 100_000, name
    finally:
        tracemalloc.stop()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    rig.start()
    yield rig
    rig.stop()


def rubbish(rig: Rig, chance: random.Random) -> Arrived:
    """A message that a device with a certificate can get through to the collector."""
    opened = TARGETS["collector.verification.check_open"].seeds
    kind = chance.choice(("manifest", "part/0", "part/999999", "part/1000000", "part/-1", "x", ""))
    clip = chance.choice(("cam01-00112233aabbccdd-000001-0001-0000", "..", "x" * 96, "%2e", "a/b"))
    device = chance.choice(("cam01", "cam02", "..", "", "+"))
    payload = mutated(chance.choice(opened), chance)
    properties = chance.choice(({}, {CRC_PROPERTY: "zz" * 9000}, {CRC_PROPERTY: "00000000"}))
    return Arrived(
        topic=f"{ROOT}/up/{device}/clip/{clip}/{kind}", payload=payload, properties=properties
    )


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**64))
def test_rubbish_on_any_topic_never_stops_the_collector(rig: Rig, seed: int) -> None:
    chance = random.Random(seed)
    assert rig.ingest is not None
    for _ in range(10):
        rig.ingest._take(rubbish(rig, chance))
    rig.settle()
    assert not rig.rows("SELECT * FROM clips")


def test_flood_of_rubbish_leaves_nothing_behind_in_the_collector(rig: Rig) -> None:
    chance, camera = random.Random(2), Camera(rig)
    assert rig.ingest is not None

    def flood(count: int) -> None:
        assert rig.ingest is not None
        for _ in range(count):
            rig.ingest._take(rubbish(rig, chance))
        rig.settle()
        camera.listen()
        camera.answers.clear()
        rig.log.truncate(rig.log.seek(0))
        rig.events.truncate(rig.events.seek(0))
        gc.collect()

    flood(1500)  # what is remembered for a while is full
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        flood(1500)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1_000_000
    stored(camera.deliver(rig.device().clip(), PART_BYTES))
