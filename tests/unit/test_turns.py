"""Whose turn it is among tests that run at the same time."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

from tests.turns import turn

SOON_S = 10.0


def _take(folder: Path, *, alone: bool) -> tuple[threading.Thread, threading.Event]:
    """Somebody who takes a turn and ends it at once; the event says that the turn came."""
    came = threading.Event()

    def run() -> None:
        with turn(folder, alone=alone):
            came.set()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, came


def test_two_ordinary_tests_run_beside_each_other(tmp_path: Path) -> None:
    with turn(tmp_path, alone=False):
        thread, came = _take(tmp_path, alone=False)
        assert came.wait(SOON_S)
    thread.join()


def test_a_test_that_must_be_alone_waits_and_lets_nobody_pass(tmp_path: Path) -> None:
    with turn(tmp_path, alone=False):
        loner, loner_came = _take(tmp_path, alone=True)
        while not _is_shut(tmp_path / "gate"):
            pass
        late, late_came = _take(tmp_path, alone=False)
        assert not loner_came.is_set()
        assert not late_came.is_set()
    assert loner_came.wait(SOON_S)
    assert late_came.wait(SOON_S)
    loner.join()
    late.join()


def _is_shut(gate: Path) -> bool:
    """Somebody holds the gate."""
    with gate.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
