"""Whose word counts: each refusal has its reason, and trust grows by signatures alone."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.crypto.jws import Signer
from agent.crypto.keys import thumbprint
from agent.crypto.trust import Trust, followed, pinned, read_answer, read_order
from agent.errors import CustodyError, OrderError
from agent.wire.orders import RequestOrder
from tests.clock import START_WALL_NS
from tests.order_maker import DEVICE, keys_token, recipient, request_token

KEYS = [Ed25519PrivateKey.generate() for _ in range(4)]
KIDS = [thumbprint(key.public_key()) for key in KEYS]
PINNED = pinned([KEYS[0].public_key()], [recipient()])


def rotated(*steps: tuple[int, int], trust: Trust = PINNED) -> Trust:
    """Trust after orders that go from key to key."""
    for seq, (signer, new) in enumerate(steps, trust.seq + 1):
        trust = followed(trust, keys_token(KEYS[signer], seq, [KEYS[new]]), DEVICE)
    return trust


def test_order_of_the_server_for_this_device_is_read() -> None:
    order = read_order(request_token(KEYS[0], 3, ["a"]), PINNED, DEVICE)
    assert isinstance(order, RequestOrder)
    assert (order.seq, order.clip_ids) == (3, ("a",))


def test_forged_order_is_refused() -> None:
    with pytest.raises(OrderError, match="is not known"):
        read_order(request_token(KEYS[3], 3, []), PINNED, DEVICE)


def test_order_for_another_device_is_refused() -> None:
    with pytest.raises(OrderError, match="it is for device 'cam02'"):
        read_order(request_token(KEYS[0], 3, [], device_id="cam02"), PINNED, DEVICE)


def test_key_that_was_rotated_out_orders_nothing_more() -> None:
    trust = rotated((0, 1))
    with pytest.raises(OrderError, match=f"signed by key {KIDS[0]}, which was rotated out"):
        read_order(request_token(KEYS[0], 3, []), trust, DEVICE)
    with pytest.raises(OrderError, match="rotated out"):
        followed(trust, keys_token(KEYS[0], 9, [KEYS[3]]), DEVICE)


def test_several_rotations_are_followed_each_by_what_the_one_before_trusts() -> None:
    trust = rotated((0, 1), (1, 2), (2, 3))
    assert (list(trust.receipt_keys), trust.seq) == ([KIDS[3]], 3)
    assert set(trust.retired) == set(KIDS[:3])


def test_link_left_out_of_the_chain_is_refused() -> None:
    with pytest.raises(OrderError, match="not known"):
        followed(PINNED, keys_token(KEYS[1], 2, [KEYS[2]]), DEVICE)


def test_unknown_version_is_refused_with_the_reason() -> None:
    body = msgspec.json.encode(
        {
            "order": "request",
            "v": 2,
            "device_id": DEVICE,
            "seq": 1,
            "issued_wall_ns": 1,
            "expires_wall_ns": 2,
            "clip_ids": [],
        }
    )
    with pytest.raises(OrderError, match="version 2 is not known here"):
        read_order(Signer(KEYS[0]).sign(body), PINNED, DEVICE)


def test_answers_by_a_retired_key_count_until_it_was_retired() -> None:
    trust = rotated((0, 1))
    answer = read_answer(Signer(KEYS[0]).sign(b"old"), trust)
    assert (answer.payload, answer.until_wall_ns) == (b"old", START_WALL_NS)
    assert read_answer(Signer(KEYS[1]).sign(b"new"), trust).until_wall_ns is None


def test_card_keys_change_only_when_an_order_names_some() -> None:
    trust = pinned([KEYS[0].public_key()], [recipient()], [KEYS[1].public_key()])
    assert list(trust.card_keys) == [KIDS[1]]
    trust = followed(trust, keys_token(KEYS[0], 1, [KEYS[0]]), DEVICE)
    assert list(trust.card_keys) == [KIDS[1]]
    trust = followed(trust, keys_token(KEYS[0], 2, [KEYS[0]], card_keys=KEYS[2:4]), DEVICE)
    assert list(trust.card_keys) == KIDS[2:4]
    assert list(trust.receipt_keys) == [KIDS[0]]  # a card key signs cards and nothing else
    trust = followed(trust, keys_token(KEYS[0], 3, [KEYS[0]], card_keys=[]), DEVICE)
    assert trust.card_keys == {}


def test_revoked_key_signs_nothing_that_counts() -> None:
    order = keys_token(KEYS[0], 1, [KEYS[1]], revoked=[KIDS[0]])
    trust = followed(PINNED, order, DEVICE)
    with pytest.raises(CustodyError, match="not known"):
        read_answer(Signer(KEYS[0]).sign(b"x"), trust)
    with pytest.raises(OrderError, match="which was revoked"):
        read_order(request_token(KEYS[0], 3, []), trust, DEVICE)
    with pytest.raises(OrderError, match="names a key that is revoked"):
        followed(trust, keys_token(KEYS[1], 2, [KEYS[0]]), DEVICE)


def test_retired_key_may_come_back() -> None:
    trust = rotated((0, 1), (1, 0))
    assert (list(trust.receipt_keys), set(trust.retired)) == ([KIDS[0]], {KIDS[1]})


def test_recipient_that_is_none_is_refused_before_footage_is_sealed_to_nobody() -> None:
    token = keys_token(KEYS[0], 1, [KEYS[0]], recipients=["age1" + "q" * 58])
    with pytest.raises(OrderError, match="is no age public key"):
        followed(PINNED, token, DEVICE)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 12)), max_size=12))
def test_only_the_key_in_force_moves_trust_and_only_forward(
    steps: list[tuple[int, int, int]],
) -> None:
    trust, in_force, seq = PINNED, 0, 0
    for signer, new, number in steps:
        token = keys_token(KEYS[signer], number, [KEYS[new]])
        if signer == in_force and number > seq:
            trust, in_force, seq = followed(trust, token, DEVICE), new, number
        else:
            with pytest.raises(OrderError):
                followed(trust, token, DEVICE)
    assert (list(trust.receipt_keys), trust.seq) == ([KIDS[in_force]], seq)
    assert not trust.retired.keys() & trust.receipt_keys.keys()


@given(st.text(max_size=300))
def test_rubbish_is_an_order_error_and_nothing_else(token: str) -> None:
    with pytest.raises(OrderError):
        read_order(token, PINNED, DEVICE)


@settings(deadline=None)
@given(at=st.integers(0, 400), to=st.sampled_from("Ab.-"))
def test_changed_order_is_refused(at: int, to: str) -> None:
    token = request_token(KEYS[0], 1, ["cam01-x"])
    changed = token[:at] + to + token[at + 1 :]
    if changed != token:
        with pytest.raises(OrderError):
            read_order(changed, PINNED, DEVICE)
