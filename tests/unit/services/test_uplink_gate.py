"""The uplink keeps the admin's rules about links, power and hours, and says why it waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from agent.config import Network
from agent.drivers.broker_fake import FakeBroker
from tests.clips import clip_id, put_clip
from tests.slow_link import SlowLink
from tests.uplink_bench import Bench

MakeBench = Callable[..., Bench]
SECOND_NS = 1_000_000_000


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[MakeBench]:
    context = zmq.Context()
    made: list[Bench] = []

    def make(network: Network, link_bits_per_s: int = 0) -> Bench:
        made.append(Bench(tmp_path, context, network=network, link_bits_per_s=link_bits_per_s))
        return made[-1]

    yield make
    for bench in made:
        bench.uplink.close()
    context.destroy(linger=0)


def test_clips_wait_while_the_link_is_metered_and_the_status_says_so(
    make_bench: MakeBench,
) -> None:
    bench = make_bench(Network())
    bench.surroundings.change(interface="wwan0", is_metered=True)
    put_clip(bench.spool, 0)
    bench.run_for(30)
    assert bench.collector.opens == []
    assert bench.status().online
    assert bench.status().waiting == "waiting: link wwan0 metered"
    bench.surroundings.change(interface="wlan0", is_metered=False)
    bench.run(bench.sent(0))
    bench.run_for(2)
    assert bench.status().waiting == ""


def test_link_that_turns_metered_in_mid_transfer_stops_it_within_a_second(
    make_bench: MakeBench,
) -> None:
    bench = make_bench(Network(), link_bits_per_s=2_000_000)
    link = bench.broker
    assert isinstance(link, SlowLink)
    whole = put_clip(bench.spool, 0, fragment_bytes=(3_000_000,))
    bench.run(lambda: len(bench.collector.received) >= 20, pace_s=0.01)
    assert link.queued_bytes > 0
    bench.surroundings.change(interface="wwan0", is_metered=True)
    bench.run_for(1.0, pace_s=0.01)
    assert link.queued_bytes == 0
    sent_bytes, kept = link.sent_bytes, len(bench.collector.received)
    bench.run_for(600, pace_s=0.5)
    assert len(bench.collector.received) == kept < 3_000_000 // (16 * 1024)
    assert link.sent_bytes - sent_bytes < 60 * 1000  # statuses
    bench.surroundings.change(interface="wlan0", is_metered=False)
    bench.run(bench.sent(0), pace_s=0.01)
    assert bench.collector.stored == {clip_id(0): whole}
    assert len(bench.collector.received) == len(set(bench.collector.received))


def test_connection_is_given_up_once_each_time_that_the_gate_closes_on_a_transfer(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(Network(), link_bits_per_s=2_000_000)
    hung_up: list[int] = []
    hang_up = FakeBroker.hang_up

    def count(broker: FakeBroker) -> None:
        hung_up.append(bench.clock.boot_ns())
        hang_up(broker)

    monkeypatch.setattr(FakeBroker, "hang_up", count)
    put_clip(bench.spool, 0, fragment_bytes=(3_000_000,))
    for times in (1, 2):
        wanted = 20 * times
        bench.run(lambda: len(bench.collector.received) >= wanted, pace_s=0.01)  # noqa: B023
        bench.surroundings.change(is_metered=True)
        bench.run_for(60)
        assert len(hung_up) == times
        bench.surroundings.change(is_metered=False)
    bench.run(bench.sent(0))
    assert len(hung_up) == 2


def test_quiet_link_is_not_hung_up_when_the_gate_closes(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(Network(only_when_charging=True))
    put_clip(bench.spool, 0)
    bench.run(bench.sent(0))

    def refuse(_broker: FakeBroker) -> None:
        raise AssertionError("there was nothing to stop")

    monkeypatch.setattr(FakeBroker, "hang_up", refuse)
    bench.surroundings.change(is_charging=False)
    bench.run_for(5)
    assert bench.status().waiting == "waiting: not charging"


@pytest.mark.parametrize(
    ("network", "facts", "waiting"),
    [
        (
            Network(interfaces=("wlan*",)),
            {"interface": "eth0"},
            "waiting: link eth0 not allowed",
        ),
        (Network(only_when_charging=True), {"is_charging": False}, "waiting: not charging"),
        (
            Network(only_when_charging=True),
            {"is_charging": None},
            "waiting: not known to be charging",
        ),
    ],
)
def test_rule_holds_clips_back_until_it_is_met(
    make_bench: MakeBench, network: Network, facts: dict[str, str | bool | None], waiting: str
) -> None:
    bench = make_bench(network)
    home = bench.surroundings.now
    bench.surroundings.change(**facts)
    put_clip(bench.spool, 0)
    bench.run_for(5)
    assert (bench.status().waiting, bench.collector.opens) == (waiting, [])
    bench.surroundings.now = home
    bench.run(bench.sent(0), limit_s=5)


@pytest.fixture
def in_helsinki(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "EET-2EEST,M3.5.0/3,M10.5.0/4")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_helsinki")
def test_quiet_hours_are_those_of_the_local_clock_while_it_is_trusted(
    make_bench: MakeBench,
) -> None:
    bench = make_bench(Network(quiet_hours="22:00-06:00"))
    midsummer_23_30 = 1_718_915_400 * SECOND_NS  # 20:30 UTC
    bench.clock.correct_wall(midsummer_23_30, "trusted")
    put_clip(bench.spool, 0)
    bench.run_for(5)
    assert bench.status().waiting == "waiting: quiet hours until 06:00"
    assert bench.collector.opens == []
    bench.clock.correct_wall(midsummer_23_30, "untrusted")
    bench.run(bench.sent(0), limit_s=5)
    put_clip(bench.spool, 1)
    bench.clock.correct_wall(midsummer_23_30 + 6 * 3600 * SECOND_NS, "trusted")
    bench.run_for(5)
    assert bench.spool.clips("outbox") == [clip_id(1)]
    bench.clock.correct_wall(midsummer_23_30 + 7 * 3600 * SECOND_NS, "trusted")
    bench.run(bench.sent(0, 1), limit_s=5)
