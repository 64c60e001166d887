"""A session of 30 minutes at full rate (4 Mbit/s) over 500 kbit/s: what is known of it comes first.

The whole footage needs four hours. Time is simulated; the sender is the real one, over a link that
carries so many bits a second and no more, to a collector that keeps count.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.upload_order import Priority
from agent.crypto.jws import Signer
from agent.ports.broker import Arrived
from agent.storage import atomic
from agent.wire.codec import encode
from agent.wire.custody import GENESIS, CustodyLine, line_hash
from agent.wire.manifest import (
    CUSTODY_FILE,
    MANIFEST_FILE,
    SESSION_FILE,
    SHEET_FILE,
    FileEntry,
    Manifest,
    fragment_file,
)
from agent.wire.topics import UpClip
from tests.clips import DEVICE, SESSION, clip_id
from tests.slow_link import SlowLink
from tests.tiny_collector import TinyCollector
from tests.uplink_bench import KEY, Bench

LINK_BITS_PER_S = 500_000
CLIPS, CLIP_S = 60, 30
FRAGMENT_BYTES = 500_000
SHEET_BYTES = 40_000
MARKED, RARE, TAGGED = (7, 23, 41), (12, 50), (3, 8, 30, 31)
RECORD = f"{SESSION}-record"
SIGNER = Signer(Ed25519PrivateKey.generate())
SECOND_NS = 1_000_000_000


class Tally(TinyCollector):
    """Notes when the words of a clip are here, and when all of it is. Keeps no footage."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.link, KEY)
        self._clock = bench.clock
        self.words_ns: dict[str, int] = {}
        self.whole_ns: dict[str, int] = {}
        self.received_bytes = 0

    def _take(self, where: UpClip, item: Arrived) -> None:
        super()._take(where, item)
        self.received_bytes += len(item.payload)
        clip = self.ongoing[where.clip_id]
        if where.part is not None:
            clip.parts[where.part] = b""
        words = -(-clip.manifest.files[0].bytes // clip.part_bytes)
        if all(part in clip.parts for part in range(words)):
            self.words_ns.setdefault(where.clip_id, self._clock.boot_ns())
        if len(clip.parts) * clip.part_bytes >= clip.manifest.total_bytes:
            self.whole_ns.setdefault(where.clip_id, self._clock.boot_ns())


def put(bench: Bench, name: str, priority: Priority) -> None:
    """A clip in the outbox as the recorder leaves it, its footage as holes; the session record."""
    is_record = priority == "record"
    sizes = {SESSION_FILE: 3_000} if is_record else {SHEET_FILE: SHEET_BYTES}
    sizes |= {} if is_record else {fragment_file(n): FRAGMENT_BYTES for n in range(CLIP_S)}
    folder = bench.spool.path("recording", name)
    folder.mkdir(parents=True)
    for file, size in sizes.items():
        (folder / file).touch()
        os.truncate(folder / file, size)
    manifest = Manifest(
        clip_id=name,
        device_id=DEVICE,
        session_id=SESSION,
        start_pts_ns=0,
        end_pts_ns=0 if is_record else CLIP_S * SECOND_NS,
        frames=0 if is_record else CLIP_S * 30,
        fragments=0 if is_record else CLIP_S,
        priority=priority,
        files=tuple(FileEntry(name=f, bytes=n, sha256="0" * 64) for f, n in sizes.items()),
    )
    (folder / MANIFEST_FILE).write_bytes(encode(manifest))
    line = CustodyLine(
        kind="open", n=0, prev=GENESIS, clip_id=name, boot_counter=1, mono_ns=0, wall_ns=0,
        clock_trust="trusted", ct_sha256="0" * 64, pt_sha256="0" * 64, manifest_sha256="0" * 64,
    )  # fmt: skip
    signed = SIGNER.sign(encode(line)).encode("ascii")
    (folder / CUSTODY_FILE).write_bytes((signed + b"\n") * len(sizes))
    assert line_hash(signed.decode())
    atomic.move(folder, bench.spool.path("outbox", name), fsync=lambda _descriptor: None)


def priority_of(number: int) -> Priority:
    if number in MARKED:
        return "marked"
    return "rare" if number in RARE else "tagged" if number in TAGGED else "plain"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    context = zmq.Context()
    made = Bench(tmp_path, context, link_bits_per_s=LINK_BITS_PER_S, part_bytes=256 * 1024)
    made.collector = Tally(made)
    yield made
    made.uplink.close()
    context.destroy(linger=0)


def tally(bench: Bench) -> Tally:
    assert isinstance(bench.collector, Tally)
    return bench.collector


def longest_s(closed_ns: dict[str, int], arrived_ns: dict[str, int]) -> float:
    return max((arrived_ns[name] - at_ns) / 1e9 for name, at_ns in closed_ns.items())


def test_sheets_follow_a_running_session_within_seconds_and_marked_clips_within_minutes(
    bench: Bench,
) -> None:
    closed_ns: dict[str, int] = {}
    for number in range(CLIPS):
        bench.run_for(CLIP_S, pace_s=0.1)
        put(bench, clip_id(number), priority_of(number))
        closed_ns[clip_id(number)] = bench.clock.boot_ns()
    put(bench, RECORD, "record")
    closed_ns[RECORD] = bench.clock.boot_ns()
    marked = {clip_id(number): closed_ns[clip_id(number)] for number in MARKED}
    seen = tally(bench)
    bench.run(lambda: closed_ns.keys() <= seen.words_ns.keys(), pace_s=0.1)
    bench.run(lambda: marked.keys() <= seen.whole_ns.keys(), pace_s=0.1)
    words_s, marked_s = longest_s(closed_ns, seen.words_ns), longest_s(marked, seen.whole_ns)
    print(f"sheets within {words_s:.0f} s, marked clips within {marked_s:.0f} s of their end")
    assert words_s < 60
    assert marked_s < 10 * 60
    assert len(seen.received) == len(set(seen.received))
    assert isinstance(bench.broker, SlowLink)
    sent_s = seen.received_bytes * 8 / LINK_BITS_PER_S
    assert sent_s > 0.9 * CLIPS * CLIP_S  # the link was not left idle for the order's sake


def test_sheets_of_a_whole_session_come_within_minutes_once_there_is_a_link(
    bench: Bench,
) -> None:
    bench.exchange.go_down("no network")
    for number in range(CLIPS):
        put(bench, clip_id(number), priority_of(number))
    put(bench, RECORD, "record")
    bench.run_for(10)
    bench.exchange.come_up()
    began_ns = bench.clock.boot_ns()
    seen = tally(bench)
    names = {clip_id(number) for number in range(CLIPS)} | {RECORD}
    bench.run(lambda: seen.words_ns.keys() >= names, pace_s=0.1)
    words_s = (bench.clock.boot_ns() - began_ns) / 1e9
    marked = {clip_id(number) for number in MARKED}
    bench.run(lambda: seen.whole_ns.keys() >= marked, limit_s=1200, pace_s=0.1)
    marked_s = (bench.clock.boot_ns() - began_ns) / 1e9
    print(f"{CLIPS} sheets and the record in {words_s:.0f} s, 3 marked clips in {marked_s:.0f} s")
    assert words_s < 2 * 60
    assert marked_s < 20 * 60
    bodies = [name for name in seen.whole_ns if name != RECORD]
    assert bodies == sorted(marked)  # nothing else went before them
    assert len(seen.received) == len(set(seen.received))


def test_a_size_of_parts_that_the_collector_keeps_is_asked_for_once_and_then_taken(
    bench: Bench,
) -> None:
    bench.collector.keeps_first_size = True
    put(bench, clip_id(1), "plain")
    bench.run(lambda: clip_id(1) in tally(bench).whole_ns, limit_s=1200, pace_s=0.1)
    assert bench.collector.ongoing[clip_id(1)].part_bytes == 256 * 1024
    assert bench.collector.opens.count(clip_id(1)) <= 3
