"""Keeps the orders about keys that one service obeyed, durably, and what trust they add up to.

Uplink and recorder keep a book each. The uplink drops what came from the server into its own; the
recorder reads that file, but believes only signatures: it holds every order against its own book,
from the keys that the provisioning pinned, before footage is sealed to anybody else. So an uplink
in a thief's hand cannot redirect footage; it can only withhold news.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from agent.core.order_rules import Moment
from agent.crypto.trust import Trust, check_order, followed, read_order
from agent.errors import OrderError, SpoolError, WireError
from agent.ports.clock import Clock
from agent.storage import atomic
from agent.wire.codec import decode, encode
from agent.wire.orders import MAX_KEY_ORDERS, KeyOrders, KeysOrder

log = logging.getLogger("sightline.trust")

_MAX_FILE_BYTES = 2 * 1024 * 1024


class TrustBook:
    """The book in `file`. A damaged file, or orders that do not hang on the `pinned` keys, count as
    none: then the pinned keys hold until the server's orders come again, and `problem` says so."""

    def __init__(
        self, file: Path, device_id: str, pinned: Trust, *, fsync: atomic.Fsync = os.fsync
    ) -> None:
        self._file, self._device_id, self._fsync = file, device_id, fsync
        self._tokens: list[str] = []
        self.trust = pinned
        self.problem = ""
        try:
            for token in read_key_orders(file):
                self.trust = followed(self.trust, token, device_id)
                self._tokens.append(token)
        except (OrderError, WireError, SpoolError) as exc:
            self.problem = (
                f"{file.name}: {exc}; keys as of order {self.trust.seq} hold until the server's"
                " orders come again"
            )
            log.warning("%s", self.problem)

    def take(self, tokens: Sequence[str], now: Moment) -> KeysOrder | None:
        """Obey the newest of `tokens` (oldest first), by way of those before it; None when it is
        obeyed already. On return it is durable and in force.

        Raises OrderError with the reason when it is refused: nothing changes. SpoolError when the
        card refuses: nothing changes, take it again later.
        """
        if list(tokens[-1:]) == self._tokens[-1:]:
            return None
        trust, newest = self.trust, None
        last_token = tokens[-1] if tokens else ""
        for token in tokens:
            if token in self._tokens:
                continue
            order = read_order(token, trust, self._device_id)
            if not isinstance(order, KeysOrder):
                raise OrderError("order refused: it is not about keys")
            if token != last_token and order.seq <= trust.seq:
                continue
            if token == last_token:
                check_order(order, last_seq=trust.seq, floor_wall_ns=trust.floor_wall_ns, now=now)
                newest = order
            trust = followed(trust, token, self._device_id)
        if newest is None:
            raise OrderError(f"keys orders refused: they end before order {self.trust.seq}")
        self._keep([*self._tokens, *(t for t in tokens if t not in self._tokens)])
        self.trust, self.problem = trust, ""
        return newest

    def _keep(self, tokens: list[str]) -> None:
        if len(tokens) > MAX_KEY_ORDERS:
            raise OrderError(
                f"keys order refused: more than {MAX_KEY_ORDERS} since the provisioning"
                " (provision the camera again)"
            )
        try:
            atomic.make_directory(self._file.parent, fsync=self._fsync)
            atomic.write_file(
                self._file, encode(KeyOrders(orders=tuple(tokens))), fsync=self._fsync
            )
        except OSError as exc:
            raise SpoolError(f"{self._file} cannot be written ({exc.strerror})") from exc
        self._tokens = tokens


class FileWatch:
    """Says when a file was replaced, for the price of one stat."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, int, int] | None = None

    def has_changed(self) -> bool:
        """True when the file is there and is not the one of the last time."""
        try:
            found = self._file.stat()
        except OSError:
            self._seen = None
            return False
        now = (found.st_ino, found.st_mtime_ns, found.st_size)
        changed, self._seen = now != self._seen, now
        return changed

    def forget(self) -> None:
        """Say it again next time."""
        self._seen = None


def read_key_orders(file: Path) -> tuple[str, ...]:
    """The tokens in `file`; none when there is no file. Raises SpoolError, WireError."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_FILE_BYTES)
    except FileNotFoundError:
        return ()
    except OSError as exc:
        raise SpoolError(f"{file} cannot be read ({exc.strerror})") from exc
    return decode(KeyOrders, content, max_bytes=_MAX_FILE_BYTES).orders


def moment(clock: Clock) -> Moment:
    return Moment(clock.wall_ns(), clock.trust() == "trusted")
