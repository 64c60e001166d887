"""The gate as a process of its own: it may crash, hang or be killed without harm."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from agent.errors import WireError
from agent.ipc.notify import child_environment
from agent.wire.codec import decode
from agent.wire.gate_report import GateReport

_MAX_REPORT_BYTES = 64 * 1024


class GateProcess:
    """Runs `argv` + the bundle's folder; it prints a GateReport. Raises OSError."""

    def __init__(self, argv: Sequence[str], folder: Path) -> None:
        self._process = subprocess.Popen(
            [*argv, str(folder)],
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def report(self) -> GateReport | None:
        """What it found, once it has ended; None while it runs."""
        code = self._process.poll()
        if code is None or self._process.stdout is None:
            return None
        with self._process.stdout as out:
            said = out.read(_MAX_REPORT_BYTES)
        if code < 0:
            name = signal.Signals(-code).name
            return GateReport(refused=f"the runtime crashed on this model ({name})")
        try:
            return decode(GateReport, said)
        except WireError as exc:
            return GateReport(refused=f"the gate ended with {code} and no report ({exc.what[:80]})")

    def kill(self) -> None:
        """End it at once. Idempotent."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
