"""The server's signed word to one camera, and a camera's word about its own new custody key.

server -> `down/%d/request` (retained): compact JWS of a RequestOrder.
server -> `down/%d/plan`    (retained): compact JWS of a PlanOrder.
server -> `down/%d/keys`    (retained): KeyOrders, the orders about keys since the provisioning, so
          that a camera that was off for several finds each signed by what the one before trusts.
device -> `up/%d/custody-keys` (retained): CustodyKeys, each signed by the custody key before it.

Orders are signed by a receipt key that the camera trusts. `seq` rises strictly for each device and
kind. Every order states the whole: it replaces the one before.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from agent.wire.codec import Message
from agent.wire.declaration import Declaration

MAX_REQUESTED = 64
MAX_KEY_ORDERS = 64
MAX_CUSTODY_KEYS = 64
MAX_ORDER_CHARS = 16 * 1024
_LATEST_NS = (1 << 63) - 1  # in the year 2262

WallNs = Annotated[int, msgspec.Meta(ge=0, le=_LATEST_NS)]
Seq = Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]
ClipId = Annotated[str, msgspec.Meta(max_length=96)]
# An Ed25519 public key, base64url without padding, as `x` of a JWK (RFC 8037).
PublicKey = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{43}$")]
Kid = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{43}$")]
Recipient = Annotated[str, msgspec.Meta(pattern=r"^age1[0-9a-z]{1,100}$")]
Token = Annotated[str, msgspec.Meta(max_length=MAX_ORDER_CHARS)]


class RequestOrder(Message, frozen=True, kw_only=True, tag_field="order", tag="request"):
    """Send these clips before all others, in place of those of the order before."""

    device_id: str
    seq: Seq
    issued_wall_ns: WallNs
    expires_wall_ns: WallNs
    clip_ids: Annotated[tuple[ClipId, ...], msgspec.Meta(max_length=MAX_REQUESTED)]


class KeysOrder(Message, frozen=True, kw_only=True, tag_field="order", tag="keys"):
    """The server's keys from now on.

    `recipients`: who can open footage, from the next clip on. `receipt_keys`: who signs receipts
    and orders. A key that is no longer named is retired: receipts by it count when they say that
    they were made before this order. `revoked`: retired keys (thumbprints) that a thief may have:
    nothing by them counts any more. `custody_generation`: the camera makes custody keys until it
    has had this many after its first. `card_keys`: whose scenario cards count; None: those of the
    order before, or of the provisioning.
    """

    device_id: str
    seq: Seq
    issued_wall_ns: WallNs
    expires_wall_ns: WallNs
    recipients: Annotated[tuple[Recipient, ...], msgspec.Meta(min_length=1, max_length=16)]
    receipt_keys: Annotated[tuple[PublicKey, ...], msgspec.Meta(min_length=1, max_length=16)]
    revoked: Annotated[tuple[Kid, ...], msgspec.Meta(max_length=64)] = ()
    custody_generation: Annotated[int, msgspec.Meta(ge=0, le=MAX_CUSTODY_KEYS)] = 0
    card_keys: Annotated[tuple[PublicKey, ...], msgspec.Meta(max_length=8)] | None = None


class PlanOrder(Message, frozen=True, kw_only=True, tag_field="order", tag="plan"):
    """The session plan: until it expires, sessions are declared to be this. One that declares
    nothing takes the plan before it back."""

    device_id: str
    seq: Seq
    issued_wall_ns: WallNs
    expires_wall_ns: WallNs
    declared: Declaration = Declaration()


Order = RequestOrder | KeysOrder | PlanOrder


class KeyOrders(Message, frozen=True, kw_only=True):
    """Compact JWS of KeysOrders, oldest first."""

    orders: Annotated[tuple[Token, ...], msgspec.Meta(max_length=MAX_KEY_ORDERS)]


class CustodyKey(Message, frozen=True, kw_only=True):
    """The device's custody key number `generation` (0: of the provisioning). Signed by the one
    before it."""

    device_id: str
    generation: Annotated[int, msgspec.Meta(ge=1, le=MAX_CUSTODY_KEYS)]
    public_key: PublicKey


class CustodyKeys(Message, frozen=True, kw_only=True):
    """Compact JWS of CustodyKeys, oldest first."""

    keys: Annotated[tuple[Token, ...], msgspec.Meta(max_length=MAX_CUSTODY_KEYS)]
