"""The sender's state machine, alone and over a channel that loses, doubles and reorders."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.transfer import SendOpen, SendPart, Transfer
from agent.core.upload_window import UploadWindow
from agent.errors import WireError

MS = 1_000_000
S = 1000 * MS
PART = 64 * 1024
OVERTAKEN_NS = 250 * MS
GRANT = 1 << 30


def make(parts: int = 4, last_bytes: int = 100) -> Transfer:
    total = (parts - 1) * PART + last_bytes
    return Transfer(total_bytes=total, part_bytes=PART, now_ns=0, random=lambda: 0.0)


def send_all(transfer: Transfer, now_ns: int, room_bytes: int = 1 << 30) -> list[object]:
    sent: list[object] = []
    while (action := transfer.next_send(now_ns, room_bytes)) is not None:
        transfer.sent(action, now_ns)
        transfer.taken(action, now_ns)
        sent.append(action)
    return sent


def opened(transfer: Transfer, durable: set[int] | None = None) -> Transfer:
    assert send_all(transfer, 0) == [SendOpen(transfer.part_bytes)]
    transfer.need(
        durable or set(), transfer.part_bytes, 0, window_bytes=GRANT, overtaken_ns=OVERTAKEN_NS
    )
    return transfer


def parts_of(actions: list[object]) -> list[int]:
    return [action.part for action in actions if isinstance(action, SendPart)]


def test_open_first_and_again_with_longer_pauses_until_answered() -> None:
    transfer = make()
    assert send_all(transfer, 0) == [SendOpen(PART)]
    assert send_all(transfer, 2 * S) == []
    assert send_all(transfer, 3 * S) == [SendOpen(PART)]
    assert send_all(transfer, 8 * S) == []
    assert send_all(transfer, 9 * S) == [SendOpen(PART)]


def test_parts_cut_the_whole_clip_and_the_last_is_shorter() -> None:
    sent = send_all(opened(make(3, 100)), 1)
    assert sent == [
        SendPart(0, 0, PART),
        SendPart(1, PART, PART),
        SendPart(2, 2 * PART, 100),
    ]


def test_resume_sends_only_what_is_missing() -> None:
    transfer = opened(make(5), {0, 1, 3})
    assert parts_of(send_all(transfer, 1)) == [2, 4]


def test_window_room_is_respected() -> None:
    transfer = opened(make(5))
    assert transfer.next_send(1, PART - 1) is None
    first = transfer.next_send(1, PART)
    assert first is not None
    transfer.sent(first, 1)
    assert transfer.in_flight_bytes == PART


def test_collector_s_window_for_this_clip_is_respected_but_one_part_may_always_go() -> None:
    transfer = make(5)
    send_all(transfer, 0)
    transfer.need(set(), PART, 0, window_bytes=2 * PART, overtaken_ns=OVERTAKEN_NS)
    assert parts_of(send_all(transfer, 1)) == [0, 1]
    transfer.need({0, 1}, PART, 2, window_bytes=1, overtaken_ns=OVERTAKEN_NS)
    assert parts_of(send_all(transfer, 3)) == [2]


def test_proposal_that_the_pipe_did_not_take_changes_nothing() -> None:
    transfer = opened(make())
    assert transfer.next_send(1, PART) == transfer.next_send(2, PART) == SendPart(0, 0, PART)
    assert transfer.in_flight_bytes == 0


def test_timed_out_part_is_sent_again_and_counted() -> None:
    transfer = opened(make())
    send_all(transfer, 0)
    assert transfer.expire(4 * S - 1, 4 * S) == 0
    assert transfer.expire(4 * S, 4 * S) == 4
    assert parts_of(send_all(transfer, 4 * S)) == [0, 1, 2, 3]
    assert transfer.resent_bytes == transfer.total_bytes


def test_overtaken_part_is_lost_before_its_timer() -> None:
    transfer = opened(make(6))
    send_all(transfer, 0)
    early = transfer.need({1, 2, 3}, PART, 100 * MS, window_bytes=GRANT, overtaken_ns=OVERTAKEN_NS)
    assert early.lost_parts == 0
    late = transfer.need(
        {1, 2, 3, 4}, PART, 300 * MS, window_bytes=GRANT, overtaken_ns=OVERTAKEN_NS
    )
    assert late.lost_parts == 1
    assert parts_of(send_all(transfer, 300 * MS)) == [0]


def test_round_trip_is_taken_from_parts_sent_once_alone() -> None:
    transfer = opened(make(2))
    send_all(transfer, 0)
    transfer.expire(5 * S, 4 * S)
    send_all(transfer, 5 * S)
    learnt = transfer.need({0, 1}, PART, 5 * S + 10, window_bytes=GRANT, overtaken_ns=OVERTAKEN_NS)
    assert learnt.round_trip_ns is None
    assert learnt.acked_bytes == transfer.total_bytes


def test_doubled_and_stale_needs_are_harmless() -> None:
    transfer = opened(make())
    send_all(transfer, 0)
    transfer.need({0, 1}, PART, 1, window_bytes=GRANT, overtaken_ns=OVERTAKEN_NS)
    again = transfer.need({0, 1}, PART, 2, window_bytes=GRANT, overtaken_ns=OVERTAKEN_NS)
    stale = transfer.need({0}, PART, 3, window_bytes=GRANT, overtaken_ns=OVERTAKEN_NS)
    assert again.acked_bytes == stale.acked_bytes == 0
    assert transfer.durable_parts == 2
    assert send_all(transfer, 4) == []


def test_all_durable_waits_for_the_receipt_and_asks_after_silence() -> None:
    transfer = opened(make(2))
    send_all(transfer, 0)
    transfer.need({0, 1}, PART, S, window_bytes=GRANT, overtaken_ns=OVERTAKEN_NS)
    assert transfer.phase == "waiting"
    transfer.expire(10 * S, 2 * S)
    assert send_all(transfer, 10 * S) == []
    transfer.expire(11 * S, 2 * S)
    assert send_all(transfer, 11 * S) == [SendOpen(PART)]


def test_silence_while_parts_are_sent_again_and_again_leads_to_open() -> None:
    transfer = opened(make())
    now_ns = 0
    while transfer.phase != "opening":
        send_all(transfer, now_ns)
        now_ns += 2 * S
        transfer.expire(now_ns, 2 * S)
        assert now_ns < 20 * S
    assert transfer.in_flight_bytes == 0


def test_idle_transfer_without_room_is_not_taken_for_silence() -> None:
    transfer = opened(make())
    transfer.expire(1000 * S, 2 * S)
    assert transfer.phase == "sending"


def test_later_holds_everything_back_and_then_begins_with_open() -> None:
    transfer = opened(make())
    send_all(transfer, 0)
    transfer.later(30, S)
    assert transfer.in_flight_bytes == 0
    assert transfer.is_held(30 * S)
    assert send_all(transfer, 31 * S - 1) == []
    assert send_all(transfer, 31 * S) == [SendOpen(PART)]


def test_need_ends_a_later_early() -> None:
    transfer = opened(make())
    transfer.later(1000, S)
    transfer.need(set(), PART, 2 * S, window_bytes=GRANT, overtaken_ns=OVERTAKEN_NS)
    assert parts_of(send_all(transfer, 2 * S)) == [0, 1, 2, 3]


def test_collector_that_lost_its_disk_gets_all_again() -> None:
    transfer = opened(make(3))
    send_all(transfer, 0)
    transfer.need({0, 1, 2}, PART, 1, window_bytes=GRANT, overtaken_ns=OVERTAKEN_NS)
    transfer.expire(20 * S, 2 * S)
    send_all(transfer, 20 * S)
    transfer.need(set(), PART, 21 * S, window_bytes=GRANT, overtaken_ns=OVERTAKEN_NS)
    assert parts_of(send_all(transfer, 21 * S)) == [0, 1, 2]


def test_collector_s_part_size_is_followed() -> None:
    transfer = make(4, PART)
    send_all(transfer, 0)
    transfer.need({0}, 2 * PART, 1, window_bytes=GRANT, overtaken_ns=OVERTAKEN_NS)
    assert send_all(transfer, 2) == [SendPart(1, 2 * PART, 2 * PART)]


def test_need_for_parts_that_do_not_exist_is_refused() -> None:
    transfer = opened(make(3))
    with pytest.raises(WireError):
        transfer.need({3}, PART, 1, window_bytes=GRANT, overtaken_ns=OVERTAKEN_NS)


def test_disconnect_forgets_what_was_in_flight_and_opens_at_once() -> None:
    transfer = opened(make())
    send_all(transfer, 0)
    transfer.disconnected(S)
    assert transfer.in_flight_bytes == 0
    assert send_all(transfer, S) == [SendOpen(PART)]


def test_nobody_subscribed_asks_with_open_after_a_pause() -> None:
    transfer = opened(make())
    action = transfer.next_send(0, PART)
    assert action is not None
    transfer.sent(action, 0)
    transfer.undelivered(action, S)
    assert send_all(transfer, S) == []
    assert send_all(transfer, S + 20 * S) == [SendOpen(PART)]


def test_part_that_the_broker_has_not_taken_is_not_sent_again_however_long_it_takes() -> None:
    transfer = opened(make(2))
    action = transfer.next_send(0, PART)
    assert isinstance(action, SendPart)
    transfer.sent(action, 0)
    assert transfer.expire(500 * S, 2 * S) == 0
    assert transfer.phase == "sending"
    transfer.taken(action, 500 * S)
    assert transfer.expire(502 * S - 1, 2 * S) == 0
    assert transfer.expire(502 * S, 2 * S) == 1


def test_broker_that_takes_nothing_for_ten_minutes_is_asked_anew() -> None:
    transfer = opened(make(2))
    action = transfer.next_send(0, PART)
    assert action is not None
    transfer.sent(action, 0)
    assert transfer.expire(600 * S, 2 * S) == 1


def test_open_that_the_broker_has_not_taken_is_not_doubled() -> None:
    transfer = make()
    action = transfer.next_send(0, PART)
    assert action == SendOpen(PART)
    transfer.sent(action, 0)
    assert transfer.next_send(500 * S, PART) is None
    transfer.taken(action, 500 * S)
    assert transfer.next_send(503 * S, PART) == SendOpen(PART)


def test_aim_at_the_words_sends_their_parts_alone_and_then_the_rest() -> None:
    transfer = make(5)
    transfer.aim(PART + 1)
    opened(transfer)
    assert parts_of(send_all(transfer, 0)) == [0, 1]
    assert not transfer.has_reached_aim
    transfer.need({0, 1}, PART, 1, window_bytes=GRANT, overtaken_ns=OVERTAKEN_NS)
    assert transfer.has_reached_aim
    transfer.aim(transfer.total_bytes)
    assert not transfer.has_reached_aim
    assert parts_of(send_all(transfer, 2)) == [2, 3, 4]


class Channel:
    """A collector behind a channel. `fate(rng)` gives the delays (ns) of the copies that arrive.

    It answers Open at once, and otherwise every second part and after 50 ms, like the real one.
    """

    def __init__(
        self,
        transfer: Transfer,
        rng: random.Random,
        up: Callable[[random.Random], list[int]],
        down: Callable[[random.Random], list[int]],
    ) -> None:
        self.transfer, self.rng, self.up, self.down = transfer, rng, up, down
        self.window = UploadWindow()
        self.durable: set[int] = set()
        self.lost_up = 0
        self.sends: dict[int, int] = {}
        self.received_twice = 0
        self._queue: list[tuple[int, int, str, object]] = []
        self._count = 0

    def run(self, limit_ns: int) -> int:
        """Until the sender knows that all is durable; the time it took."""
        now_ns = 0
        while self.transfer.phase != "waiting":
            assert now_ns < limit_ns, "the transfer does not end"
            if self.transfer.expire(now_ns, self.window.timeout_ns):
                self.window.lost(now_ns)
            self._send(now_ns)
            now_ns += 10 * MS
            while self._queue and self._queue[0][0] <= now_ns:
                at_ns, _count, kind, what = heapq.heappop(self._queue)
                self._receive(at_ns, kind, what)
        return now_ns

    def _put(self, at_ns: int, kind: str, what: object) -> None:
        self._count += 1
        heapq.heappush(self._queue, (at_ns, self._count, kind, what))

    def _send(self, now_ns: int) -> None:
        while True:
            room = self.window.room_bytes(self.transfer.in_flight_bytes)
            action = self.transfer.next_send(now_ns, room)
            if action is None:
                return
            self.transfer.sent(action, now_ns)
            self.transfer.taken(action, now_ns)
            delays = self.up(self.rng)
            if isinstance(action, SendPart):
                self.sends[action.part] = self.sends.get(action.part, 0) + 1
                self.lost_up += not delays
            for delay_ns in delays:
                self._put(now_ns + delay_ns, "up", action)

    def _receive(self, at_ns: int, kind: str, what: object) -> None:
        if kind == "down":
            assert isinstance(what, frozenset)
            learnt = self.transfer.need(
                set(what), PART, at_ns, window_bytes=GRANT, overtaken_ns=self.window.overtaken_ns
            )
            self.window.acked(learnt.acked_bytes, PART, learnt.round_trip_ns, at_ns)
            if learnt.lost_parts:
                self.window.lost(at_ns)
            return
        if kind == "tick":
            pass
        elif isinstance(what, SendPart):
            self.received_twice += what.part in self.durable
            self.durable.add(what.part)
            if len(self.durable) % 2 and kind == "up":
                self._put(at_ns + 50 * MS, "tick", None)
                return
        for delay_ns in self.down(self.rng):
            self._put(at_ns + delay_ns, "down", frozenset(self.durable))


def lossy(share: float) -> Callable[[random.Random], list[int]]:
    def fate(rng: random.Random) -> list[int]:
        copies = 0 if rng.random() < share else 2 if rng.random() < 0.1 else 1
        return [rng.randrange(1 * MS, 100 * MS) for _ in range(copies)]

    return fate


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    parts=st.integers(1, 60),
    up=st.floats(0, 0.5),
    down=st.floats(0, 0.5),
)
def test_every_transfer_ends_with_all_parts_durable(
    seed: int, parts: int, up: float, down: float
) -> None:
    transfer = make(parts)
    channel = Channel(transfer, random.Random(seed), lossy(up), lossy(down))
    channel.run(3600 * S)
    assert channel.durable == set(range(parts))
    assert set(channel.sends) == set(range(parts))
    assert transfer.in_flight_bytes == 0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), parts=st.integers(1, 60))
def test_reordering_and_doubling_alone_cause_no_resend(seed: int, parts: int) -> None:
    transfer = make(parts)
    Channel(transfer, random.Random(seed), lossy(0.0), lossy(0.0)).run(600 * S)
    assert transfer.resent_bytes == 0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), parts=st.integers(1, 60), up=st.floats(0, 0.4))
def test_only_lost_parts_are_sent_again_while_answers_come_through(
    seed: int, parts: int, up: float
) -> None:
    transfer = make(parts)
    channel = Channel(transfer, random.Random(seed), lossy(up), lossy(0.0))
    channel.run(3600 * S)
    assert sum(channel.sends.values()) == parts + channel.lost_up
