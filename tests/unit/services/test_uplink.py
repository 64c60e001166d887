"""The uplink against a small collector over a broker in memory, on a clock that the test moves."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zmq

from agent.drivers.broker_fake import FakeBroker
from agent.ipc import sockets
from agent.ipc.messages import ControlRequest, EventOccurred, SendingNote, pack, unpack
from agent.storage import atomic
from agent.storage.spool import REASON_FILE, RECEIPT_FILE
from agent.wire.manifest import MANIFEST_FILE
from agent.wire.telemetry import DeviceEvent
from tests.clips import DEVICE, clip_id, put_clip
from tests.tiny_collector import UP_ALL, TinyCollector
from tests.uplink_bench import KEY, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    context = zmq.Context()
    made = Bench(tmp_path, context)
    yield made
    made.uplink.close()
    context.destroy(linger=0)


def test_clips_arrive_whole_and_lie_in_sent_with_their_receipts(bench: Bench) -> None:
    whole = {clip_id(number): put_clip(bench.spool, number) for number in range(5)}
    bench.run(bench.sent(0, 1, 2, 3, 4))
    assert bench.collector.stored == whole
    for name in whole:
        assert (bench.spool.path("sent", name) / RECEIPT_FILE).stat().st_size > 100
    assert bench.spool.clips("outbox") == []
    assert len(bench.collector.received) == len(set(bench.collector.received))
    assert bench.collector.opens == sorted(whole)


def test_most_urgent_clip_goes_first(bench: Bench) -> None:
    for number, priority in enumerate(("plain", "tagged", "marked", "record")):
        put_clip(bench.spool, number, priority=priority)  # type: ignore[arg-type]
    bench.run(bench.sent(0, 1, 2, 3))
    assert bench.collector.opens == [clip_id(number) for number in (3, 2, 1, 0)]


def test_all_clips_together_stay_within_the_window_that_the_collector_grants(bench: Bench) -> None:
    bench.collector = TinyCollector(bench.link, KEY, window_bytes=3 * 16 * 1024)
    for number in range(4):
        put_clip(bench.spool, number)
    bursts = [0]

    def seen() -> bool:
        bursts.append(len(bench.collector.received))
        return bench.sent(0, 1, 2, 3)()

    bench.run(seen)
    assert max(after - before for before, after in itertools.pairwise(bursts)) <= 3


def test_next_clip_is_opened_before_the_receipt_of_the_one_before(bench: Bench) -> None:
    for number in range(3):
        put_clip(bench.spool, number, fragment_bytes=(600_000,))
    bench.run(lambda: len(bench.collector.opens) >= 2)
    assert bench.collector.stored == {}


@pytest.mark.parametrize("seed", range(6))
def test_loss_and_doubling_both_ways_end_with_every_clip_stored_once(
    bench: Bench, seed: int
) -> None:
    rng = random.Random(seed)
    bench.exchange.deliver = lambda _topic, _payload: rng.choice([0, 1, 1, 1, 1, 2])
    whole = {clip_id(number): put_clip(bench.spool, number, seed=seed) for number in range(4)}
    bench.run(bench.sent(0, 1, 2, 3), limit_s=3600, pace_s=0.2)
    assert bench.collector.stored == whole


@pytest.mark.parametrize("seed", range(6))
def test_reconnects_at_any_moment_lose_nothing(bench: Bench, seed: int) -> None:
    rng = random.Random(seed)
    whole = {clip_id(number): put_clip(bench.spool, number, seed=seed) for number in range(4)}
    done = bench.sent(0, 1, 2, 3)
    for _ in range(12):
        pause = rng.randrange(1, 12)
        for _ in range(pause):
            bench.uplink.step()
            bench.collector.step()
        bench.exchange.go_down()
        bench.run_for(0.2)
        bench.exchange.come_up()
    bench.run(done)
    assert bench.collector.stored == whole


def test_restart_of_the_uplink_resumes_with_what_is_missing(bench: Bench) -> None:
    put_clip(bench.spool, 0, fragment_bytes=(600_000,))
    bench.run(lambda: len(bench.collector.received) >= 10)
    bench.restart()
    bench.run(bench.sent(0))
    repeated = len(bench.collector.received) - len(set(bench.collector.received))
    assert repeated * 16 * 1024 <= 256 * 1024


def test_silent_collector_is_asked_again_with_growing_pauses_and_then_served(
    bench: Bench,
) -> None:
    bench.link.stop()
    for number in range(3):
        put_clip(bench.spool, number)
    asked: list[str] = []
    route = bench.exchange.route

    def count(topic: str, payload: bytes, retain: bool, properties: dict[str, str]) -> bool:
        asked.extend([topic] if topic.endswith("/manifest") else [])
        return route(topic, payload, retain, properties)

    bench.exchange.route = count  # type: ignore[method-assign]
    bench.run_for(120, pace_s=0.5)
    assert 4 <= len(asked) <= 20
    assert len(set(asked)) == 1
    bench.link = FakeBroker(bench.exchange, client_id="collector")
    bench.link.subscribe(UP_ALL)
    bench.link.start()
    bench.collector = TinyCollector(bench.link, KEY)
    bench.run(bench.sent(0, 1, 2), limit_s=60)


@pytest.mark.parametrize("answer", ["bad receipt", "other clip", "other head"])
def test_receipt_that_proves_nothing_is_a_fault_and_moves_nothing(
    bench: Bench, answer: str
) -> None:
    put_clip(bench.spool, 0)
    put_clip(bench.spool, 1)
    bench.collector.answers[clip_id(0)] = answer
    bench.run(bench.sent(1))
    bench.run_for(30)
    assert bench.spool.clips("outbox") == [clip_id(0)]
    assert not (bench.spool.path("outbox", clip_id(0)) / RECEIPT_FILE).exists()
    assert len([text for text in bench.faults() if clip_id(0) in text]) == 1
    del bench.collector.answers[clip_id(0)]
    bench.run(bench.sent(0, 1), limit_s=700, pace_s=5.0)


def test_signed_never_moves_the_clip_to_rejected_with_the_reason(bench: Bench) -> None:
    put_clip(bench.spool, 0)
    put_clip(bench.spool, 1)
    bench.collector.answers[clip_id(0)] = "never"
    bench.run(bench.sent(1))
    bench.run(lambda: bench.spool.clips("rejected") == [clip_id(0)])
    reason = (bench.spool.path("rejected", clip_id(0)) / REASON_FILE).read_text()
    assert "custody chain does not verify" in reason
    bench.run(lambda: any("never take it" in text for text in bench.faults()))


def test_later_waits_as_long_as_asked(bench: Bench) -> None:
    put_clip(bench.spool, 0)
    bench.collector.answers[clip_id(0)] = "later"
    bench.run(lambda: bench.collector.answers == {})
    start_ns = bench.clock.boot_ns()
    bench.run(lambda: len(bench.collector.opens) == 2)
    assert 4.9e9 <= bench.clock.boot_ns() - start_ns <= 5.2e9
    bench.run(bench.sent(0))


def test_receipt_beside_a_clip_that_was_not_moved_is_finished_without_sending(
    bench: Bench,
) -> None:
    put_clip(bench.spool, 0)
    bench.run(bench.sent(0))
    bench.spool.move(clip_id(0), "sent", "outbox")
    sent = len(bench.collector.received)
    bench.run(bench.sent(0))
    assert len(bench.collector.received) == sent


def test_forged_receipt_in_the_outbox_does_not_move_the_clip(bench: Bench) -> None:
    put_clip(bench.spool, 0)
    atomic.write_file(bench.spool.path("outbox", clip_id(0)) / RECEIPT_FILE, b"a.b.c")
    bench.run(bench.sent(0))
    assert list(bench.collector.stored) == [clip_id(0)]


@pytest.mark.parametrize("name", [MANIFEST_FILE, "custody.jsonl", "0001.age"])
def test_damaged_entry_is_reported_once_and_holds_nobody_up(bench: Bench, name: str) -> None:
    for number in range(3):
        put_clip(bench.spool, number)
    (bench.spool.path("outbox", clip_id(0)) / name).write_bytes(b"")
    bench.run(bench.sent(1, 2))
    bench.run_for(1300, pace_s=5.0)
    assert bench.spool.clips("outbox") == [clip_id(0)]
    assert len([text for text in bench.faults() if clip_id(0) in text]) == 1


def test_clip_that_vanishes_from_the_outbox_is_forgotten(bench: Bench) -> None:
    put_clip(bench.spool, 0, fragment_bytes=(600_000,))
    put_clip(bench.spool, 1)
    bench.run(lambda: len(bench.collector.received) >= 3)
    bench.spool.delete(clip_id(0), "outbox")
    bench.run(bench.sent(1))
    bench.run_for(5)
    assert bench.spool.clips("outbox") == []
    assert bench.faults() == []  # the recorder gave it up for room: it says so itself


def test_rubbish_answers_change_nothing(bench: Bench) -> None:
    put_clip(bench.spool, 0)
    bench.run(lambda: len(bench.collector.opens) == 1)
    for payload in (b"", b"{}", b"\xff" * 100, b"[" * 5000, b'{"state":"need","v":9}'):
        bench.link.publish(f"sightline/v1/down/{DEVICE}/clip/{clip_id(0)}", payload)
    bench.run(bench.sent(0))


def test_no_broker_is_no_error_and_everything_goes_once_there_is_one(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.exchange.go_down("nobody home")
    put_clip(bench.spool, 0)
    bench.run_for(30)
    said = [record.message for record in caplog.records if "nobody home" in record.message]
    assert len(said) == 1
    bench.exchange.come_up()
    bench.run(bench.sent(0))


def test_bandwidth_cap_is_kept(tmp_path: Path) -> None:
    context = zmq.Context()
    bench = Bench(tmp_path, context)
    bench.uplink.close()
    capped = msgspec.structs.replace(bench.settings.uplink, bandwidth_cap_kbps=80)
    bench.settings = msgspec.structs.replace(bench.settings, uplink=capped)
    bench.uplink = bench.new_uplink()
    put_clip(bench.spool, 0, fragment_bytes=(200_000,))
    start_ns = bench.clock.boot_ns()
    bench.run(bench.sent(0))
    seconds = (bench.clock.boot_ns() - start_ns) / 1e9
    assert 15 <= seconds <= 25  # 205,000 bytes at 10,000 a second, less the burst
    bench.uplink.close()
    context.destroy(linger=0)


def event(text: str) -> bytes:
    return pack(EventOccurred(DeviceEvent(kind="mark", device_id=DEVICE, text=text)))


def texts(bench: Bench) -> list[str]:
    return [msgspec.json.decode(each, type=DeviceEvent).text for each in bench.collector.events]


def test_events_of_the_other_services_are_passed_on_in_order_after_an_outage(
    bench: Bench,
) -> None:
    push = sockets.connect(
        bench.context, zmq.PUSH, bench.settings.paths.runtime_dir, "events", high_water=2000
    )
    bench.run_for(0.2)
    bench.exchange.go_down()
    for number in range(1, 1101):
        push.send(event(f"{number}"))
    push.send(b"rubbish")
    deadline_s = time.monotonic() + 30.0
    while bench.uplink._telemetry.dropped_events < 101:
        bench.uplink.step()
        assert time.monotonic() < deadline_s
    bench.exchange.come_up()
    bench.run(lambda: len(texts(bench)) >= 1000)
    marks = [text for text in texts(bench) if text.isdecimal()]
    assert marks == [f"{number}" for number in range(1101 - len(marks), 1101)]
    assert any("not understood" in text for text in texts(bench))
    push.close()


def test_status_is_retained_and_says_offline_after_the_end(bench: Bench) -> None:
    put_clip(bench.spool, 0)
    bench.run(bench.sent(0))
    bench.run_for(11)
    status = bench.status()
    assert status.online
    assert (status.outbox_clips, status.sent_clips) == (0, 1)
    assert status.session_state == "down"
    bench.uplink.close()
    assert not bench.status().online


def test_last_will_says_offline(bench: Bench) -> None:
    bench.run_for(2)
    assert bench.status().online
    bench.exchange.drop(bench.broker, "cut")
    assert not bench.status().online


def test_the_recorder_is_told_while_clips_are_sent_and_only_then(bench: Bench) -> None:
    runtime_dir = bench.settings.paths.runtime_dir
    control = sockets.bind(bench.context, zmq.ROUTER, runtime_dir, "control", high_water=10)
    bench.run(lambda: True)
    assert not control.poll(0)
    put_clip(bench.spool, 0, fragment_bytes=(600_000,))
    bench.run(bench.sent(0))
    assert control.poll(10_000)
    assert unpack(ControlRequest, control.recv_multipart()[-1]) == SendingNote()
    control.close(linger=0)
