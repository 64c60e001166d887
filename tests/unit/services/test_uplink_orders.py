"""The server's orders at the uplink: obeyed once, durably, and only when they are the server's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.crypto.trust import pinned
from agent.drivers.broker_fake import FakeBroker, FakeExchange
from agent.ports.broker import Arrived
from agent.services.plan_book import PLAN_ORDER_FILE
from agent.services.uplink_orders import CUSTODY_KEYS_FILE, REQUEST_FILE, Orders
from agent.storage.spool import Spool
from agent.wire.topics import down_clip, down_keys, down_plan, down_request, up_custody_keys
from tests.card_maker import DECLARED
from tests.clips import DEVICE, clip_id, put_clip
from tests.clock import START_WALL_NS, ManualClock
from tests.order_maker import DAY_NS, key_orders, keys_token, plan_token, request_token

KEY, NEXT = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
MakeDesk = Callable[[], "Desk"]


class Desk:
    """The orders of one uplink over a broker in memory; a new one is a restart."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.folder = folder
        self.spool = Spool(folder)
        self.spool.prepare()
        self.exchange = FakeExchange()
        self.broker = FakeBroker(self.exchange, client_id=DEVICE)
        self.requested: set[str] = set()
        self.told: list[str] = []
        self.faults: list[str] = []
        self.orders = Orders(
            broker=self.broker,
            spool=self.spool,
            clock=clock,
            state_dir=folder,
            device_id=DEVICE,
            pinned=pinned([KEY.public_key()]),
            requested=self.requested,
            tell=self.told.append,
            fault=self.faults.append,
        )
        self.broker.start()
        self.broker.read(0)

    def request(self, token: str | bytes) -> None:
        payload = token.encode() if isinstance(token, str) else token
        assert self.orders.arrived(Arrived(topic=down_request(DEVICE), payload=payload))

    def plan(self, token: str) -> None:
        assert self.orders.arrived(Arrived(topic=down_plan(DEVICE), payload=token.encode()))

    def keys(self, *tokens: str) -> None:
        topic = down_keys(DEVICE)
        assert self.orders.arrived(Arrived(topic=topic, payload=key_orders(*tokens)))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(wall_ns=START_WALL_NS + DAY_NS)


@pytest.fixture
def make_desk(tmp_path: Path, clock: ManualClock) -> MakeDesk:
    return lambda: Desk(tmp_path, clock)


def test_requested_clip_goes_first_also_after_a_restart(make_desk: MakeDesk) -> None:
    desk = make_desk()
    put_clip(desk.spool, 0)
    desk.request(request_token(KEY, 7, [clip_id(0)]))
    assert desk.requested == {clip_id(0)}
    assert desk.told == [f"request order 7: clip {clip_id(0)} goes first"]
    assert make_desk().requested == {clip_id(0)}


def test_newer_request_replaces_the_older_one_and_an_empty_one_withdraws_it(
    make_desk: MakeDesk,
) -> None:
    desk = make_desk()
    for number in range(2):
        put_clip(desk.spool, number)
    desk.request(request_token(KEY, 1, [clip_id(0)]))
    desk.request(request_token(KEY, 2, [clip_id(1)]))
    assert desk.requested == {clip_id(1)}
    desk.request(request_token(KEY, 3, []))
    assert desk.requested == set()


def test_plan_is_left_for_the_recorder_also_when_its_key_is_learnt_after_it(
    make_desk: MakeDesk,
) -> None:
    desk = make_desk()
    token = plan_token(NEXT, 4, DECLARED, issued_ns=START_WALL_NS + DAY_NS)
    desk.plan(token)
    assert not (desk.folder / PLAN_ORDER_FILE).exists()
    assert len(desk.faults) == 1
    desk.keys(keys_token(KEY, 1, [KEY, NEXT]))
    assert (desk.folder / PLAN_ORDER_FILE).read_text() == token
    assert desk.told[-1] == "plan order 4: handed to the recorder"
    again = make_desk()
    again.plan(token)
    assert (again.faults, again.told) == ([], [])


def test_retained_copy_at_every_connection_is_no_fault(make_desk: MakeDesk) -> None:
    token = request_token(KEY, 1, [])
    for desk in (make_desk(), make_desk()):
        desk.request(token)
        desk.request(token)
        assert desk.faults == []


def test_clip_that_cannot_be_sent_is_said_with_its_reason(make_desk: MakeDesk) -> None:
    desk = make_desk()
    put_clip(desk.spool, 0, shelf="sent")
    put_clip(desk.spool, 1, shelf="rejected")
    asked = [clip_id(0), clip_id(1), clip_id(2), "../../etc"]
    desk.request(request_token(KEY, 1, asked))
    assert desk.requested == set()
    assert [line.removeprefix("request order 1: clip ") for line in desk.told] == [
        f"{clip_id(0)} is stored already",
        f"{clip_id(1)} was refused for good by the collector",
        f"{clip_id(2)} is not on this card",
        "../../etc is not on this card",
    ]


STRANGER = Ed25519PrivateKey.generate()


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (request_token(STRANGER, 9, [clip_id(0)]), "is not known"),
        (request_token(KEY, 9, [clip_id(0)], device_id="cam02"), "it is for device 'cam02'"),
        (request_token(KEY, 4, [clip_id(0)]), "it is number 4, and 5 was obeyed already"),
        (request_token(KEY, 9, [clip_id(0)], life_ns=1), "it expired at"),
        (keys_token(KEY, 9, [NEXT]), "it is not a request"),
        (b"\xff\x00rubbish", "not a compact JWS"),
        (b"x" * 100_000, "not a compact JWS"),
    ],
)
def test_request_that_is_not_to_be_obeyed_changes_nothing_and_says_why(
    make_desk: MakeDesk, token: str | bytes, why: str
) -> None:
    desk = make_desk()
    put_clip(desk.spool, 0)
    desk.request(request_token(KEY, 5, []))
    desk.request(token)
    assert desk.requested == set()
    assert len(desk.faults) == 1
    assert why in desk.faults[0]


def test_replay_is_refused_after_a_restart_too(make_desk: MakeDesk) -> None:
    put_clip(make_desk().spool, 0)
    make_desk().request(request_token(KEY, 5, []))
    desk = make_desk()
    desk.request(request_token(KEY, 4, [clip_id(0)]))
    assert desk.requested == set()
    assert "replayed" in desk.faults[0]


def test_clock_set_back_does_not_bring_an_expired_request_to_life(
    make_desk: MakeDesk, clock: ManualClock
) -> None:
    desk = make_desk()
    put_clip(desk.spool, 0)
    later = START_WALL_NS + DAY_NS
    desk.request(request_token(KEY, 1, [], issued_ns=later))
    clock.correct_wall(0, "untrusted")
    desk.request(request_token(KEY, 2, [clip_id(0)], life_ns=DAY_NS // 2))
    assert "it expired at" in desk.faults[0]


def test_rotated_out_key_requests_nothing_more(make_desk: MakeDesk) -> None:
    desk = make_desk()
    desk.keys(keys_token(KEY, 1, [NEXT]))
    desk.request(request_token(KEY, 9, []))
    assert "which was rotated out" in desk.faults[0]
    desk.request(request_token(NEXT, 10, []))
    assert len(desk.faults) == 1
    assert make_desk().orders.trust.seq == 1


def test_request_by_a_new_key_counts_although_it_came_before_the_order_that_names_the_key(
    make_desk: MakeDesk,
) -> None:
    desk = make_desk()
    put_clip(desk.spool, 0)
    desk.request(request_token(NEXT, 1, [clip_id(0)]))
    assert desk.requested == set()
    desk.keys(keys_token(KEY, 1, [NEXT]))
    assert desk.requested == {clip_id(0)}


def test_answer_about_a_clip_is_left_to_the_sender(make_desk: MakeDesk) -> None:
    topic = down_clip(DEVICE, clip_id(0))
    assert not make_desk().orders.arrived(Arrived(topic=topic, payload=b"x"))


def test_damaged_ledger_is_a_fault_and_no_stop(make_desk: MakeDesk, tmp_path: Path) -> None:
    make_desk().request(request_token(KEY, 5, []))
    (tmp_path / REQUEST_FILE).write_bytes(b"{")
    desk = make_desk()
    assert "is damaged" in desk.faults[0]
    desk.request(request_token(KEY, 6, []))
    assert len(desk.faults) == 1


def test_new_custody_keys_are_published_retained_when_they_change_and_at_every_connection(
    make_desk: MakeDesk, tmp_path: Path
) -> None:
    desk, topic = make_desk(), up_custody_keys(DEVICE)
    assert not desk.orders.step(0)
    file = tmp_path / CUSTODY_KEYS_FILE
    file.parent.mkdir()
    file.write_bytes(b"certificates")
    assert desk.orders.step(2 * 10**9)
    assert desk.exchange.retained[topic].payload == b"certificates"
    assert not desk.orders.step(4 * 10**9)
    desk.exchange.retained.clear()
    desk.orders.connected()
    assert desk.orders.step(5 * 10**9)
    assert topic in desk.exchange.retained


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(payload=st.binary(max_size=400), is_keys=st.booleans())
def test_rubbish_from_the_broker_is_a_fault_at_most(
    make_desk: MakeDesk, payload: bytes, is_keys: bool
) -> None:
    desk = make_desk()
    topic = down_keys(DEVICE) if is_keys else down_request(DEVICE)
    assert desk.orders.arrived(Arrived(topic=topic, payload=payload))
    assert desk.orders.trust.seq == 0
    assert len(desk.faults) == (1 if payload else 0)
