"""The server's orders as the uplink sees them: which clips first, and whose receipts count.

An order about keys is checked here too, but what footage is sealed to is the recorder's to decide:
it reads the file that is left here and checks every signature itself (see `trust_book`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableSet
from pathlib import Path

import msgspec

from agent.crypto.trust import Trust, check_order, read_order
from agent.errors import AgentError, OrderError, SpoolError, WireError
from agent.ports.broker import Arrived, Broker
from agent.ports.clock import Clock
from agent.services.trust_book import FileWatch, TrustBook, moment
from agent.services.uplink_plan import PlanMail
from agent.storage import atomic
from agent.storage.spool import Shelf, Spool
from agent.wire.codec import decode
from agent.wire.ids import parse_clip_id
from agent.wire.orders import MAX_CUSTODY_KEYS, MAX_ORDER_CHARS, KeyOrders, RequestOrder
from agent.wire.topics import down_keys, down_plan, down_request, up_custody_keys

log = logging.getLogger("sightline.uplink")

KEY_ORDERS_FILE = Path("orders") / "keys.json"
REQUEST_FILE = Path("orders") / "request.json"
CUSTODY_KEYS_FILE = Path("trust") / "custody-keys.json"
_MAX_KEYS_BYTES = (MAX_CUSTODY_KEYS + 1) * MAX_ORDER_CHARS
_LOOK_EVERY_NS = 1_000_000_000
_WHERE: tuple[tuple[Shelf, str], ...] = (
    ("sent", "is stored already"),
    ("rejected", "was refused for good by the collector"),
)


class RequestLedger(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of requests over a restart: the number that is used up, and what was asked."""

    seq: int = 0
    floor_wall_ns: int = 0
    expires_wall_ns: int = 0
    clip_ids: tuple[str, ...] = ()


class Orders:
    """Takes orders, keeps them durably, and hands the recorder's new custody keys to the server.

    `requested` is the set that the sender goes by: this class puts clips in. `tell(text)` hears
    what was obeyed, `fault(text)` what was refused and why.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        spool: Spool,
        clock: Clock,
        state_dir: Path,
        device_id: str,
        pinned: Trust,
        requested: MutableSet[str],
        tell: Callable[[str], None],
        fault: Callable[[str], None],
    ) -> None:
        self._broker, self._spool, self._clock = broker, spool, clock
        self._device_id, self._requested = device_id, requested
        self._tell, self._fault = tell, fault
        self._book = TrustBook(state_dir / KEY_ORDERS_FILE, device_id, pinned)
        self._request_file = state_dir / REQUEST_FILE
        self._custody_file = state_dir / CUSTODY_KEYS_FILE
        self._watch = FileWatch(self._custody_file)
        self._look_due_ns = 0
        self._last_request = ""
        self._ledger = self._load()
        if self._book.problem:
            fault(self._book.problem)
        now = moment(clock)
        if not (now.is_trusted and now.wall_ns >= self._ledger.expires_wall_ns):
            self._requested |= {c for c in self._ledger.clip_ids if self._waits(c)}
        self._plans = PlanMail(state_dir, device_id, clock)
        # The newest of each kind that may be signed by a key not learnt yet.
        self._newest: dict[str, Arrived] = {}
        self._keys_topic = down_keys(device_id)
        self._takers = {
            self._keys_topic: self._take_keys,
            down_request(device_id): self._take_request,
            down_plan(device_id): self._take_plan,
        }
        for topic in self._takers:
            broker.subscribe(topic)

    @property
    def trust(self) -> Trust:
        """Whose receipts count."""
        return self._book.trust

    def arrived(self, item: Arrived) -> bool:
        """True when `item` was an order, obeyed or refused."""
        if item.topic not in self._takers:
            return False
        if not item.payload:
            return True  # a retained message was cleared
        seq = self.trust.seq
        self._take(item)
        if item.topic != self._keys_topic:
            self._newest[item.topic] = item
        elif self.trust.seq != seq:
            # Retained messages come in any order: these may be signed by a key just learnt.
            for newest in self._newest.values():
                self._take(newest)
        return True

    def _take(self, item: Arrived) -> None:
        try:
            self._takers[item.topic](item.payload)
        except (OrderError, WireError) as exc:
            self._fault(str(exc))
        except SpoolError as exc:
            self._fault(f"order not kept, it counts when it comes again: {exc}")

    def connected(self) -> None:
        """Another broker session: what is retained there may be gone."""
        self._watch.forget()
        self._look_due_ns = 0

    def look_again(self) -> None:
        """The outbox was looked through: a clip in it may be signed by a custody key of which the
        server must hear first."""
        self._look_due_ns = 0

    def step(self, now_ns: int) -> bool:
        """Publish the recorder's new custody keys when they changed. True when it did."""
        if now_ns < self._look_due_ns:
            return False
        self._look_due_ns = now_ns + _LOOK_EVERY_NS
        if not self._watch.has_changed():
            return False
        try:
            with self._custody_file.open("rb") as file:
                content = file.read(_MAX_KEYS_BYTES)
        except OSError:
            self._watch.forget()
            return False
        topic = up_custody_keys(self._device_id)
        if self._broker.publish(topic, content, qos=1, retain=True) is None:
            self._watch.forget()
            return False
        return True

    def _take_keys(self, payload: bytes) -> None:
        tokens = decode(KeyOrders, payload).orders
        order = self._book.take(tokens, moment(self._clock)) if tokens else None
        if order is not None:
            log.info("keys order %d is in force", order.seq)
            count = len(self.trust.receipt_keys)
            self._tell(f"keys order {order.seq}: receipts by {count} keys count")

    def _take_plan(self, payload: bytes) -> None:
        said = self._plans.take(payload, self.trust)
        if said:
            self._tell(said)

    def _take_request(self, payload: bytes) -> None:
        token = payload[: MAX_ORDER_CHARS + 1].decode("ascii", "replace")
        if token == self._last_request:
            return  # retained: it comes with every connection
        order = read_order(token, self.trust, self._device_id)
        if not isinstance(order, RequestOrder):
            raise OrderError("order refused: it is not a request")
        if order.seq == self._ledger.seq:
            self._last_request = token
            return
        floor_ns = max(self._ledger.floor_wall_ns, self.trust.floor_wall_ns)
        check_order(
            order, last_seq=self._ledger.seq, floor_wall_ns=floor_ns, now=moment(self._clock)
        )
        self._keep(
            RequestLedger(
                seq=order.seq,
                floor_wall_ns=max(floor_ns, order.issued_wall_ns),
                expires_wall_ns=order.expires_wall_ns,
                clip_ids=order.clip_ids,
            )
        )
        self._last_request = token
        self._requested.clear()
        for clip_id in order.clip_ids:
            self._request(clip_id, order.seq)

    def _request(self, clip_id: str, seq: int) -> None:
        if self._waits(clip_id):
            self._requested.add(clip_id)
            self._tell(f"request order {seq}: clip {clip_id} goes first")
            return
        why = "is not on this card"
        for shelf, text in _WHERE:
            if _is_clip(clip_id) and self._spool.path(shelf, clip_id).is_dir():
                why = text
        self._tell(f"request order {seq}: clip {clip_id} {why}")

    def _waits(self, clip_id: str) -> bool:
        shelves: tuple[Shelf, ...] = ("outbox", "recording")
        return _is_clip(clip_id) and any(self._spool.path(s, clip_id).is_dir() for s in shelves)

    def _load(self) -> RequestLedger:
        try:
            return msgspec.json.decode(self._request_file.read_bytes(), type=RequestLedger)
        except FileNotFoundError:
            return RequestLedger()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
            self._fault(f"{self._request_file} is damaged ({exc}): numbers begin anew")
            return RequestLedger()

    def _keep(self, ledger: RequestLedger) -> None:
        """The number is used up before the order is obeyed."""
        try:
            atomic.make_directory(self._request_file.parent)
            atomic.write_file(self._request_file, msgspec.json.encode(ledger))
        except OSError as exc:
            raise SpoolError(f"{self._request_file} cannot be written ({exc.strerror})") from exc
        self._ledger = ledger


def _is_clip(clip_id: str) -> bool:
    try:
        parse_clip_id(clip_id)
    except AgentError:
        return False
    return True
