"""Two rounds of `make kill-matrix`: a recorder that freezes, a collector that gets no memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kill_matrix.faults import WATCHDOG_S
from tests.kill_matrix.matrix import Round, run_matrix

pytestmark = pytest.mark.scenario


def test_frozen_recorder_and_starved_collector_lose_nothing(tmp_path: Path) -> None:
    said: list[Round] = []
    done = run_matrix(
        tmp_path, [("recorder", "freeze", 2.0), ("collector", "memory", 1.0)], said.append
    )
    assert [each.problem for each in done] == ["", ""]
    assert said == done
    log = (tmp_path / "stack-0" / "logs" / "agent.log").read_text()
    assert f"recorder was silent for {WATCHDOG_S:g} s: killed" in log
