"""The session plan: taken from where the uplink left it, believed by its signature alone.

Used from the recorder's writer thread (`renew`, `take_notes`); what is in force may be asked for
from any. The number of a plan is used up durably before it is obeyed, so an older plan that is put
in its place is refused.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from agent.core.order_rules import Moment
from agent.crypto.trust import Trust, check_order, read_order
from agent.errors import AgentError, OrderError, SpoolError
from agent.ports.clock import Clock
from agent.services.keyring import KeyNote
from agent.services.trust_book import FileWatch, moment
from agent.storage import atomic
from agent.wire.declaration import Declaration
from agent.wire.orders import MAX_ORDER_CHARS, PlanOrder

log = logging.getLogger("plan")

PLAN_ORDER_FILE = Path("orders") / "plan.jws"
PLAN_FILE = Path("trust") / "plan.jws"


class PlanBook:
    """`trust()` is what the camera's orders made of the keys of its provisioning. A damaged file of
    its own counts as no plan."""

    def __init__(
        self,
        state_dir: Path,
        device_id: str,
        *,
        trust: Callable[[], Trust],
        clock: Clock,
        fsync: atomic.Fsync = os.fsync,
    ) -> None:
        self._arrived, self._kept = state_dir / PLAN_ORDER_FILE, state_dir / PLAN_FILE
        self._device_id, self._trust, self._clock, self._fsync = device_id, trust, clock, fsync
        self._watch = FileWatch(self._arrived)
        self._trust_seq = trust().seq
        self._notes: list[KeyNote] = []
        self._plan: PlanOrder | None = None
        try:
            token = read_token(self._kept)
            self._plan = None if token is None else self._read(token)
        except AgentError as exc:
            self._note(f"{self._kept.name}: {exc}; no plan holds until one comes", is_fault=True)

    def current(self) -> Declaration | None:
        """What the plan in force declares; None without one."""
        plan = self._plan
        if plan is None or plan.declared.says_nothing or self._has_expired(plan):
            return None
        return plan.declared

    def why_none(self) -> str:
        plan = self._plan
        if plan is None:
            return "none has come"
        if plan.declared.says_nothing:
            return f"plan order {plan.seq} took it back"
        return f"plan order {plan.seq} has expired"

    def renew(self) -> None:
        """Obey what lies in the orders file, if it is new. Never raises: a refusal is a note."""
        if self._trust().seq != self._trust_seq:
            # New keys: what was refused before may be signed by one of them.
            self._trust_seq = self._trust().seq
            self._watch.forget()
        try:
            if self._watch.has_changed():
                token = read_token(self._arrived)
                if token is not None:
                    self._take(token)
        except OrderError as exc:
            self._note(str(exc), is_fault=True)
        except SpoolError as exc:
            self._watch.forget()
            self._note(f"the plan waits for the card: {exc}", is_fault=True)

    def take_notes(self) -> list[KeyNote]:
        notes, self._notes = self._notes, []
        return notes

    def _take(self, token: str) -> None:
        plan = self._read(token)
        before = self._plan
        if before is not None and plan.seq == before.seq:
            return
        last_seq = 0 if before is None else before.seq
        now = moment(self._clock)
        check_order(plan, last_seq=last_seq, floor_wall_ns=self._floor_ns(before), now=now)
        try:
            atomic.make_directory(self._kept.parent, fsync=self._fsync)
            atomic.write_file(self._kept, token.encode("ascii"), fsync=self._fsync)
        except OSError as exc:
            raise SpoolError(f"{self._kept} cannot be written ({exc.strerror})") from exc
        self._plan = plan
        what = "took the plan back" if plan.declared.says_nothing else "is in force"
        self._note(f"plan order {plan.seq} {what}", is_fault=False)

    def _read(self, token: str) -> PlanOrder:
        order = read_order(token, self._trust(), self._device_id)
        if not isinstance(order, PlanOrder):
            raise OrderError("order refused: it is not a plan")
        return order

    def _floor_ns(self, plan: PlanOrder | None) -> int:
        return max(self._trust().floor_wall_ns, 0 if plan is None else plan.issued_wall_ns)

    def _has_expired(self, plan: PlanOrder) -> bool:
        now: Moment = moment(self._clock)
        now_ns = max(self._floor_ns(plan), now.wall_ns if now.is_trusted else 0)
        return now_ns >= plan.expires_wall_ns

    def _note(self, text: str, *, is_fault: bool) -> None:
        (log.error if is_fault else log.info)("%s", text)
        self._notes.append(KeyNote(text, is_fault))


def read_token(file: Path) -> str | None:
    """The order in `file`; None when there is no file. Raises SpoolError, OrderError."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_ORDER_CHARS + 1)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise SpoolError(f"{file} cannot be read ({exc.strerror})") from exc
    try:
        return content.decode("ascii")
    except UnicodeDecodeError as exc:
        raise OrderError(f"{file} is no order") from exc
