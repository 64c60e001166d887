"""The processes of one stack, found by what their command lines say."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from firmware_tools.local_stack import LocalStack


def command_lines(folder: Path) -> dict[int, list[str]]:
    """pid -> command line, of every living process that names something under `folder`."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            # A zombie has no command line: it runs no more.
            if any(word.startswith(f"{folder}/") for word in words):
                found[int(entry.name)] = [word for word in words if word]
    return found


def pid_of(stack: LocalStack, name: str) -> int | None:
    """The process of a service of the agent, or of a program of the stack, while it runs."""
    if name in ("agent", "collector", "broker"):
        return stack.supervisor.pid(name)
    for pid, words in command_lines(stack.folder).items():
        if words[-1] == name and str(stack.agent_config) in words:
            return pid
    return None


def wait_for_pid(stack: LocalStack, name: str, *, other_than: int = 0) -> int:
    """Until `name` runs as another process than `other_than`; its pid."""
    pids: list[int] = []

    def runs() -> bool:
        pid = pid_of(stack, name)
        pids.extend([pid] if pid not in (None, other_than) else [])
        return bool(pids)

    stack.wait_until(runs, timeout_s=30, what=f"{name} to run")
    return pids[-1]


def freeze(pid: int) -> None:
    """SIGSTOP: what the process wrote can be looked at before it is killed."""
    os.kill(pid, signal.SIGSTOP)
    # The signal is asynchronous; state T in /proc says that it has landed.
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "Tt":
        os.sched_yield()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def wait_until_gone(pids: list[int], *, timeout_s: float = 30.0) -> None:
    """Until none of the processes runs any more."""
    deadline_s = time.monotonic() + timeout_s
    while any(_runs(pid) for pid in pids):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"of the processes {pids} some still run")
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
