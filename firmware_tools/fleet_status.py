"""Who runs which model: what cameras say of themselves, beside what was pushed to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import msgspec

from agent.core.model_targeting import reaches
from agent.errors import BrokerError, WireError
from agent.ports.broker import Arrived, Broker, Connected, Disconnected
from agent.wire.codec import decode
from agent.wire.rollout import RolloutTerms
from agent.wire.telemetry import DeviceStatus
from agent.wire.topics import UP_STATUS

_PATIENCE_S = 30.0
_QUIET_S = 0.7
_TRIED = ("active", "refused", "rolled_back")
_FAILED = ("refused", "rolled_back")
_COLUMNS = ("camera", "hardware", "groups", "runs", "push", "state")


class Row(msgspec.Struct, frozen=True):
    """One camera in the table."""

    device_id: str
    hardware: str
    groups: str
    runs: str
    push: str
    state: str


class FleetWatch:
    """Listens to what cameras retain about themselves. `broker` is started here."""

    def __init__(self, broker: Broker, now_s: Callable[[], float] = time.monotonic) -> None:
        self._broker, self._now_s = broker, now_s
        self.statuses: dict[str, DeviceStatus] = {}
        broker.subscribe(UP_STATUS)
        broker.start()

    def gather(self) -> dict[str, DeviceStatus]:
        """All that is retained. Raises BrokerError when there is no connection."""
        deadline_s, reason, quiet_since_s = self._now_s() + _PATIENCE_S, "no answer", 0.0
        while self._now_s() < deadline_s:
            item = self._broker.read(0.1)
            if isinstance(item, Connected):
                quiet_since_s = self._now_s()
            elif isinstance(item, Disconnected):
                reason, quiet_since_s = item.reason, 0.0
            elif isinstance(item, Arrived):
                self.take(item)
                quiet_since_s = self._now_s()
            elif quiet_since_s and self._now_s() - quiet_since_s > _QUIET_S:
                return self.statuses
        if quiet_since_s:
            return self.statuses  # a fleet that never falls silent
        raise BrokerError(f"no broker ({reason})", remedy="check host, port and keys")

    def follow(self, seconds: float) -> None:
        """Take what comes for so long."""
        deadline_s = self._now_s() + seconds
        while (left_s := deadline_s - self._now_s()) > 0:
            item = self._broker.read(left_s)
            if isinstance(item, Arrived):
                self.take(item)

    def take(self, item: Arrived) -> None:
        try:
            status = decode(DeviceStatus, item.payload)
        except WireError:
            return  # of another version of the agent
        # A camera that is away keeps what it said last of its model.
        before = self.statuses.get(status.device_id)
        if not status.online and before is not None:
            status = msgspec.structs.replace(before, online=False)
        self.statuses[status.device_id] = status

    def close(self) -> None:
        self._broker.stop()


def rows(statuses: Iterable[DeviceStatus], rollouts: Iterable[RolloutTerms]) -> list[Row]:
    """The table, by camera."""
    known = list(rollouts)
    return [
        Row(
            status.device_id,
            status.hardware or "-",
            ", ".join(status.groups) or "-",
            status.active_model or status.model or "-",
            *_progress(status, known),
        )
        for status in sorted(statuses, key=lambda each: each.device_id)
    ]


def table(found: list[Row]) -> list[str]:
    """Aligned columns for a terminal."""
    cells = [_COLUMNS, *(tuple(str(value) for value in msgspec.structs.astuple(r)) for r in found)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(_COLUMNS) - 1)]
    return [
        "  ".join([*(row[n].ljust(widths[n]) for n in range(len(widths))), row[-1]]).rstrip()
        for row in cells
    ]


def failures(statuses: Iterable[DeviceStatus], terms: RolloutTerms) -> tuple[int, int]:
    """(cameras that failed with this push, cameras that tried it). Those that it was not made for
    did not try it."""
    states = [
        status.update.state
        for status in statuses
        if status.update is not None
        and status.update.push == terms.push
        and status.hardware in terms.hardware
    ]
    return sum(s in _FAILED for s in states), sum(s in _TRIED for s in states)


def is_over(statuses: Iterable[DeviceStatus], terms: RolloutTerms) -> bool:
    """True when more cameras failed than the roll-out bears."""
    if terms.halt_above is None or terms.withdrawn:
        return False
    failed, tried = failures(list(statuses), terms)
    return tried > 0 and failed * 10_000 > terms.halt_above * tried


def _progress(status: DeviceStatus, rollouts: list[RolloutTerms]) -> tuple[str, str]:
    """(push, state) of one camera."""
    mine = [
        terms
        for terms in rollouts
        if not terms.withdrawn and reaches(terms.rollout(), status.device_id, status.groups)
    ]
    newest = max(mine, key=lambda terms: terms.push, default=None)
    update = status.update
    away = "" if status.online else " (offline)"
    if newest is not None and (update is None or update.push < newest.push):
        runs_it = status.active_model == f"{newest.name} {newest.version}"
        return str(newest.push), ("active" if runs_it else "wanted") + away
    if update is None:
        return "-", f"-{away}"
    words = update.state.replace("_", " ")
    if update.state == "downloading":
        words += f" {update.percent} %"
    return str(update.push), f"{words}{': ' + update.why if update.why else ''}{away}"
