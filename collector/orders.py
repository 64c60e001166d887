"""Makes the server's orders to cameras: numbered, signed, durable in `<store_dir>/orders/`.

    <device_id>.request.jws     the newest request
    <device_id>.plan.jws        the newest session plan
    <device_id>.keys.json       the orders about keys since the provisioning, oldest first

A number is one above the last, and never below the clock's milliseconds: so a folder that was lost
makes no number twice.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from agent.config import ID_PATTERN
from agent.core.order_rules import LONGEST_LIFE_NS
from agent.crypto.jws import Signer
from agent.crypto.keys import thumbprint
from agent.crypto.trust import public_key, public_text
from agent.errors import OrderError, WireError
from agent.storage import atomic
from agent.wire.codec import decode, encode
from agent.wire.declaration import Declaration
from agent.wire.ids import parse_clip_id
from agent.wire.orders import (
    MAX_KEY_ORDERS,
    MAX_REQUESTED,
    KeyOrders,
    KeysOrder,
    Order,
    PlanOrder,
    RequestOrder,
)
from agent.wire.topics import down_keys, down_plan, down_request

ORDERS_DIR = "orders"
_REQUEST_SUFFIX, _PLAN_SUFFIX, _KEYS_SUFFIX = ".request.jws", ".plan.jws", ".keys.json"
_NS_PER_MS = 1_000_000

AnyOrder = TypeVar("AnyOrder", RequestOrder, KeysOrder, PlanOrder)


class KeyChange(msgspec.Struct, frozen=True, kw_only=True):
    """What an order about keys is to change; what is not named stays. `recipients`: None for no
    change. Receipt keys as base64url text to add, by thumbprint to take away. `card_keys`: all
    that count from now on, None for no change."""

    recipients: tuple[str, ...] | None = None
    add_receipt_keys: tuple[str, ...] = ()
    retire: tuple[str, ...] = ()
    revoke: tuple[str, ...] = ()
    new_custody_key: bool = False
    card_keys: tuple[str, ...] | None = None


class OrderDesk:
    """Issues orders with `signer`, the receipt key in force. `now_wall_ns` is the time of issue."""

    def __init__(self, folder: Path, signer: Signer, now_wall_ns: int) -> None:
        self._folder = folder
        self._signer = signer
        self._now_ns = now_wall_ns

    def request(self, device_id: str, clip_ids: Sequence[str], life_ns: int) -> RequestOrder:
        """Ask for these clips first, in place of those asked for before. Raises OrderError."""
        self._check(device_id, life_ns)
        if len(clip_ids) > MAX_REQUESTED:
            raise OrderError(
                f"{len(clip_ids)} clips are more than the {MAX_REQUESTED} of a request"
            )
        for clip_id in clip_ids:
            _check_clip(clip_id, device_id)
        file = self._folder / f"{device_id}{_REQUEST_SUFFIX}"
        order = RequestOrder(
            device_id=device_id,
            seq=self._next_seq(_before(file, RequestOrder)),
            issued_wall_ns=self._now_ns,
            expires_wall_ns=self._now_ns + life_ns,
            clip_ids=tuple(clip_ids),
        )
        self._write(file, self._signer.sign(encode(order)).encode("ascii"))
        return order

    def plan(self, device_id: str, declared: Declaration, life_ns: int) -> PlanOrder:
        """Declare this camera's sessions until it expires, in place of the plan before; nothing
        declared takes it back. Raises OrderError."""
        self._check(device_id, life_ns)
        file = self._folder / f"{device_id}{_PLAN_SUFFIX}"
        order = PlanOrder(
            device_id=device_id,
            seq=self._next_seq(_before(file, PlanOrder)),
            issued_wall_ns=self._now_ns,
            expires_wall_ns=self._now_ns + life_ns,
            declared=declared,
        )
        self._write(file, self._signer.sign(encode(order)).encode("ascii"))
        return order

    def keys(
        self, device_id: str, change: KeyChange, life_ns: int, *, new_chain: bool = False
    ) -> KeysOrder:
        """Change the keys that this camera trusts. `new_chain`: it was provisioned (again) with the
        key that signs now, so what was ordered before is void. Raises OrderError."""
        self._check(device_id, life_ns)
        file = self._folder / f"{device_id}{_KEYS_SUFFIX}"
        tokens, before = self._keys_before(file, new_chain=new_chain)
        order = self._changed(device_id, change, before, life_ns)
        kept = (*tokens, self._signer.sign(encode(order)))[-MAX_KEY_ORDERS:]
        self._write(file, encode(KeyOrders(orders=kept)))
        return order

    def _keys_before(
        self, file: Path, *, new_chain: bool
    ) -> tuple[tuple[str, ...], KeysOrder | None]:
        if not file.exists():
            return (), None
        try:
            tokens = decode(KeyOrders, _text(file).encode()).orders
        except WireError as exc:
            raise OrderError(f"{file} is damaged ({exc.what})", remedy="restore it") from exc
        before = _payload(file, tokens[-1], KeysOrder) if tokens else None
        return (() if new_chain else tokens), before

    def _changed(
        self, device_id: str, change: KeyChange, before: KeysOrder | None, life_ns: int
    ) -> KeysOrder:
        own = public_text(self._signer.public_key)
        known = (own,) if before is None else before.receipt_keys
        by_kid = {thumbprint(public_key(text)): text for text in (*known, *change.add_receipt_keys)}
        if self._signer.kid not in by_kid:
            raise OrderError(
                f"{device_id} does not believe key {self._signer.kid}, with which the collector"
                " signs",
                remedy="set keys.receipt_key_file to one it believes:"
                f" {', '.join(by_kid)}; or give --new-chain if it was provisioned again",
            )
        going = {*change.retire, *change.revoke}
        if self._signer.kid in going:
            raise OrderError(
                f"key {self._signer.kid} is the one that signs",
                remedy="let the collectors sign with the new key first (keys.receipt_key_file)",
            )
        old_revoked = () if before is None else before.revoked
        unknown = going - by_kid.keys() - set(change.revoke)
        if unknown:
            raise OrderError(f"{device_id} does not believe key {min(unknown)} in any case")
        recipients = change.recipients or (() if before is None else before.recipients)
        if not recipients:
            raise OrderError("the first order must name the recipients", remedy="--recipients FILE")
        generation = 0 if before is None else before.custody_generation
        card_keys = change.card_keys
        if card_keys is None and before is not None:
            card_keys = before.card_keys
        return KeysOrder(
            device_id=device_id,
            seq=self._next_seq(before),
            issued_wall_ns=self._now_ns,
            expires_wall_ns=self._now_ns + life_ns,
            recipients=recipients,
            receipt_keys=tuple(text for kid, text in by_kid.items() if kid not in going),
            revoked=tuple(dict.fromkeys((*old_revoked, *change.revoke))),
            custody_generation=generation + change.new_custody_key,
            card_keys=card_keys,
        )

    def _next_seq(self, before: Order | None) -> int:
        return max(self._now_ns // _NS_PER_MS, 1 if before is None else before.seq + 1)

    def _check(self, device_id: str, life_ns: int) -> None:
        if not re.fullmatch(ID_PATTERN, device_id):
            raise OrderError(f"{device_id[:60]!r} is no device id")
        if not 0 < life_ns <= LONGEST_LIFE_NS:
            raise OrderError("an order must expire within a year", remedy="lower --days")

    def _write(self, file: Path, content: bytes) -> None:
        try:
            atomic.make_directory(file.parent)
            atomic.write_file(file, content)
        except OSError as exc:
            raise OrderError(f"{file} cannot be written ({exc.strerror})") from exc


def topic_of(name: str) -> str | None:
    """Where the order in the file `name` is published; None when it is no order's file."""
    for suffix, topic in _TOPICS.items():
        device_id = name.removesuffix(suffix)
        if device_id != name and re.fullmatch(ID_PATTERN, device_id):
            return topic(device_id)
    return None


def _check_clip(clip_id: str, device_id: str) -> None:
    try:
        name = parse_clip_id(clip_id)
    except WireError as exc:
        raise OrderError(exc.what) from exc
    if name.device_id != device_id:
        raise OrderError(f"{clip_id} is a clip of {name.device_id}, not of {device_id}")


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise OrderError(f"{file} cannot be read ({exc})", remedy="restore it") from exc


def _before(file: Path, kind: type[AnyOrder]) -> AnyOrder | None:
    """The order that `file` holds already, if there is one."""
    return _payload(file, _text(file).strip(), kind) if file.exists() else None


def _payload(file: Path, token: str, kind: type[AnyOrder]) -> AnyOrder:
    """What we signed ourselves before; the folder is ours alone."""
    try:
        part = token.split(".")[1]
        order: AnyOrder = decode(
            kind, base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), max_bytes=len(token)
        )
    except (WireError, ValueError, IndexError) as exc:
        raise OrderError(f"{file} is damaged ({exc})", remedy="restore it, or delete it") from exc
    return order


_TOPICS = {_REQUEST_SUFFIX: down_request, _PLAN_SUFFIX: down_plan, _KEYS_SUFFIX: down_keys}
