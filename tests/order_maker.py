"""Signs orders for tests, with whatever in them a test wants."""

from __future__ import annotations

from collections.abc import Sequence

import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.crypto.jws import Signer
from agent.crypto.trust import public_text
from agent.wire.codec import encode
from agent.wire.declaration import Declaration
from agent.wire.orders import KeyOrders, KeysOrder, PlanOrder, RequestOrder
from tests.clock import START_WALL_NS

DAY_NS = 86_400_000_000_000
DEVICE = "cam01"


def recipient() -> str:
    return str(pyrage.x25519.Identity.generate().to_public())


def keys_token(
    signer: Ed25519PrivateKey,
    seq: int,
    receipt_keys: Sequence[Ed25519PrivateKey],
    *,
    recipients: Sequence[str] = (),
    revoked: Sequence[str] = (),
    custody_generation: int = 0,
    card_keys: Sequence[Ed25519PrivateKey] | None = None,
    device_id: str = DEVICE,
    issued_ns: int = START_WALL_NS,
    life_ns: int = 30 * DAY_NS,
) -> str:
    order = KeysOrder(
        device_id=device_id,
        seq=seq,
        issued_wall_ns=issued_ns,
        expires_wall_ns=issued_ns + life_ns,
        recipients=tuple(recipients) or (recipient(),),
        receipt_keys=tuple(public_text(key.public_key()) for key in receipt_keys),
        revoked=tuple(revoked),
        custody_generation=custody_generation,
        card_keys=None
        if card_keys is None
        else tuple(public_text(key.public_key()) for key in card_keys),
    )
    return Signer(signer).sign(encode(order))


def request_token(
    signer: Ed25519PrivateKey,
    seq: int,
    clip_ids: Sequence[str],
    *,
    device_id: str = DEVICE,
    issued_ns: int = START_WALL_NS,
    life_ns: int = 30 * DAY_NS,
) -> str:
    order = RequestOrder(
        device_id=device_id,
        seq=seq,
        issued_wall_ns=issued_ns,
        expires_wall_ns=issued_ns + life_ns,
        clip_ids=tuple(clip_ids),
    )
    return Signer(signer).sign(encode(order))


def plan_token(
    signer: Ed25519PrivateKey,
    seq: int,
    declared: Declaration,
    *,
    device_id: str = DEVICE,
    issued_ns: int = START_WALL_NS,
    life_ns: int = DAY_NS,
) -> str:
    order = PlanOrder(
        device_id=device_id,
        seq=seq,
        issued_wall_ns=issued_ns,
        expires_wall_ns=issued_ns + life_ns,
        declared=declared,
    )
    return Signer(signer).sign(encode(order))


def key_orders(*tokens: str) -> bytes:
    return encode(KeyOrders(orders=tokens))
