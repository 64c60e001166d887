"""Whom a camera trusts: what the provisioning pinned, and the signed orders that changed it. Pure.

Trust is never stored as such: it is computed from the pinned keys and the orders' own signatures,
so that a file on the card cannot widen it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import msgspec
import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.core.order_rules import Moment, Validity, why_refused
from agent.crypto import jws
from agent.crypto.keys import b64url, thumbprint
from agent.errors import CustodyError, OrderError, WireError
from agent.wire.codec import decode_union
from agent.wire.orders import MAX_ORDER_CHARS, KeysOrder, Order, PlanOrder, RequestOrder


class Retired(msgspec.Struct, frozen=True):
    """A receipt key that was rotated out: what it signed before `until_wall_ns` still counts."""

    key: Ed25519PublicKey
    until_wall_ns: int


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """`seq`: of the newest order in it, 0 for the pinned keys alone. `floor_wall_ns`: the latest
    time that an order in it was issued. Keys by thumbprint; `recipients` as age1... text.
    `card_keys` sign scenario cards and nothing else."""

    receipt_keys: dict[str, Ed25519PublicKey]
    recipients: tuple[str, ...] = ()
    retired: dict[str, Retired] = {}
    revoked: frozenset[str] = frozenset()
    seq: int = 0
    floor_wall_ns: int = 0
    custody_generation: int = 0
    card_keys: dict[str, Ed25519PublicKey] = {}

    def age_recipients(self) -> list[pyrage.x25519.Recipient]:
        return [pyrage.x25519.Recipient.from_str(text) for text in self.recipients]


class Answer(msgspec.Struct, frozen=True):
    """A signed answer's payload; `until_wall_ns`: it counts only when it was made before, None
    when its key is in force."""

    payload: bytes
    until_wall_ns: int | None


def pinned(
    receipt_keys: Sequence[Ed25519PublicKey],
    recipients: Sequence[str] = (),
    card_keys: Sequence[Ed25519PublicKey] = (),
) -> Trust:
    """The trust that a provisioning gives."""
    return Trust(
        receipt_keys=_by_kid(receipt_keys),
        recipients=tuple(recipients),
        card_keys=_by_kid(card_keys),
    )


def read_order(token: str, trust: Trust, device_id: str) -> Order:
    """The order in `token`, once it is known to be the server's, and for this device.

    Raises OrderError: not signed by a key that `trust` has in force, for another device, or a
    format or version that is not known here. Number and expiry are `why_refused`'s.
    """
    try:
        payload = jws.verify(token, lambda kid: _order_key(kid, trust))
        order: Order = decode_union(Order, payload, max_bytes=MAX_ORDER_CHARS)
    except (CustodyError, WireError) as exc:
        raise OrderError(f"order refused: {exc.what}") from exc
    if order.device_id != device_id:
        raise OrderError(f"order refused: it is for device {order.device_id[:40]!r}")
    return order


def check_order(order: Order, *, last_seq: int, floor_wall_ns: int, now: Moment) -> None:
    """Raises OrderError with the reason of `why_refused`, if there is one."""
    why = why_refused(validity(order), last_seq=last_seq, floor_wall_ns=floor_wall_ns, now=now)
    if why:
        raise OrderError(f"{_KINDS[type(order)]} order {order.seq} refused: {why}")


def validity(order: Order) -> Validity:
    return Validity(
        seq=order.seq,
        issued_wall_ns=order.issued_wall_ns,
        expires_wall_ns=order.expires_wall_ns,
    )


def followed(trust: Trust, token: str, device_id: str) -> Trust:
    """`trust` after the order about keys in `token`, without regard to its expiry: it is one that
    was obeyed before, or a link to a newer one. Raises OrderError: not signed by what `trust` has
    in force, not a higher number, or keys that cannot be used."""
    order = read_order(token, trust, device_id)
    if not isinstance(order, KeysOrder):
        raise OrderError("order refused: it is not about keys")
    if order.seq <= trust.seq:
        raise OrderError(f"keys order {order.seq} refused: it comes after {trust.seq}")
    keys = [_public_key(text, order.seq) for text in order.receipt_keys]
    for text in order.recipients:
        try:
            pyrage.x25519.Recipient.from_str(text)
        except pyrage.RecipientError as exc:
            raise OrderError(
                f"keys order {order.seq} refused: {text[:70]} is no age public key"
            ) from exc
    in_force = _by_kid(keys)
    card_keys = trust.card_keys
    if order.card_keys is not None:
        card_keys = _by_kid([_public_key(text, order.seq) for text in order.card_keys])
    revoked = trust.revoked | frozenset(order.revoked)
    if revoked & in_force.keys():
        raise OrderError(f"keys order {order.seq} refused: it names a key that is revoked")
    going = {
        kid: Retired(key, order.issued_wall_ns)
        for kid, key in trust.receipt_keys.items()
        if kid not in in_force
    }
    retired = {
        kid: old
        for kid, old in (trust.retired | going).items()
        if kid not in revoked and kid not in in_force
    }
    return Trust(
        receipt_keys=in_force,
        recipients=order.recipients,
        retired=retired,
        revoked=revoked,
        seq=order.seq,
        floor_wall_ns=max(trust.floor_wall_ns, order.issued_wall_ns),
        custody_generation=max(trust.custody_generation, order.custody_generation),
        card_keys=card_keys,
    )


def read_answer(token: str, trust: Trust) -> Answer:
    """The payload of a receipt or refusal. Raises CustodyError: not signed by a key that is, or
    once was, the server's."""
    until: list[int | None] = []

    def key_for(kid: str) -> Ed25519PublicKey | None:
        key, old = trust.receipt_keys.get(kid), trust.retired.get(kid)
        until.append(None if key is not None or old is None else old.until_wall_ns)
        return old.key if key is None and old is not None else key

    payload = jws.verify(token, key_for)
    return Answer(payload, until[0])


def public_text(key: Ed25519PublicKey) -> str:
    """As orders name it: `x` of the JWK."""
    return b64url(key.public_bytes_raw())


def public_key(text: str) -> Ed25519PublicKey:
    """The key that `public_text` wrote. Raises ValueError."""
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(text + "="))


def _by_kid(keys: Sequence[Ed25519PublicKey]) -> dict[str, Ed25519PublicKey]:
    return {thumbprint(key): key for key in keys}


def _public_key(text: str, seq: int) -> Ed25519PublicKey:
    try:
        return public_key(text)
    except ValueError as exc:
        raise OrderError(f"keys order {seq} refused: {text[:50]} is no Ed25519 key") from exc


def _order_key(kid: str, trust: Trust) -> Ed25519PublicKey | None:
    key = trust.receipt_keys.get(kid)
    if key is None and kid in trust.retired:
        raise OrderError(f"order refused: it is signed by key {kid}, which was rotated out")
    if key is None and kid in trust.revoked:
        raise OrderError(f"order refused: it is signed by key {kid}, which was revoked")
    return key


_KINDS: dict[type[Order], str] = {RequestOrder: "request", KeysOrder: "keys", PlanOrder: "plan"}
