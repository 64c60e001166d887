"""Keeps a table of processes alive without systemd: a desk, a demo, a test.

It speaks the service side of sd_notify(3), so the programs behave as under systemd: it waits for
READY, kills a process whose watchdog lapses, restarts one that ended, with back-off, and stops all
in the order of the table.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

RESTART_FIRST_S = 0.2
RESTART_LONGEST_S = 10.0
STEADY_AFTER_S = 10.0

Report = Callable[[str], None]


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One row. `watchdog_s`: longest silence after READY before it is killed; None for a program
    that does not notify (it then counts as ready once started). `stop_within_s`: after SIGTERM it
    gets so long before SIGKILL."""

    name: str
    argv: tuple[str, ...]
    watchdog_s: float | None = None
    stop_within_s: float = 30.0
    log_file: Path | None = None


class _Child:
    """A running or waiting program. Times are time.monotonic() seconds."""

    def __init__(self, program: Program, folder: Path) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.status = ""
        self.ready = False
        self.last_word_s = 0.0
        self.started_s = 0.0
        self.start_at_s = 0.0
        self.delay_s = RESTART_FIRST_S
        self.starts = 0
        self.address = str(folder / program.name)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.notify.bind(self.address)


class Supervisor:
    """Runs the programs of `table`. Use `turn()` in a loop, or `run(stop)`; `close()` ends all."""

    def __init__(self, table: list[Program], report: Report) -> None:
        self._report = report
        self._folder = tempfile.TemporaryDirectory(prefix="sightline-", ignore_cleanup_errors=True)
        self._selector = selectors.DefaultSelector()
        self._children = [_Child(program, Path(self._folder.name)) for program in table]
        for child in self._children:
            self._selector.register(child.notify, selectors.EVENT_READ, child)

    def pid(self, name: str) -> int | None:
        """The process id of program `name` while it runs."""
        child = self._find(name)
        return child.process.pid if child.process is not None else None

    def status(self, name: str) -> str:
        """The last status line that program `name` gave."""
        return self._find(name).status

    def starts(self, name: str) -> int:
        """How often program `name` was started."""
        return self._find(name).starts

    def all_ready(self) -> bool:
        return all(child.ready for child in self._children)

    def turn(self, timeout_s: float = 0.1) -> None:
        """Start what is due, take what was said, notice what ended or fell silent."""
        for child in self._children:
            self._start_if_due(child)
        for key, _ in self._selector.select(timeout_s):
            self._listen(key.data)
        for child in self._children:
            self._notice_end(child)
            self._notice_silence(child)

    def run(self, stopped: Callable[[], bool]) -> None:
        while not stopped():
            self.turn()

    def close(self) -> None:
        """SIGTERM each in the order of the table, wait, SIGKILL what does not end in time."""
        for child in self._children:
            if child.process is None:
                continue
            patience_s = child.program.stop_within_s
            child.process.terminate()
            try:
                child.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self._report(f"{child.program.name} did not stop in {patience_s:g} s: killed")
                child.process.kill()
                child.process.wait()
            child.process = None
        for child in self._children:
            child.notify.close()
        self._selector.close()
        self._folder.cleanup()

    def _find(self, name: str) -> _Child:
        return next(child for child in self._children if child.program.name == name)

    def _start_if_due(self, child: _Child) -> None:
        now_s = time.monotonic()
        if child.process is not None or now_s < child.start_at_s:
            return
        program = child.program
        environment = dict(os.environ)
        if program.watchdog_s is not None:
            environment["NOTIFY_SOCKET"] = child.address
            environment["WATCHDOG_USEC"] = str(int(program.watchdog_s * 1e6))
        environment["SIGHTLINE_PARENT"] = str(os.getpid())
        with contextlib.ExitStack() as stack:
            log = None
            if program.log_file is not None:
                log = stack.enter_context(program.log_file.open("ab"))
            child.process = subprocess.Popen(
                program.argv, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        child.starts += 1
        child.started_s = child.last_word_s = now_s
        child.ready = program.watchdog_s is None

    def _listen(self, child: _Child) -> None:
        while True:
            try:
                words = child.notify.recv(4096).decode("utf-8", "replace")
            except BlockingIOError:
                return
            child.last_word_s = time.monotonic()
            for word in words.splitlines():
                if word == "READY=1":
                    child.ready = True
                elif word.startswith("STATUS="):
                    child.status = word.removeprefix("STATUS=")

    def _notice_end(self, child: _Child) -> None:
        if child.process is None or child.process.poll() is None:
            return
        code = child.process.returncode
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        now_s = time.monotonic()
        if now_s - child.started_s > STEADY_AFTER_S:
            child.delay_s = RESTART_FIRST_S
        child.start_at_s = now_s + child.delay_s
        self._report(f"{child.program.name} {how}: restarted in {child.delay_s:.1f} s")
        child.delay_s = min(child.delay_s * 2, RESTART_LONGEST_S)
        child.process = None
        child.ready = False

    def _notice_silence(self, child: _Child) -> None:
        limit_s = child.program.watchdog_s
        if child.process is None or limit_s is None:
            return
        # Start-up may import and load for long; only a program that was ready owes the watchdog.
        patience_s = limit_s if child.ready else max(limit_s, 60.0)
        if time.monotonic() - child.last_word_s > patience_s:
            self._report(f"{child.program.name} was silent for {patience_s:g} s: killed")
            child.process.kill()
            child.last_word_s = time.monotonic()
