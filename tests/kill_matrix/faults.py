"""What happens to a program: SIGKILL, SIGSTOP for longer than the watchdog, no more memory."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from firmware_tools.local_stack import LocalStack
from tests.scenario import evidence
from tests.scenario.memory_group import MemoryGroup, NoGroupError
from tests.scenario.processes import freeze, pid_of, wait_for_pid

VICTIMS = ("recorder", "tagger", "uplink", "collector", "broker")
FAULTS = ("kill", "freeze", "memory")
WATCHDOG_S = 3.0
# Nobody watches these two but systemd: they come back when whoever froze them lets them go.
UNWATCHED = ("collector", "broker")
_STARVED_BYTES = 4096
_STARVED_S = 5.0


class Struck(msgspec.Struct, frozen=True):
    """`durable`: hashes of the fragments that were safe on the card at the fault. `lived`: a
    starved program that asked for no memory while it got none."""

    durable: set[str]
    lived: bool = False


def strike(stack: LocalStack, victim: str, fault: str) -> Struck:
    """Do `fault` to `victim` and wait until it runs again, as a new process or thawed."""
    pid = wait_for_pid(stack, victim)
    freeze(pid)
    durable = evidence.durable_fragments(stack)
    if fault == "kill":
        os.kill(pid, signal.SIGKILL)
    elif fault == "freeze" and victim in UNWATCHED:
        frozen_until_s = time.monotonic() + WATCHDOG_S + 1
        stack.wait_until(
            lambda: time.monotonic() > frozen_until_s, timeout_s=60, what="the end of a pause"
        )
        os.kill(pid, signal.SIGCONT)
        return Struck(durable)
    elif fault == "memory":
        with starved(pid):
            os.kill(pid, signal.SIGCONT)
            until_s = time.monotonic() + _STARVED_S
            stack.wait_until(
                lambda: pid_of(stack, victim) != pid or time.monotonic() > until_s,
                timeout_s=60,
                what=f"{victim} to die starved",
            )
        if pid_of(stack, victim) == pid:
            return Struck(durable, lived=True)
    wait_for_pid(stack, victim, other_than=pid)
    return Struck(durable)


@contextlib.contextmanager
def starved(pid: int) -> Iterator[None]:
    """Meanwhile the process gets no more memory: the kernel kills it (a control group), or every
    allocation fails (a limit on its address space, where no group can be made)."""
    try:
        group = MemoryGroup(_STARVED_BYTES)
    except NoGroupError:
        size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        _, hard = resource.prlimit(pid, resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, (size, hard))
        yield
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, (hard, hard))
        return
    with group:
        (group.folder / "cgroup.procs").write_text(str(pid))
        yield
        with contextlib.suppress(OSError):  # it has ended, as a rule
            (group.folder.parent / "cgroup.procs").write_text(str(pid))
