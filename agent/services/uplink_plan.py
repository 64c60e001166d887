"""The session plan on its way through the uplink: checked, and left where the recorder looks.

What is obeyed is the recorder's to decide: it checks signature, number and expiry itself.
"""

from __future__ import annotations

from pathlib import Path

from agent.crypto.trust import Trust, check_order, read_order
from agent.errors import OrderError, SpoolError
from agent.ports.clock import Clock
from agent.services.plan_book import PLAN_ORDER_FILE, read_token
from agent.services.trust_book import moment
from agent.storage import atomic
from agent.wire.orders import MAX_ORDER_CHARS, PlanOrder


class PlanMail:
    """Keeps the newest plan durably. What it does not keep it refuses with OrderError."""

    def __init__(self, state_dir: Path, device_id: str, clock: Clock) -> None:
        self._file = state_dir / PLAN_ORDER_FILE
        self._device_id, self._clock = device_id, clock
        self._seq = 0
        self._last = ""

    def take(self, payload: bytes, trust: Trust) -> str:
        """What became of the plan in `payload`, in a line; "" when it is here already.

        Raises OrderError: not the server's, not for this device, older than the one before, or
        expired. SpoolError: the card refuses it.
        """
        token = payload[: MAX_ORDER_CHARS + 1].decode("ascii", "replace")
        if token == self._last or (not self._last and token == self._kept()):
            self._last = token
            return ""
        order = read_order(token, trust, self._device_id)
        if not isinstance(order, PlanOrder):
            raise OrderError("order refused: it is not a plan")
        now = moment(self._clock)
        check_order(order, last_seq=self._seq, floor_wall_ns=trust.floor_wall_ns, now=now)
        try:
            atomic.make_directory(self._file.parent)
            atomic.write_file(self._file, token.encode("ascii"))
        except OSError as exc:
            raise SpoolError(f"{self._file} cannot be written ({exc.strerror})") from exc
        self._seq, self._last = order.seq, token
        return f"plan order {order.seq}: handed to the recorder"

    def _kept(self) -> str | None:
        try:
            return read_token(self._file)
        except (OrderError, SpoolError):
            return None
