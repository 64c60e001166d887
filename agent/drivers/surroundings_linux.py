"""The surroundings as Linux tells them: the way to the broker by the routes in /proc/net.

Which interface costs money, the kernel does not know: the admin's list of names says it.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from agent.core.network_gate import Surroundings, metered
from agent.ports.power import PowerSource
from agent.ports.surroundings import SurroundingsSensor

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str], list[Address]]

_UP, _REJECT = 0x0001, 0x0200  # RTF_UP, RTF_REJECT of linux/route.h
_RESOLVE_AGAIN_S = 60.0


def resolve(host: str) -> list[Address]:
    """The addresses of `host`, the preferred one first; none when they cannot be had."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


class LinuxSurroundings(SurroundingsSensor):
    """See `SurroundingsSensor`. `host` is the broker's; a thread looks its name up, and until it is
    known the default route stands for the way there. `power`: asked with each reading, in the
    caller's thread; None: not known. `proc` is for tests."""

    def __init__(
        self,
        host: str,
        metered_interfaces: Sequence[str],
        *,
        power: PowerSource | None = None,
        proc: Path = Path("/proc"),
        resolve: Resolve = resolve,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._metered = metered_interfaces
        self._proc = proc
        self._power = power
        self._resolve = resolve
        self._now_s = now_s
        self._addresses: list[Address] = []
        self._thread: threading.Thread | None = None
        self._asked_s = 0.0

    def read(self) -> Surroundings:
        interface = self._interface()
        return Surroundings(
            interface=interface,
            is_metered=metered(interface, self._metered),
            is_charging=self._power.read().on_mains if self._power is not None else None,
        )

    def settle(self, timeout_s: float) -> None:
        """Wait for a look-up under way (a tool has the time; a service has not)."""
        self._look_up()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _interface(self) -> str:
        self._look_up()
        for address in self._addresses:
            if found := self._way_to(address):
                return found
        if self._addresses:
            return ""
        # 192.0.2.1 is nobody's (RFC 5737), and so is 2001:db8::1: only a default route fits
        return self._way_to(ipaddress.ip_address("192.0.2.1")) or self._way_to(
            ipaddress.ip_address("2001:db8::1")
        )

    def _way_to(self, address: Address) -> str:
        if address.is_loopback:
            return "lo"
        routes = _routes4 if isinstance(address, ipaddress.IPv4Address) else _routes6
        try:
            return max(routes(self._proc / "net", int(address)), default=(0, 0, ""))[2]
        except (ValueError, IndexError):  # not as this kernel's tables are known to look
            return ""

    def _look_up(self) -> None:
        """Begin to look the name up, when that is due and none is under way."""
        if self._thread is not None and self._thread.is_alive():
            return
        if self._thread is not None and self._now_s() - self._asked_s < _RESOLVE_AGAIN_S:
            return
        self._asked_s = self._now_s()
        self._thread = threading.Thread(target=self._ask, name="broker-address", daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        self._addresses = self._resolve(self._host) or self._addresses


def _routes4(net: Path, address: int) -> Iterator[tuple[int, int, str]]:
    """(prefix length, -metric, interface) of each route of /proc/net/route that fits."""
    for words in _table(net / "route"):
        if len(words) < 8 or words[0] == "Iface":
            continue
        # little-endian hex, as the kernel prints a __be32 on the machines that we know
        target, mask = (int.from_bytes(bytes.fromhex(words[n]), "little") for n in (1, 7))
        flags = int(words[3], 16)
        if flags & _UP and not flags & _REJECT and address & mask == target:
            yield mask.bit_count(), -int(words[6]), words[0]


def _routes6(net: Path, address: int) -> Iterator[tuple[int, int, str]]:
    """The same of /proc/net/ipv6_route."""
    for words in _table(net / "ipv6_route"):
        if len(words) < 10:
            continue
        length, flags = int(words[1], 16), int(words[8], 16)
        if not flags & _UP or flags & _REJECT:
            continue
        if (address ^ int(words[0], 16)) >> (128 - length) == 0:
            yield length, -int(words[5], 16), words[9]


def _table(path: Path) -> list[list[str]]:
    try:
        return [line.split() for line in path.read_text("ascii", "replace").splitlines()]
    except OSError:
        return []
